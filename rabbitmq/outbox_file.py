"""The file behind a durable outbox: append-only lines with checksums, one file per process.

Format. One line per record, ``{crc32 of the JSON, 8 hex digits} {JSON}\\n``; JSON is ASCII, so a line never holds a
line break of its own::

    1f0c2a77 {"put": 7, "at": 1760000000.5, "exchange": "fusebox.events", "key": "a.b", "message": {…, "body": base64}}
    90b1d3e2 {"end": [7, 8]}

Invariants
    A ``put`` is synced before :meth:`OutboxFile.append` returns. An ``end`` is not: losing it repeats a message, under
    the same id, and loses none. What is live is what was put and not ended. A half-written last line was never
    acknowledged and is left out; any other line that does not match its checksum is counted, and the file is kept
    beside as ``….damaged``. When nothing is live the file is empty; when most of it is dead it is rewritten.

One process owns a file, by flock on ``….lock``::

    free ─► owned (first free slot of the name) ─► process ends, however ─► free, perhaps with live messages
                        ▲                                                          │
                        └──────────── adopted by the next process of that name ◄───┘
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import re
import time
from collections.abc import Iterable
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Final

from fusebox import happenings
from fusebox.rundir import sync_dir, write_atomic
from fusebox.secrets_file import private_folder
from rabbitmq.outbox_lines import Parcel, end_line, parse, put_line

_SLACK: Final = 1 << 20
"""Bytes of dead lines a file may hold before rewriting pays."""

OUTBOX_DAMAGED: Final = happenings.declare(
    "outbox_damaged", logging.ERROR, "lines of an outbox file are damaged; a copy is kept beside it as .damaged"
)


class OutboxFile:
    """One process's file. Not thread-safe: the outbox calls it under its lock.

    Args:
        path: the file; made when absent.

    Raises:
        BlockingIOError: another process owns it.
        OSError: the disk refuses.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = os.fdopen(os.open(path.with_suffix(".lock"), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600), "w")
        self._sizes: dict[int, int] = {}
        self._broken = ""
        self._fd = -1
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.parcels = self._recover()
        except BaseException:
            self.close()
            raise

    def append(self, parcel: Parcel) -> None:
        """Keep a parcel; it is durable when this returns.

        Raises:
            OSError: the disk refuses; the parcel is not kept.
        """
        self._sizes[parcel.number] = self._write(put_line(parcel), sync=True)

    def end(self, numbers: Iterable[int]) -> None:
        """These parcels need not be kept any longer.

        Raises:
            OSError: the disk refuses; they may come again after a crash.
        """
        ended = [number for number in numbers if self._sizes.pop(number, None)]
        if not self._sizes:
            os.ftruncate(self._fd, 0)
            self._size = 0
        elif self._size > 2 * sum(self._sizes.values()) + _SLACK:
            self._rewrite([parcel for parcel in self._read() if parcel.number in self._sizes])
        else:
            self._write(end_line(ended), sync=False)

    def close(self) -> None:
        """Let go of the file; what is live stays in it. Legal twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self._lock.close()

    # --- inside -----------------------------------------------------------------------------------------------------
    def _recover(self) -> list[Parcel]:
        parcels = self._read()
        self._rewrite(parcels)
        return parcels

    def _read(self) -> list[Parcel]:
        """The live parcels, in order."""
        parcels, damaged = parse(self._path.read_bytes() if self._path.exists() else b"")
        if damaged:
            happenings.emit(OUTBOX_DAMAGED, count=damaged, file=str(self._path))
            self._path.with_suffix(f".{time.time_ns()}.damaged").hardlink_to(self._path)
        return parcels

    def _rewrite(self, parcels: list[Parcel]) -> None:
        lines = {parcel.number: put_line(parcel) for parcel in parcels}
        write_atomic(self._path, b"".join(lines.values()).decode("ascii"))
        fd = os.open(self._path, os.O_WRONLY | os.O_APPEND)
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._sizes = fd, {number: len(line) for number, line in lines.items()}
        self._size = sum(self._sizes.values())

    def _write(self, line: bytes, *, sync: bool) -> int:
        if self._broken:
            raise OSError(self._broken)
        try:
            written = os.write(self._fd, line)
            if written < len(line):
                raise OSError(f"only {written} of {len(line)} bytes could be written to {self._path}")
            if sync:
                os.fdatasync(self._fd)
        except OSError:
            self._retract()
            raise
        self._size += written
        return written

    def _retract(self) -> None:
        """Take a line back that is not wholly on the disk; where that fails too, write nothing after it."""
        try:
            os.ftruncate(self._fd, self._size)
            os.fdatasync(self._fd)
        except OSError as error:
            self._broken = f"{self._path} could not be repaired after a failed write: {error}; restart the process"


def open_file(folder: Path, name: str) -> OutboxFile:
    """The first file of ``name`` that no living process owns, with what ended processes of that name left in theirs.

    Raises:
        OSError: the disk refuses.
    """
    private_folder(folder)
    for slot in count():
        with contextlib.suppress(BlockingIOError):
            own = OutboxFile(folder / f"{name}-{slot}.jsonl")
            sync_dir(folder)
            break
    ours = re.compile(re.escape(name) + r"-\d+\.jsonl")
    for path in sorted(path for path in folder.iterdir() if ours.fullmatch(path.name)):
        with contextlib.suppress(BlockingIOError):
            _adopt(own, path)
    return own


def _adopt(own: OutboxFile, path: Path) -> None:
    """Take over what another file holds, unless its process lives (our own counts as that)."""
    other = OutboxFile(path)
    try:
        for parcel in other.parcels:
            mine = replace(parcel, number=own.parcels[-1].number + 1 if own.parcels else 1)
            own.append(mine)
            own.parcels.append(mine)
        other.end([parcel.number for parcel in other.parcels])
    finally:
        other.close()
