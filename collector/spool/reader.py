"""A reader: delivers durable records in order and remembers, durably, how far its work is done."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from collector.spool.cursor import Mark, known_cursor, register, write_cursor
from collector.spool.errors import DAMAGED, LOST
from collector.spool.record import HEADER, Header, Record, intact, parse_header, walk
from collector.spool.segment import Segment, keep_evidence, segments
from fusebox import happenings
from fusebox.errors import ConfigError
from fusebox.registry import AGENT_ID


class Reader:
    """One process's view of a spool; use it from one thread, but for :meth:`lag`. The spool may be written, or not
    exist, meanwhile.

    Delivery is at least once: after a restart it goes on behind the last :meth:`commit`. Damaged records are skipped
    and counted, never waited for.

    Args:
        folder: the spool's folder.
        name: whose cursor this is; from now on the writer keeps what this reader has not committed.

    Raises:
        ConfigError: the name cannot be a file name.
    """

    def __init__(self, folder: Path, name: str) -> None:
        if not AGENT_ID.fullmatch(name):
            raise ConfigError(f"reader name {name!r} must match {AGENT_ID.pattern}")
        self._folder = folder
        self._name = name
        register(folder, name)
        self._mark = Mark(folder)
        done = known_cursor(folder, name)
        self.astray = done is None
        """True when the cursor was damaged, so that reading begins at the oldest record."""
        self._committed = self._position = done or 0
        self._durable = 0
        self._file: _Current | None = None

    def read(self, max_records: int, max_bytes: int) -> list[Record]:
        """The next durable records, oldest first; empty when there is nothing new. Never waits.

        At least one record is given when there is one, even when it alone exceeds ``max_bytes``.
        """
        self._durable = self._mark.read()
        records: list[Record] = []
        size = 0
        while self._position < self._durable and len(records) < max_records and size < max_bytes:
            record = self._next()
            if record is None:
                break
            records.append(record)
            size += len(record.payload)
        return records

    def commit(self, number: int) -> None:
        """Everything up to and including ``number`` is done; durable when this returns. Older numbers are ignored."""
        if number > self._committed:
            write_cursor(self._folder, self._name, number)
            self._committed = number
            self._position = max(self._position, number)

    def lag(self) -> int:
        """Bytes this reader has not read yet. Any thread may ask."""
        if self._position >= self._mark.read():
            return 0
        current = self._file
        segment, offset = (current.segment, current.offset) if current else (self._located(), 0)
        if segment is None:
            return 0
        return max(0, sum(s.size() for s in segments(self._folder) if s.base >= segment.base) - offset)

    def close(self) -> None:
        """Release files. Legal twice."""
        self._leave()
        self._mark.close()

    def _next(self) -> Record | None:
        while current := self._file or self._enter(self._located()):
            found = current.record()
            if found is None:
                if not self._move_on(current):
                    return None
                continue
            if found.number > self._position:
                self._report_lost(current, found.number)
                self._position = found.number
                return found
        return None

    def _move_on(self, current: _Current) -> bool:
        """At a place without an intact record: go to the next one, here or in the next segment; False when none."""
        later = [s for s in segments(self._folder) if current.segment.base < s.base <= self._durable]
        skipped = current.resync(closed=bool(later))
        if skipped:
            happenings.emit(DAMAGED, segment=current.segment.path.name, offset=current.offset - skipped, bytes=skipped)
            current.put_aside()
            return True
        if not later or not current.exhausted():
            return False
        self._report_lost(current, later[0].base)
        self._leave()
        return self._enter(later[0]) is not None

    def _report_lost(self, current: _Current, upto: int) -> None:
        if current.damaged and upto - self._position > 1:
            happenings.emit(LOST, count=upto - self._position - 1, segment=current.segment.path.name)
        current.damaged = False

    def _located(self) -> Segment | None:
        existing = segments(self._folder)
        return next((s for s in reversed(existing) if s.base <= self._position + 1), existing[0] if existing else None)

    def _enter(self, segment: Segment | None) -> _Current | None:
        if segment is None:
            return None
        try:
            self._file = _Current(segment)
        except FileNotFoundError:
            return None
        self._position = max(self._position, segment.base - 1)
        return self._file

    def _leave(self) -> None:
        if self._file:
            os.close(self._file.fd)
            self._file = None


_NEVER: Final = -1


class _Current:
    """The segment being read, and where."""

    def __init__(self, segment: Segment) -> None:
        self.segment = segment
        self.offset = 0
        self.damaged = False
        self._aside = False
        self._fruitless = _NEVER
        """Size of the file when it was last searched in vain."""
        self.fd = os.open(segment.path, os.O_RDONLY | os.O_CLOEXEC)

    def size(self) -> int:
        return os.fstat(self.fd).st_size

    def put_aside(self) -> None:
        """Keep the damaged segment for people: once, at however many places it is damaged."""
        if not self._aside:
            self._aside = True
            keep_evidence(self.segment)

    def exhausted(self) -> bool:
        return self.offset >= self.size()

    def record(self) -> Record | None:
        """The intact record right here, or None."""
        header = parse_header(os.pread(self.fd, HEADER, self.offset), self.segment.salt)
        if header is None:
            return None
        payload = os.pread(self.fd, header.length, self.offset + HEADER)
        if not intact(header, payload, self.segment.salt):
            return None
        self.offset += HEADER + header.length
        return Record(header.number, payload)

    def resync(self, *, closed: bool) -> int:
        """Skip to the next intact record, or (in a closed segment) to the end; how many bytes that were."""
        size = self.size()
        if self.offset >= size or (size == self._fruitless and not closed):
            return 0
        data = os.pread(self.fd, size - self.offset, self.offset)
        found: tuple[int, Header] | None = next(walk(data, self.segment.salt), None)
        if found is None and not closed:
            self._fruitless = size
            return 0
        skipped = found[0] if found else len(data)
        self.offset += skipped
        self.damaged = self.damaged or skipped > 0
        return skipped
