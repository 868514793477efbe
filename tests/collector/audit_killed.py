"""A program for :mod:`tests.collector.test_audit_killed`: writes an audit log in a child and kills it at every step.

A step is one call to the operating system that changes a file. Prints, as JSON, how many steps there were and what was
wrong after a kill.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from collector.audit.entry import Note
from collector.audit.files import entries
from collector.audit.journal import Journal
from collector.audit.keys import plan_change
from fusebox.clock import SystemClock
from tests.collector.audit_bench import verified

_CALLS = ("open", "write", "pwrite", "fdatasync", "fsync", "ftruncate", "replace", "unlink")


class Bomb:
    """Kills this process at its ``step``-th call; every other time half of a write was done."""

    def __init__(self, step: int) -> None:
        self.left = step
        for name in _CALLS:
            setattr(os, name, self._counting(name, getattr(os, name)))

    def _counting(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **more: Any) -> Any:
            self.left -= 1
            if self.left == 0:
                if name == "write":
                    call(arguments[0], arguments[1][: len(arguments[1]) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **more)

        return counted


def live(root: Path, said: int) -> None:
    """A writer's life: appends, a kill, a change of keys, an orderly end; tells what was acknowledged."""
    journal = Journal(root, SystemClock())
    for number in range(3):
        journal.append(Note("trip", "detector:x", f"agent{number}", payload={"n": number}))
        os.writev(said, [b"+"])
    journal.append(Note("kill", "operator:jo", "agent:a"))
    os.writev(said, [b"+"])
    journal.sign()
    plan_change(root / "watch", "cli:jo", "yearly")
    journal.change_key()
    journal.append(Note("resume", "operator:jo", "agent:a"))
    os.writev(said, [b"+"])
    journal.sign()
    journal.close()


def killed_at(step: int, root: Path) -> tuple[int, bool]:
    """How many appends were acknowledged, and whether the child was killed (else it came to its end)."""
    listen, said = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            Bomb(step)
            live(root, said)
            os._exit(0)
        finally:
            os._exit(1)
    os.close(said)
    _, status = os.waitpid(pid, 0)
    if not os.WIFSIGNALED(status) and os.WEXITSTATUS(status):
        raise SystemExit(f"the writer failed at step {step}")
    with os.fdopen(listen, "rb") as pipe:
        return len(pipe.read()), os.WIFSIGNALED(status)


def wrong(root: Path, acknowledged: int) -> list[str]:
    """What is wrong with the log that a killed writer left, as it lies there and after a restart."""
    found = [f"as it lies: {problem}" for problem in verified(root).problems]
    journal = Journal(root, SystemClock())
    journal.append(Note("trip", "detector:x", "afterwards"))
    journal.close()
    report = verified(root)
    if report.status != 0:
        found.append(f"after a restart: {report.json()}")
    kinds = [entry["kind"] for entry in entries(root)]
    kept = sum(kind in ("trip", "kill", "resume") for kind in kinds) - 1
    return found if kept >= acknowledged else [*found, f"{acknowledged} were acknowledged, {kept} are there"]


def main() -> None:
    steps, found, was_killed = 0, [], True
    while was_killed:
        steps += 1
        with tempfile.TemporaryDirectory() as name:
            acknowledged, was_killed = killed_at(steps, Path(name) / "journal")
            found += [f"step {steps}: {each}" for each in wrong(Path(name) / "journal", acknowledged)]
    print(json.dumps({"steps": steps - 1, "wrong": found}))


if __name__ == "__main__":
    sys.exit(main())
