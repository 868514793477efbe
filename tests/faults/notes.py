"""Notes: one append-only file into which every process of the fault laboratory writes what it saw.

One JSON array a line, ``[kind, pid, subject, detail]``::

    started    parcel   its handler began; detail = digest of the body it was given
    finished   parcel   its handler reached its last line
    completed  parcel   its claim says done: from here on the handler must never run again
    confirmed  parcel   a process other than the laboratory's own published it
    ended      ""       the process ``detail`` is gone; written before a successor is started
    happening  event    a line of Fusebox's own log; detail = the line
    others              what a fault wants to know of its own parcel

Each line is one ``write`` to a file opened with O_APPEND: lines of several processes never mix, their order is the
order in which they were written, and SIGKILL loses none.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple


class Note(NamedTuple):
    """One line."""

    kind: str
    pid: int
    subject: str
    detail: str


class Notes:
    """Writes to the file, and reads what is new in it."""

    def __init__(self, path: Path) -> None:
        self._out = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._in = path.open("rb")
        self._half = b""

    def write(self, kind: str, subject: str, detail: str = "") -> None:
        """Note something; legal in any thread and in a forked child."""
        os.write(self._out, json.dumps([kind, os.getpid(), subject, detail]).encode() + b"\n")

    def read(self) -> Iterator[Note]:
        """What was written since the last call, in order."""
        *lines, self._half = (self._half + self._in.read()).split(b"\n")
        return (Note(*json.loads(line)) for line in lines)

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._out)
        self._in.close()


class _Happenings(logging.Handler):
    """Notes each line of Fusebox's own log."""

    def __init__(self, notes: Notes) -> None:
        super().__init__(logging.INFO)
        self._notes = notes

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        self._notes.write("happening", str(json.loads(text)["event"]), text[:2000])


@contextmanager
def noting_happenings(notes: Notes) -> Iterator[None]:
    """Note what Fusebox says of itself in this process, and say it nowhere else."""
    log, handler = logging.getLogger("fusebox"), _Happenings(notes)
    before = log.level, log.propagate
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(before[0])
        log.propagate = before[1]
