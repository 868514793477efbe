"""Erasing a payload on disk, in place: the line keeps its length, so a writer behind it is not disturbed."""

from __future__ import annotations

import os
from pathlib import Path

from collector.audit.entry import BadLine, Entry, decode, erased
from collector.audit.files import chain_files, first_seq


def find(folder: Path, seq: int) -> tuple[Path, int, Entry] | None:
    """The file, the offset of its line in it, and the entry with this number; None when there is none."""
    files = [path for path in chain_files(folder) if first_seq(path) <= seq]
    for path in reversed(files):
        offset = 0
        with path.open("rb") as file:
            for line in file:
                entry = _read(line)
                if entry and entry.seq == seq:
                    return path, offset, entry
                offset += len(line)
    return None


def erase(folder: Path, seq: int, payload_hash: str) -> bool:
    """Put ``null`` and spaces in the place of a payload, durably; False when it is not there (any more).

    Raises:
        OSError: it could not be written.
    """
    found = find(folder, seq)
    if found is None or found[2].payload_hash != payload_hash or not found[2].payload:
        return False
    path, offset, entry = found
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        before = os.fstat(fd)
        os.pwrite(fd, erased(entry), offset)
        os.utime(fd, ns=(before.st_atime_ns, before.st_mtime_ns))  # retention takes it for the newest entry's
        os.fsync(fd)
    finally:
        os.close(fd)
    return True


def _read(line: bytes) -> Entry | None:
    try:
        return decode(line.removesuffix(b"\n"))
    except BadLine:
        return None
