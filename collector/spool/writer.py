"""The one writer: group commit and rotation. Format and invariants are in :mod:`collector.spool`."""

from __future__ import annotations

import contextlib
import math
import os
import secrets
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from collector.setup import owned
from collector.spool.age import AgeCap
from collector.spool.cursor import READERS, Mark, register
from collector.spool.errors import FULL, SYNC_FAILED, SpoolFailed, SpoolFull
from collector.spool.opened import OpenSegment, no_room
from collector.spool.record import HEADER, MAX_PAYLOAD, header_of
from collector.spool.recovery import recover
from collector.spool.reserve import RESERVE, Reserve
from collector.spool.room import Room
from collector.spool.segment import new_segment, segments
from fusebox import happenings
from fusebox.clock import Clock, SystemClock

_SEGMENT_BYTES: Final = 64 << 20
_STUCK_S: Final = 10.0
_CLOCK: Final = SystemClock()


class Writer:
    """Appends records, durably.

    Args:
        folder: the spool's folder; made when absent.
        max_bytes: what all segments together may hold.
        readers: readers that records are kept for from the start.
        segment_bytes: size at which a new segment begins.
        max_age_s: seconds that a record may wait to be stored before the spool refuses others.
        reserve: bytes to leave free on the disk.

    Raises:
        DataDirInUse: another process writes this spool.
        OSError: the disk refuses.
    """

    def __init__(
        self,
        folder: Path,
        max_bytes: int,
        readers: Iterable[str] = READERS,
        segment_bytes: int = _SEGMENT_BYTES,
        *,
        max_age_s: float = math.inf,
        reserve: int = RESERVE,
        clock: Clock = _CLOCK,
    ) -> None:
        self._folder, self._clock = folder, clock
        self._age = AgeCap(folder, max_age_s, clock)
        self._room = Room(folder, max_bytes, Reserve(folder, reserve, clock))
        self._segment_bytes = max(1, min(segment_bytes, max_bytes // 4))
        self._cond = threading.Condition()
        self._syncing = False
        self._sync_began = 0.0
        self._broken = ""
        self._failure = ""
        """What became of the last record, if it was not stored."""
        self._refused = 0
        """Its bytes, if there was no room for it."""
        self._open: OpenSegment | None = None
        self._resources = contextlib.ExitStack()
        with contextlib.ExitStack() as resources:
            resources.enter_context(owned(folder / "lock", "receive"))
            self._mark = Mark(folder, writable=True)
            resources.callback(self._mark.close)
            self._recover(readers)
            self._resources = resources.pop_all()

    def append(self, payload: bytes) -> int:
        """Store ``payload``; return its record number once it is durable.

        Raises:
            SpoolFull: there is no room; nothing was kept.
            SpoolFailed: the disk reported an error, or the writer is closed.
            ValueError: the payload is longer than ``MAX_PAYLOAD``.
        """
        if len(payload) > MAX_PAYLOAD:
            raise ValueError(f"a record holds at most {MAX_PAYLOAD} bytes, not {len(payload)}")
        with self._cond:
            try:
                self._await_sync_of_finished_segment()
                segment, number = self._write(payload)
                self._await_sync(segment, number)
            except (SpoolFull, SpoolFailed) as error:
                self._failure = str(error)
                raise
            except OSError as error:  # of the folder, not of the segment: it may pass, so senders come again
                self._failure = f"the folder of the spool cannot be used: {error}"
                raise SpoolFailed(self._failure) from error
            self._failure = ""
        return number

    def size(self) -> int:
        """Bytes that all segments hold together."""
        with self._cond:
            return self._room.used

    def oldest(self) -> float:
        """Seconds for which the oldest record waits to be stored."""
        return self._age.oldest(self.number())

    def trouble(self) -> str:
        """Why the next record would be refused, if it were as long as the last one that was; "" while records flow.

        What the disk reported stands until a record is durable again; one that reports nothing at all is no better.
        """
        with self._cond:
            hanging = self._clock.monotonic() - self._sync_began if self._syncing else 0.0
            if hanging > _STUCK_S:
                return f"the disk of the spool does not answer for {hanging:.0f} s"
            try:
                self._check(self._refused)
            except (SpoolFull, SpoolFailed, OSError) as error:
                return str(error)
            return "" if self._refused else self._failure

    def number(self) -> int:
        """The highest durable record number."""
        return self._mark.read()

    def close(self) -> None:
        """Make everything durable and release the spool. Legal twice."""
        with self._cond:
            self._broken = self._broken or "the spool is closed"
            while self._syncing:
                self._cond.wait()
            if self._open:
                self._finish(self._open)
            self._resources.close()

    def _recover(self, readers: Iterable[str]) -> None:
        self._next = recover(self._folder, self._mark.read()) + 1
        self._mark.write(self._next - 1)
        for name in readers:
            register(self._folder, name)
        existing = segments(self._folder)
        self._salt = existing[-1].salt if existing else secrets.randbits(32)
        self._room.delete_passed(self._next, keep_newest=True)

    def _write(self, payload: bytes) -> tuple[OpenSegment, int]:
        """Under the lock, no sync running on a full segment: write one record, return where it went."""
        self._refused = 0
        try:
            self._check(HEADER + len(payload))
        except SpoolFull as error:
            self._refused = HEADER + len(payload)
            happenings.emit(FULL, error=str(error))
            raise
        segment = self._open or self._begin()
        number = self._next
        try:
            segment.write(header_of(number, payload, self._salt), payload)
        except OSError as error:
            self._broken = f"half a record could not be cut off ({error}); check the disk and restart receive"
            raise SpoolFailed(self._broken) from error
        self._next = number + 1
        self._room.used += HEADER + len(payload)
        return segment, number

    def _check(self, need: int) -> None:
        """Raises: SpoolFull, SpoolFailed: a record of ``need`` bytes cannot be taken now."""
        if self._broken:
            raise SpoolFailed(self._broken)
        self._age.check(self._next - 1)
        self._room.make(need, self._next, keep_newest=self._open is not None)

    def _begin(self) -> OpenSegment:
        try:
            self._open = OpenSegment(new_segment(self._folder, self._next, self._salt), self._clock.wall())
        except OSError as error:
            raise no_room(error) from error
        return self._open

    def _await_sync_of_finished_segment(self) -> None:
        while self._open and (self._open.end >= self._segment_bytes or self._age.ends(self._open.begun)):
            if self._syncing:
                self._cond.wait()
            else:
                self._finish(self._open)
                self._room.delete_passed(self._next, keep_newest=True)

    def _await_sync(self, segment: OpenSegment, number: int) -> None:
        while segment.durable < number:
            if segment.failure:
                raise SpoolFailed(f"the disk reported an error: {segment.failure}")
            if self._syncing:
                self._cond.wait()
            else:
                self._sync(segment)

    def _sync(self, segment: OpenSegment) -> None:
        """Lead a group commit: the lock is released while the disk works."""
        number, end = self._next - 1, segment.end
        self._syncing, self._sync_began = True, self._clock.monotonic()
        self._cond.release()
        failure: OSError | None = OSError("interrupted")
        try:
            os.fdatasync(segment.fd)
            failure = segment.gone()
        except OSError as error:
            failure = error
        finally:
            self._cond.acquire()
            self._syncing = False
            self._settle(segment, number, end, failure or self._moved(number))
            self._cond.notify_all()

    def _settle(self, segment: OpenSegment, number: int, end: int, failure: OSError | None) -> None:
        if failure:
            self._abandon(segment, failure)
            return
        segment.durable, segment.durable_end = number, end

    def _moved(self, number: int) -> OSError | None:
        """Move the mark; what readers cannot be shown must not be acknowledged, so an error here is one of the sync."""
        try:
            self._mark.write(number)
        except OSError as error:
            return error
        return None

    def _abandon(self, segment: OpenSegment, failure: OSError) -> None:
        """Give a segment up: cut it to what is durable, never sync it again."""
        happenings.emit(SYNC_FAILED, segment=segment.segment.path.name, error=str(failure))
        segment.failure = str(failure)
        self._open = None
        try:
            self._room.used -= segment.end - segment.durable_end
            os.ftruncate(segment.fd, segment.durable_end)
        except OSError as error:
            self._broken = f"a failed segment could not be cut ({error}); check the disk and restart receive"
        os.close(segment.fd)

    def _finish(self, segment: OpenSegment) -> None:
        """Sync and close a segment; no sync of it may be running."""
        if segment.durable_end < segment.end:
            self._sync(segment)
        if self._open is segment:
            os.close(segment.fd)
            self._open = None
