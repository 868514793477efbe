"""The end of a chain on disk: where it stands, and durable appends to it. One thread at a time.

Invariants
    * What :meth:`End.append` was given is on disk (write, then ``fdatasync``) when it returns, else nothing of it.
    * A new file is begun every day or 64 MiB, so that retention has something to delete.
    * A start, and a failed write, begin a new file: nothing is ever appended behind bytes of unknown fate.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from collector.audit import checkpoint
from collector.audit.checkpoint import Checkpoint
from collector.audit.entry import START, BadLine, Entry, decode, leaf, line
from collector.audit.files import chain_files, cut_torn, lines
from collector.audit.merkle import Frontier
from fusebox import happenings
from fusebox.rundir import sync_dir

_MAX_FILE: Final = 64 << 20
_DAY_S: Final = 86_400.0

BROKEN: Final = happenings.declare("journal_broken", logging.CRITICAL, "the journal cannot be written")


class Unsound(Exception):
    """What is on disk is not what was written; the text says where."""


class End:
    """Where a chain ends, and its files.

    Attributes:
        head: the hash of the last entry.
        tree: of all entries.
        signed: the last checkpoint.
        torn: bytes that a crash had left behind the last entry.

    Raises:
        Unsound: the end is damaged, or older than the last checkpoint. No crash does that.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._fd, self._size, self._opened = -1, 0, 0.0
        files = chain_files(folder)
        before = sum(file.stat().st_size for file in files[-1:])
        self.torn = before - sum(cut_torn(file) for file in files[-1:])
        if (folder / checkpoint.FILE).exists():
            cut_torn(folder / checkpoint.FILE)
        self.signed = checkpoint.last(folder)
        self.tree, self.head = self._read(self.signed)

    @property
    def seq(self) -> int:
        """The number of the next entry."""
        return self.tree.size

    def append(self, entries: Sequence[Entry]) -> None:
        """Make entries durable, all or none.

        Raises:
            OSError: none is.
        """
        try:
            self._put(b"".join(line(entry) + b"\n" for entry in entries), entries[0].seq)
        except OSError as error:
            self.leave()
            happenings.emit(BROKEN, folder=str(self._folder), error=str(error))
            raise
        for entry in entries:
            self.tree.append(bytes.fromhex(entry.hash))
        self.head = entries[-1].hash

    def leave(self) -> None:
        """Leave the file; bytes of entries that failed are cut off, now or by the next start."""
        if self._fd < 0:
            return
        fd, self._fd = self._fd, -1
        try:
            os.ftruncate(fd, self._size)
        except OSError as error:
            happenings.emit(BROKEN, folder=str(self._folder), error=str(error))
        finally:
            os.close(fd)

    def _put(self, data: bytes, seq: int) -> None:
        if self._fd < 0 or self._size >= _MAX_FILE or time.monotonic() - self._opened >= _DAY_S:
            self.leave()
            self._open(seq)
        os.lseek(self._fd, 0, os.SEEK_END)
        written = 0
        while written < len(data):
            written += os.write(self._fd, data[written:])
        os.fdatasync(self._fd)
        self._size += len(data)

    def _open(self, seq: int) -> None:
        # A file of this number can only hold what failed to become entry `seq`.
        path = self._folder / f"{seq:012d}.jsonl"
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        self._size, self._opened = 0, time.monotonic()
        sync_dir(self._folder)

    def _read(self, signed: Checkpoint | None) -> tuple[Frontier, str]:
        """Compute the tree of what follows the last checkpoint, and look at the entry before it.

        A damaged line further back is left to a verification: what was signed is known without it.
        """
        tree, head = (signed.tree, signed.head) if signed else (Frontier(), START)
        newest: Entry | None = None
        unreadable = ""
        for text in lines(self._folder, max(0, tree.size - 1)):
            try:
                entry, unreadable = decode(text), ""
            except BadLine as error:
                unreadable = str(error)
                continue
            newest = entry
            if entry.seq >= tree.size or tree.size > (signed.size if signed else 0):
                self._follow(entry, tree.size, head)
                tree.append(leaf(entry))
                head = entry.hash
        if unreadable or (tree.size and not (newest and newest.genuine and newest.hash == head)):
            raise Unsound(
                f"{self._folder} does not end with entry {tree.size - 1} as it was written {unreadable}".strip()
            )
        return tree, head

    def _follow(self, entry: Entry, seq: int, head: str) -> None:
        if entry.seq != seq or entry.prev != head or not entry.genuine:
            raise Unsound(f"entry {seq} in {self._folder} is not what was written, or does not follow the one before")
