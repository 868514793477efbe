"""The Command log: what a long poll reads.

In memory, since this start. A cursor is the number of the last Command a process has seen; numbers begin at the
wall clock in milliseconds, so a cursor of an earlier life is never mistaken for one of this. A process whose cursor
is not of this log is told to take a snapshot, which teaches it everything an old Command could.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from typing import Final

from collector.watch.refusal import CONFLICT, Refusal

BATCH: Final = 500
_KEEP: Final = 10_000

Entries = tuple[int, list[str]]


class CommandLog:
    """Signed Commands in order, for any number of waiting polls. Appended from any thread.

    Args:
        wall: Unix seconds of this start.
    """

    def __init__(self, wall: float) -> None:
        self._first = self._next = int(wall * 1000) + 1
        self._signed: deque[str] = deque()
        self._waiters: dict[asyncio.Event, asyncio.AbstractEventLoop] = {}
        self._closed = False
        self._lock = threading.Lock()

    @property
    def cursor(self) -> int:
        """The cursor of a process that has seen everything."""
        with self._lock:
            return self._next - 1

    def append(self, signed: bytes) -> None:
        """Add a Command and wake every poll."""
        with self._lock:
            self._signed.append(signed.decode("ascii"))
            self._next += 1
            if len(self._signed) > _KEEP:
                self._signed.popleft()
                self._first += 1
            self._wake()

    def since(self, cursor: int) -> Entries:
        """The Commands after ``cursor`` (0: all that are kept) and the cursor behind the last of them.

        Raises:
            Refusal: 409, the cursor belongs to another life of the log.
        """
        with self._lock:
            start = self._first - 1 if cursor == 0 else cursor
            if not self._first - 1 <= start < self._next:
                raise Refusal(CONFLICT, "this cursor is not of this log: watch was restarted; take a snapshot first")
            skip = start - (self._first - 1)
            found = [self._signed[i] for i in range(skip, min(skip + BATCH, len(self._signed)))]
            return start + len(found), found

    async def wait(self, cursor: int, seconds: float) -> Entries:
        """Like :meth:`since`, but waits up to ``seconds`` while there is nothing."""
        event = asyncio.Event()
        with self._lock:
            self._waiters[event] = asyncio.get_running_loop()
        try:
            found = self.since(cursor)
            if found[1] or seconds <= 0 or self._closed:
                return found
            await asyncio.wait_for(event.wait(), seconds)
        except TimeoutError:
            pass
        finally:
            with self._lock:
                del self._waiters[event]
        return self.since(cursor)

    def close(self) -> None:
        """Answer every waiting poll now; from here on none waits."""
        with self._lock:
            self._closed = True
            self._wake()

    def _wake(self) -> None:
        for event, loop in self._waiters.items():
            loop.call_soon_threadsafe(event.set)
