"""What acted before it could be journaled, in memory and, where that is possible, in ``owed.jsonl``.

A kill never waits for a disk. What is owed is written into the chain first thing when that works again, with the time
at which it happened; after a crash in between an entry can be there twice, never not at all while the file could be
written.
"""

from __future__ import annotations

import json
import logging
import os
from collections import deque
from dataclasses import asdict
from pathlib import Path
from typing import Final

from collector.audit.canonical import canonical
from collector.audit.entry import Note
from fusebox import happenings

_FILE: Final = "owed.jsonl"
_MAX: Final = 10_000

OWED: Final = happenings.declare(
    "journal_owed", logging.CRITICAL, "a kill acted before it was journaled; the entry is written when that is possible"
)
LOST: Final = happenings.declare("journal_owed_lost", logging.CRITICAL, "an owed journal entry was never written")


class Owed:
    """A queue; the caller holds a lock."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / _FILE
        self._notes: deque[tuple[float, Note]] = deque(self._read())
        self._filed = bool(self._notes)

    def __len__(self) -> int:
        return len(self._notes)

    def add(self, time: float, note: Note) -> None:
        """Keep a note."""
        happenings.emit(OWED, kind=note.kind, subject=note.subject, actor=note.actor, reason=note.reason)
        if len(self._notes) >= _MAX:
            happenings.emit(LOST, reason="too many")
            return
        self._notes.append((time, note))
        self._file(time, note)

    def all(self) -> list[tuple[float, Note]]:
        """What is owed, oldest first."""
        return list(self._notes)

    def paid(self, count: int) -> None:
        """The oldest ``count`` are in the chain."""
        for _ in range(count):
            self._notes.popleft()
        if self._filed and not self._notes:
            self._path.unlink(missing_ok=True)
            self._filed = False

    def _file(self, time: float, note: Note) -> None:
        try:
            fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.write(fd, canonical({"time": time, "note": asdict(note)}) + b"\n")
                os.fsync(fd)
            finally:
                os.close(fd)
            self._filed = True
        except OSError as error:
            happenings.emit(OWED, kind=note.kind, subject=note.subject, error=f"in memory only: {error}")

    def _read(self) -> list[tuple[float, Note]]:
        if not self._path.exists():
            return []
        found = []
        for line in self._path.read_bytes().splitlines():
            try:
                data = json.loads(line)
                found.append((float(data["time"]), Note(**data["note"])))
            except (ValueError, KeyError, TypeError) as error:
                happenings.emit(LOST, reason=f"a damaged line of {self._path}: {error}")
        return found
