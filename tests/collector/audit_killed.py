"""A program for :mod:`tests.collector.test_audit_killed`: lives of a journal in a child, which dies at every step.

A step is one call to the operating system that changes a file; its name is the call and the file. Prints, as JSON, the
steps at which each life was killed, and what was wrong after it.
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
    """Tells each call; kills this process at the call of this name that ``spared`` came before; half of a write is
    done by then. Counted by name, because the threads of a journal take turns as they like.
    """

    def __init__(self, name: str, spared: int, said: int) -> None:
        self._name, self._spared, self._said = name, spared, said
        for call in _CALLS:
            setattr(os, call, self._counting(call, getattr(os, call)))

    def _counting(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **more: Any) -> Any:
            step = f"{name} {_file(arguments[0])}"
            os.writev(self._said, [f"{step}\n".encode()])
            if step == self._name:
                self._spared -= 1
                if self._spared < 0:
                    self._die(name, call, arguments)
            return call(*arguments, **more)

        return counted

    def _die(self, name: str, call: Callable[..., Any], arguments: Any) -> None:
        if name == "write":
            call(arguments[0], arguments[1][: len(arguments[1]) // 2])
        os.kill(os.getpid(), signal.SIGKILL)


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


def killed_at(name: str, spared: int, life: Callable[[Path, int], None], root: Path) -> tuple[int, list[str], bool]:
    """How many appends were acknowledged, the child's steps in their order, and whether it was killed."""
    listen, said = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            Bomb(name, spared, said)
            life(root, said)
            os._exit(0)
        finally:
            os._exit(1)
    os.close(said)
    with os.fdopen(listen, "r") as pipe:
        told = pipe.read().splitlines()
    _, status = os.waitpid(pid, 0)
    if not os.WIFSIGNALED(status) and os.WEXITSTATUS(status):
        raise SystemExit(f"the writer failed at {name}")
    return told.count("+"), [step for step in told if step != "+"], os.WIFSIGNALED(status)


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


def lived(name: str, step: str, spared: int) -> tuple[list[str], bool, list[str]]:
    """One life that ends at a step (none: in order): its steps, whether it was killed, and what was wrong after it."""
    prepare, life, before = LIVES[name]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "journal"
        prepare(root)
        acknowledged, steps, killed = killed_at(step, spared, life, root)
        found = [f"{name}, {step or 'to its end'}: {each}" for each in wrong(root, before + acknowledged)]
    return steps, killed, found


def main() -> None:
    died: dict[str, list[str]] = {name: [] for name in LIVES}
    found: list[str] = []
    for name in LIVES:
        steps, _, bad = lived(name, "", 0)
        found += bad
        for number, step in enumerate(steps):
            _, killed, bad = lived(name, step, steps[:number].count(step))
            died[name] += [step] if killed else []
            found += bad
    print(json.dumps({"steps": died, "wrong": found}))


if __name__ == "__main__":
    sys.exit(main())
