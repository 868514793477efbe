"""A program for :mod:`tests.collector.test_audit_killed`: lives of a journal in a child, which dies at every step.

A step is one call to the operating system that changes a file; its name is the call and the file. Prints, as JSON, the
steps of each life in their order, and what was wrong after a kill.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from collector.audit.entry import Note
from collector.audit.erasure import erase, find
from collector.audit.files import chain_files, entries, first_seq
from collector.audit.journal import Journal
from collector.audit.keys import plan_change
from collector.audit.signing import JournalSettings
from fusebox.clock import ManualClock, SystemClock
from tests.collector.audit_bench import verified

_CALLS = ("open", "write", "pwrite", "fdatasync", "fsync", "ftruncate", "replace", "unlink")
_KEPT = ("trip", "kill", "resume")
_LONG_AGO = 1_000_000_000.0


class Bomb:
    """Kills this process at its ``step``-th call, having said its name; half of a write was done by then."""

    def __init__(self, step: int, said: int) -> None:
        self.left, self._said = step, said
        for name in _CALLS:
            setattr(os, name, self._counting(name, getattr(os, name)))

    def _counting(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **more: Any) -> Any:
            self.left -= 1
            if self.left == 0:
                os.writev(self._said, [f"{name} {_file(arguments[0])}\n".encode()])
                if name == "write":
                    call(arguments[0], arguments[1][: len(arguments[1]) // 2])
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **more)

        return counted


def _file(place: Any) -> str:
    """A file's name, the same in every run."""
    path = Path(os.readlink(f"/proc/self/fd/{place}") if isinstance(place, int) else place)
    name = re.sub(r"^\.(.+)\.\d+\.[0-9a-f]{6}$", r"new \1", path.name)
    return "folder" if path.is_dir() else re.sub(r"^\d{12}\.", "entries.", name)


def begin(root: Path) -> None:
    """Nothing is there yet."""


def live(root: Path, said: int) -> None:
    """Appends, a kill that is owed, a change of keys, an orderly end; tells what was acknowledged."""
    journal = Journal(root, SystemClock())
    for number in range(3):
        journal.append(Note("trip", "detector:x", f"agent{number}", payload={"n": number}))
        os.writev(said, [b"+\n"])
    journal.owe(Note("kill", "operator:jo", "agent:a"))
    os.writev(said, [b"+\n"])
    journal.settle()
    journal.sign()
    plan_change(root / "watch", "cli:jo", "yearly")
    journal.change_key()
    journal.append(Note("resume", "operator:jo", "agent:a"))
    os.writev(said, [b"+\n"])
    journal.sign()
    journal.close()


def broken_off(root: Path) -> None:
    """An old file, ends that are torn, and a kill that could not be journaled."""
    for number in range(3):
        journal = Journal(root, ManualClock())
        journal.append(Note("trip", "detector:x", f"agent{number}", payload={"n": number}))
        journal.close()
    folder, elsewhere = root / "watch", root.parent / "elsewhere"
    os.utime(chain_files(folder)[0], (_LONG_AGO, _LONG_AGO))
    for path in (chain_files(folder)[-1], folder / "checkpoints.jsonl"):
        with path.open("ab") as file:
            file.write(b'{"actor":"det')
    Journal(elsewhere, ManualClock()).owe(Note("kill", "operator:jo", "agent:a"))
    shutil.copy(elsewhere / "watch" / "owed.jsonl", folder)


def recover(root: Path, said: int) -> None:
    """The start after a crash, an erasure, and a retention that deletes the old file."""
    journal = Journal(root, SystemClock(), settings=JournalSettings(keep_s=86_400.0))
    journal.settle()
    os.writev(said, [b"+\n"])
    found = find(root / "watch", 1)
    assert found
    payload = {"writer": "watch", "seq": 1, "payload_hash": found[2].payload_hash}
    journal.append(Note("erasure", "operator:jo", "watch/1", "asked for", payload=payload))
    erase(root / "watch", 1, found[2].payload_hash)
    deadline = time.monotonic() + 10
    while first_seq(chain_files(root / "watch")[0]) == 0 and time.monotonic() < deadline:
        time.sleep(0.01)
    journal.close()


LIVES: Mapping[str, tuple[Callable[[Path], None], Callable[[Path, int], None], int]] = {
    "live": (begin, live, 0),
    "recover": (broken_off, recover, 1),
}
"""What is there before, what the child does, and how many trips and kills of before must be left after it."""


def killed_at(step: int, life: Callable[[Path, int], None], root: Path) -> tuple[int, str]:
    """How many appends were acknowledged, and the step at which the child was killed (none: it came to its end)."""
    listen, said = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            Bomb(step, said)
            life(root, said)
            os._exit(0)
        finally:
            os._exit(1)
    os.close(said)
    _, status = os.waitpid(pid, 0)
    if not os.WIFSIGNALED(status) and os.WEXITSTATUS(status):
        raise SystemExit(f"the writer failed at step {step}")
    with os.fdopen(listen, "r") as pipe:
        told = pipe.read().splitlines()
    return told.count("+"), told[-1] if os.WIFSIGNALED(status) else ""


def wrong(root: Path, kept: int) -> list[str]:
    """What is wrong with the log that a killed writer left, as it lies there and after a restart."""
    found = [f"as it lies: {problem}" for problem in verified(root).problems]
    journal = Journal(root, SystemClock())
    journal.append(Note("trip", "detector:x", "afterwards"))
    journal.close()
    report = verified(root)
    if report.problems or report.chains["watch"].verified_to < report.chains["watch"].size:
        found.append(f"after a restart: {report.json()}")
    left = sum(entry["kind"] in _KEPT for entry in entries(root)) - 1
    return found if left >= kept else [*found, f"{kept} were acknowledged, {left} are there"]


def main() -> None:
    steps: dict[str, list[str]] = {name: [] for name in LIVES}
    found: list[str] = []
    for name, (prepare, life, before) in LIVES.items():
        step = ""
        while step or not steps[name]:
            with tempfile.TemporaryDirectory() as folder:
                root = Path(folder) / "journal"
                prepare(root)
                acknowledged, step = killed_at(len(steps[name]) + 1, life, root)
                steps[name] += [step] if step else []
                found += [f"{name}, {step or 'to its end'}: {each}" for each in wrong(root, before + acknowledged)]
    print(json.dumps({"steps": steps, "wrong": found}))


if __name__ == "__main__":
    sys.exit(main())
