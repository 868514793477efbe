"""What every action asks first reads memory only: no file, no socket, no clock that would need one."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import get_ident
from typing import Any

import pytest

from breakers.board import Board
from breakers.circuit import Circuits
from breakers.guards import CircuitGuard, LatchGuard
from breakers.latch import Latch
from fusebox.clock import SystemClock
from fusebox.guard import Guards
from fusebox.records import Action, ActionKind
from fusebox.store import RedisStore

_IO = ("open", "os.", "socket.", "subprocess.", "shutil.", "fcntl.", "mmap.", "sqlite3.")
_hooked: dict[int, list[str]] = {}


def _audit(event: str, _args: tuple[Any, ...]) -> None:
    if _hooked and event.startswith(_IO) and get_ident() in _hooked:
        _hooked[get_ident()].append(event)


sys.addaudithook(_audit)  # the interpreter's own record of what touches the outside; hooks stay for good


@contextmanager
def input_and_output() -> Iterator[list[str]]:
    """What the code inside asks of files, sockets and processes, on this thread."""
    seen = _hooked[get_ident()] = []
    try:
        yield seen
    finally:
        del _hooked[get_ident()]


@pytest.fixture
def guards(tmp_path: Path, redis_url: str) -> Guards:
    clock = SystemClock()
    circuits = Circuits(Board(RedisStore(redis_url), clock, tmp_path.name), clock)
    latch = Latch(tmp_path / "latch")
    latch.kill("k", "agent:killed")
    circuits.trip("open", reason="loops", actor="detector:x")
    return Guards([LatchGuard(latch), CircuitGuard(circuits)])


def test_the_hook_hears_of_files_and_sockets(tmp_path: Path, redis_url: str) -> None:
    with input_and_output() as seen:
        (tmp_path / "x").write_text("x")
        store = RedisStore(redis_url)
        store.ping()
        store.close()
    assert "open" in seen
    assert any(event.startswith("socket.") for event in seen)


@pytest.mark.parametrize("agent", ["free", "killed", "open"])
@pytest.mark.parametrize("kind", list(ActionKind))
def test_a_check_does_none(guards: Guards, agent: str, kind: ActionKind) -> None:
    action = Action(kind, agent, "op", workflow="wf")
    with input_and_output() as seen:
        allowed = [guards.check(action).allowed for _ in range(100)]
    assert seen == []
    assert allowed == [agent == "free"] * 100
