"""The two kinds of small number files: the durable mark and the readers' cursors."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Final

import xxhash

from collector.spool.errors import CURSOR_UNREADABLE
from fusebox import happenings
from fusebox.rundir import write_atomic

READERS: Final = ("keep", "watch")
"""Readers that a new spool waits for even before their first run."""

_MARK: Final = struct.Struct("<QQ")


class Mark:
    """The durable mark: written by one process, read by many, 16 bytes at a time.

    A reader that meets a half-written one sees a wrong checksum and keeps the number it knew.
    """

    def __init__(self, folder: Path, *, writable: bool = False) -> None:
        self._path = folder / "durable"
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600) if writable else -1
        self._known = 0

    def read(self) -> int:
        """The highest durable record number (0 = none)."""
        if self._fd < 0 and not self._open():
            return 0
        data = os.pread(self._fd, _MARK.size, 0)
        if len(data) == _MARK.size:
            number, checksum = _MARK.unpack(data)
            if checksum == _sum(number):
                self._known = number
        return self._known

    def write(self, number: int) -> None:
        """Move the mark."""
        os.pwrite(self._fd, _MARK.pack(number, _sum(number)), 0)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _open(self) -> bool:
        try:
            self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        return True


def read_cursor(folder: Path, name: str) -> int:
    """The number ``name`` is done with; 0 when it never committed or its file is damaged."""
    return known_cursor(folder, name) or 0


def known_cursor(folder: Path, name: str) -> int | None:
    """The number ``name`` is done with; 0 when it never committed, None when its file is damaged."""
    try:
        text = (folder / "cursors" / name).read_text(errors="replace")
    except FileNotFoundError:
        return 0
    number, _, checksum = text.strip().partition(" ")
    if number.isascii() and number.isdigit() and len(number) <= 20 and checksum == f"{_sum(int(number)):016x}":
        return int(number)
    happenings.emit(CURSOR_UNREADABLE, reader=name)
    return None


def write_cursor(folder: Path, name: str, number: int) -> None:
    """Store a cursor durably."""
    write_atomic(folder / "cursors" / name, f"{number} {_sum(number):016x}\n")


def register(folder: Path, name: str) -> None:
    """Make the writer keep records for ``name`` from now on."""
    if not (folder / "cursors" / name).exists():
        write_cursor(folder, name, 0)


def cursors(folder: Path) -> dict[str, int]:
    """Every registered reader's number."""
    try:
        names = [n for n in os.listdir(folder / "cursors") if not n.startswith(".")]
    except FileNotFoundError:
        return {}
    return {name: read_cursor(folder, name) for name in names}


def _sum(number: int) -> int:
    return xxhash.xxh64_intdigest(number.to_bytes(16, "little"))
