"""The file of a kill latch: records that are appended, and never changed.

Format: JSON Lines, one record each, UTF-8, mode 0600::

    {"op": "kill", "id": …, "scope": …, "reason": …, "operator": …, "time": …, "sum": "<16 hex>"}
    {"op": "lift", "ids": […], "sum": "<16 hex>"}
    {"op": "vouch", "agent": …, "sum": "<16 hex>"}

``sum`` is the start of the SHA-256 of the record's canonical JSON without ``sum``. What records mean:
:mod:`breakers.latch`.

Invariants

* An append is durable before it returns (with the folder's entry, when its turn ends); one that fails leaves nothing.
* Several processes may share a file: appends are serialised by ``flock``, each one ends with a newline, and a writer
  first takes in what others have appended.
* A last line without its newline was never acknowledged: it is read when it is whole, else cut off before the next
  append.
* A damaged line (or a line of a version that we do not know) may have been a kill of anybody: it latches **all**, as
  kill ``damaged-<hash of the line>``, loudly. A person who has looked into it lifts that id like any other.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from fusebox import happenings
from fusebox.command import ALL, canonical, names_someone
from fusebox.rundir import sync_dir
from fusebox.secrets_file import private_folder

LATCH_DAMAGED: Final = happenings.declare(
    "latch_damaged",
    logging.CRITICAL,
    "a line of the latch file cannot be read; everything stays cut until it is lifted",
)
Record = dict[str, Any]
_KILL_KEYS: Final = {"op", "id", "scope", "reason", "operator", "time"}


class LatchFile:
    """One reader's place in the file. Not thread-safe.

    Raises:
        OSError: from any method: the file cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._inode = self._end = 0
        """Which file was read, and up to which byte its lines are known."""
        self._tail: list[Record] = []
        """The last line, where it is whole but for its newline: it is written again with one."""

    def news(self) -> list[Record]:
        """What was appended since. Cheap when there is nothing."""
        try:
            stat = self._path.stat()
        except FileNotFoundError:
            return []
        if (stat.st_ino, stat.st_size) == (self._inode, self._end):
            return []
        with self._path.open("rb") as file:
            return self.read(file.fileno())

    @contextmanager
    def turn(self) -> Iterator[int]:
        """No other process appends while the block runs; gives the file's descriptor."""
        private_folder(self._path.parent)
        fd = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield fd
        finally:
            os.close(fd)
        sync_dir(self._path.parent)

    def is_another(self, fd: int) -> bool:
        """True when the file is new, was replaced, or was cut: it may not hold what was read or written."""
        stat = os.fstat(fd)
        return stat.st_ino != self._inode or stat.st_size < self._end

    def read(self, fd: int) -> list[Record]:
        """What stands past our place, damaged lines as kills of all."""
        start = 0 if self.is_another(fd) else self._end
        stat = os.fstat(fd)
        data = os.pread(fd, stat.st_size - start, start)
        complete, _, tail = data.rpartition(b"\n")
        records = [_parse(line) or _damaged(line) for line in complete.split(b"\n") if line]
        whole = _parse(tail) if tail else None
        self._tail = [whole] if whole else []
        self._inode, self._end = stat.st_ino, start + len(data) - len(tail)
        return records + self._tail

    def append(self, fd: int, records: Sequence[Record]) -> None:
        """Write where :meth:`read` has stopped; on failure nothing of it is left."""
        os.ftruncate(fd, self._end)
        data = b"".join(map(_line, [*self._tail, *records]))
        try:
            while data:
                data = data[os.write(fd, data) :]
            os.fsync(fd)
        except OSError:
            os.ftruncate(fd, self._end)
            raise
        self._end = os.fstat(fd).st_size


def _line(record: Record) -> bytes:
    return canonical({**record, "sum": _sum(record)}) + b"\n"


def _sum(record: Record) -> str:
    return hashlib.sha256(canonical(record)).hexdigest()[:16]


def _parse(line: bytes) -> Record | None:
    """A record, or None when the line is damaged or none of ours."""
    try:
        record: Record = json.loads(line)
        intact = record.pop("sum") == _sum(record) and _fits(record)
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        return None
    return record if intact else None


def _fits(record: Record) -> bool:
    if record["op"] == "lift":
        return record.keys() == {"op", "ids"} and all(isinstance(i, str) for i in record["ids"])
    if record["op"] == "vouch":
        return record.keys() == {"op", "agent"} and isinstance(record["agent"], str)
    return record["op"] == "kill" and record.keys() == _KILL_KEYS and names_someone(record["scope"])


def _damaged(line: bytes) -> Record:
    id_ = f"damaged-{hashlib.sha256(line).hexdigest()[:16]}"
    happenings.emit(LATCH_DAMAGED, kill=id_, line=line[:200].decode("utf-8", "replace"))
    reason = f"a line of the latch file is damaged; lift {id_} once it is known"
    return {"op": "kill", "id": id_, "scope": ALL, "reason": reason, "operator": "", "time": 0.0}
