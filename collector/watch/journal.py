"""The journal: what was decided, by whom and why, written before anything follows from it.

Format: ``<folder>/watch-<first seq, 12 digits>.jsonl``, one JSON object a line, UTF-8, ending in LF::

    {"seq", "writer", "time", "kind", "actor", "subject", "reason", "trace_id", "span_id", "payload", "prev", "hash"}

``hash`` is the SHA-256 (hex) of the canonical JSON of every other field; ``prev`` is the hash of the entry before
(64 zeros for the first). ``time`` is Unix seconds on :mod:`fusebox.clock`.

Invariants
    * ``seq`` counts 0, 1, 2 … over all files; files in the order of their names are the chain.
    * An entry is on disk (write, then ``fdatasync``) before :meth:`Journal.append` returns.
    * A start, and a failed write, begin a new file: nothing is ever appended behind bytes of unknown fate.
    * Only an end can be torn. A start cuts a line without LF off the newest file, and says so.

States: open ── write or sync fails ──► broken ── next append succeeds in a new file ──► open. While it is broken, an
append raises :class:`JournalBroken`; what may not wait (a kill) is kept by :meth:`Journal.owe` and written first when
the journal works again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from fusebox import happenings
from fusebox.clock import Clock
from fusebox.command import canonical
from fusebox.errors import ConfigError, Retryable
from fusebox.rundir import sync_dir

START: Final = "0" * 64
_MAX_FILE: Final = 64 << 20
_MAX_OWED: Final = 10_000

REPAIRED: Final = happenings.declare(
    "journal_repaired", logging.ERROR, "the journal ended in half an entry (never acknowledged); it was cut off"
)
BROKEN: Final = happenings.declare("journal_broken", logging.CRITICAL, "the journal cannot be written")
OWED: Final = happenings.declare(
    "journal_owed", logging.CRITICAL, "a kill acted before it was journaled; the entry is written when that is possible"
)
OWED_LOST: Final = happenings.declare("journal_owed_lost", logging.CRITICAL, "an owed journal entry was never written")


DAMAGED: Final = happenings.declare(
    "journal_damaged", logging.CRITICAL, "a line inside the journal is no entry; it was passed over, keep the file"
)


class JournalBroken(Retryable):
    """The journal cannot be written; nothing that needs it was done."""


@dataclass(frozen=True, slots=True)
class Note:
    """What happened: an entry without its place in the chain."""

    kind: str
    actor: str
    subject: str
    reason: str = ""
    trace_id: str = ""
    span_id: str = ""
    payload: dict[str, Any] = field(default_factory=dict)


class Journal:
    """Appends entries to the chain; thread-safe. One process per folder (the caller holds the lock).

    Raises:
        ConfigError: the newest file is damaged in a way no crash explains.
    """

    def __init__(self, folder: Path, clock: Clock, writer: str = "watch") -> None:
        self._folder, self._clock, self._writer = folder, clock, writer
        self._lock = threading.Lock()
        self._owed: deque[tuple[float, Note]] = deque()
        self._fd = -1
        self._size = 0
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._seq, self._prev = _resume(folder)

    def append(self, note: Note) -> int:
        """Write one entry durably; its number.

        Raises:
            JournalBroken: it is not on disk.
        """
        with self._lock:
            self._pay()
            return self._write(self._clock.now(), note)

    def owe(self, note: Note) -> None:
        """Keep an entry that could not be written, for later."""
        happenings.emit(OWED, kind=note.kind, subject=note.subject, actor=note.actor, reason=note.reason)
        with self._lock:
            if len(self._owed) >= _MAX_OWED:
                happenings.emit(OWED_LOST, reason="too many")
                return
            self._owed.append((self._clock.now(), note))

    @property
    def owing(self) -> bool:
        """True while entries wait that could not be written."""
        return bool(self._owed)

    def settle(self) -> bool:
        """Try to write what is owed; True when nothing is left."""
        with self._lock:
            try:
                self._pay()
            except JournalBroken:
                return False
            return True

    def close(self) -> None:
        """Legal twice; what is still owed is counted as lost."""
        if not self.settle():
            happenings.emit(OWED_LOST, count=len(self._owed), reason="at exit")
        with self._lock:
            self._abandon()

    def _pay(self) -> None:
        while self._owed:
            time, note = self._owed[0]
            self._write(time, note)
            self._owed.popleft()

    def _write(self, time: float, note: Note) -> int:
        entry = {"seq": self._seq, "writer": self._writer, "time": time, **asdict(note), "prev": self._prev}
        entry["hash"] = digest(entry)
        try:
            self._put(canonical(entry) + b"\n")
        except OSError as error:
            self._abandon()
            happenings.emit(BROKEN, folder=str(self._folder), error=str(error))
            raise JournalBroken(
                f"the journal in {self._folder} cannot be written ({error}); free or mount it"
            ) from error
        self._seq, self._prev = self._seq + 1, str(entry["hash"])
        return self._seq - 1

    def _put(self, line: bytes) -> None:
        if self._fd < 0 or self._size >= _MAX_FILE:
            self._abandon()
            self._open()
        os.lseek(self._fd, 0, os.SEEK_END)
        written = 0
        while written < len(line):
            written += os.write(self._fd, line[written:])
        os.fdatasync(self._fd)
        self._size += len(line)

    def _open(self) -> None:
        path = self._folder / f"watch-{self._seq:012d}.jsonl"
        # A file of this number can only hold what failed to become entry `seq`.
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        self._size = 0
        sync_dir(self._folder)

    def _abandon(self) -> None:
        """Leave the file; bytes of an entry that failed are cut off, now or by the next start."""
        if self._fd < 0:
            return
        fd, self._fd = self._fd, -1
        try:
            os.ftruncate(fd, self._size)
        except OSError as error:
            happenings.emit(BROKEN, folder=str(self._folder), error=str(error))
        finally:
            os.close(fd)


def entries(folder: Path) -> Iterator[dict[str, Any]]:
    """Every complete entry, oldest first; a line that is none is passed over, loudly: people must be able to kill."""
    for path in _files(folder):
        with path.open("rb") as file:
            for line in file:
                if line.endswith(b"\n") and (entry := _entry(path, line)):
                    yield entry


def _entry(path: Path, line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
        if digest(entry) == entry["hash"]:
            return dict(entry)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    happenings.emit(DAMAGED, file=str(path), bytes=len(line))
    return None


def digest(entry: dict[str, Any]) -> str:
    """The hash that belongs into an entry."""
    return hashlib.sha256(canonical({k: v for k, v in entry.items() if k != "hash"})).hexdigest()


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("watch-*.jsonl"))


def _resume(folder: Path) -> tuple[int, str]:
    """Repair the end; the next number and the hash it follows."""
    for path in reversed(_files(folder)):
        _cut_torn(path)
        last = _last_line(path)
        if last:
            return _follow(path, last)
    return 0, START


def _follow(path: Path, line: bytes) -> tuple[int, str]:
    try:
        entry = json.loads(line)
        if digest(entry) != entry["hash"]:
            raise ValueError("its hash is wrong")
        return int(entry["seq"]) + 1, str(entry["hash"])
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"the last entry of {path} is damaged ({error}); keep the file for the auditors and move the folder away"
        ) from error


def _cut_torn(path: Path) -> None:
    data = path.read_bytes()
    whole = data.rfind(b"\n") + 1
    if whole < len(data):
        happenings.emit(REPAIRED, file=str(path), bytes=len(data) - whole)
        with path.open("r+b") as file:
            file.truncate(whole)
            os.fsync(file.fileno())


def _last_line(path: Path) -> bytes:
    lines = path.read_bytes().rstrip(b"\n").rsplit(b"\n", 1)
    return lines[-1]
