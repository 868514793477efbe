"""The I/O loop, and what other threads may do in its place.

The turn is a lock: who holds it is the only one that touches connections. The loop gives it away while it waits in
``select``. Just then a thread that publishes or handles messages may do two things in the loop's place, so that it need
not wait for another thread to wake, neither on the way out nor on the way back:

* :meth:`IoLoop.run` does a short piece of work, and the writes that follow from it;
* :meth:`IoLoop.attend` reads one socket until the caller has what it waits for. One caller attends to a socket at a
  time, and the loop does not read it meanwhile; all else, writing to it included, goes on as ever. A caller that will
  soon be back may *keep* the socket: the loop reads it again when it was away for a moment, so that heartbeats and the
  other waiters are not forgotten::

      read by the loop ── attend ──► away, read by a caller ── over, keep ──► away for LEASE_S, read by nobody
              ▲                              │      ▲                               │      │
              └──────── over, deadline ──────┘      └─────────── attend ────────────┘      │
              └────────────────────────────────── lease ran out ───────────────────────────┘

Handlers may so be called on a caller's thread, always with the turn. What raises ends :meth:`IoLoop.start`, and the
loop with it, on whichever thread it happened.
"""

from __future__ import annotations

import functools
import math
import select
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from rabbitmq.selecting import LEASE_S, SelectingLoop

_SLICE_S: Final = 0.05
"""So soon an attending caller notices that its wait ended otherwise, by a connection that the loop gave up, say."""


class IoLoop(SelectingLoop):
    """A loop with guests.

    Args:
        turn: held by whoever calls anything here but :meth:`add_callback`, :meth:`add_lazy_callback`, :meth:`run` and
            :meth:`attend`.
    """

    def __init__(self, turn: threading.Lock) -> None:
        super().__init__(turn)
        self.guest = 0
        """The thread that acts in the loop's place just now; 0 for none."""

    def add_lazy_callback(self, callback: Callable[[], Any]) -> None:
        """From any thread: like :meth:`add_callback`, but some milliseconds late when that spares waking the loop."""
        self._posted.append(callback)
        self._wake_within(LEASE_S)

    def run(self, work: Callable[[], None]) -> int | None:
        """Do ``work``, which touches connections and does not wait, here and now, if the loop is waiting.

        Returns:
            The socket that was written to last, -1 for none; None when the loop is not waiting.
        """
        if not self._turn.acquire(blocking=False):
            return None
        try:
            self._written = -1
            self._do(work)
            return self._written
        finally:
            self._turn.release()

    def attend(self, fd: int, over: Callable[[], bool], deadline: float, *, keep: bool = False) -> None:
        """Read ``fd`` on this thread until ``over()``, or the deadline (monotonic seconds); not at all if that is
        somebody else's part just now. With ``keep``, the loop leaves the socket alone a moment longer once it is over.
        """
        if not self._begin(fd, over, keep=keep):
            return
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        try:
            while not (done := over()) and (left := deadline - time.monotonic()) > 0:
                if poll.poll(min(left, _SLICE_S) * 1000) and not self._read(fd):
                    return
            keep = keep and done
        finally:
            with self._turn:
                self._end(fd, keep=keep)

    def _begin(self, fd: int, over: Callable[[], bool], *, keep: bool) -> bool:
        """Who is to keep the socket has time to wait until the loop has read what it is just reading."""
        if not self._turn.acquire(timeout=LEASE_S if keep else 0):
            return False
        try:
            if fd not in self._wanted or self._away.get(fd) == math.inf:
                return False
            if over():
                self._end(fd, keep=keep)
                return False
            self._away[fd] = math.inf
            self._await(fd)
            return True
        finally:
            self._turn.release()

    def _end(self, fd: int, *, keep: bool) -> None:
        if keep and fd in self._wanted:
            self._away[fd] = time.monotonic() + LEASE_S
            self._wake_within(LEASE_S)
        else:
            self._away.pop(fd, None)
        self._await(fd)

    def _read(self, fd: int) -> bool:
        """False when nobody wants to read it any more."""
        with self._turn:
            if not self._wanted.get(fd, 0) & self.READ:
                return False
            self._do(lambda: self._handlers[fd](fd, self.READ))
            return True

    def _do(self, work: Callable[[], None]) -> None:
        first, self.guest = self._timers[:1], threading.get_ident()
        try:
            work()
            self._write_eagerly()
        except Exception as error:
            self.add_callback(functools.partial(_raise, error))
        self.guest = 0
        if self._timers[:1] != first:
            self._ring()

    def _wake_within(self, seconds: float) -> None:
        if self._waits_until > time.monotonic() + 2 * seconds:
            self._ring()


def _raise(error: Exception) -> None:
    raise error
