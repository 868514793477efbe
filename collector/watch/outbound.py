"""One way out for Commands: a bounded queue and a thread, so that a way in trouble delays no other.

What cannot be sent is tried again until it could be, or until nobody would obey it any more (a KILL waits for ever).
Order is kept: a Command never overtakes the one before it.
"""

from __future__ import annotations

import logging
import math
import queue
import threading
import time
from collections.abc import Callable
from typing import Final

from fusebox import happenings
from fusebox.clock import Clock
from fusebox.command import Command
from fusebox.happenings import Kind

REDIS: Final = "redis"
MAX_WAITING: Final = 1_000
_PAUSE_S: Final = 0.5
_MAX_PAUSE_S: Final = 2.0
_PROBE_EVERY_S: Final = 5.0
LATE_S: Final = 10.0
"""After so long, what should leave does not: one that is sent, or tried, may take two seconds."""

COMMAND_UNSENT: Final = happenings.declare(
    "command_unsent", logging.ERROR, "a Command did not travel by one of its ways: too late, or too many wait"
)

Send = Callable[[bytes, Command], None]
"""Puts signed bytes on the wire; returns when they are there, raises when they are not."""


def _nothing() -> None:
    return


class Outbound:
    """A :class:`fusebox.lifecycle.Service` whose start never fails and never waits.

    Args:
        way: the name of thread and log lines.
        away: happens with every attempt that fails.
        connect: what must succeed before anything is sent.
        probe: what must succeed while there is nothing to send.
        close: what is done after the last was sent.
    """

    def __init__(
        self,
        way: str,
        send: Send,
        clock: Clock,
        *,
        away: Kind,
        connect: Callable[[], None] = _nothing,
        probe: Callable[[], object] = _nothing,
        close: Callable[[], None] = _nothing,
    ) -> None:
        self.way, self._send, self._clock, self._away = way, send, clock, away
        self._connect, self._probe, self._close = connect, probe, close
        self._since: float | None = None
        self._error = "it does not answer"
        self._waiting: queue.Queue[tuple[bytes, Command] | None] = queue.Queue(MAX_WAITING)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"watch-{way}-out", daemon=True)

    def offer(self, signed: bytes, command: Command) -> None:
        """Take a Command to send; returns at once."""
        try:
            self._waiting.put_nowait((signed, command))
        except queue.Full:
            happenings.emit(COMMAND_UNSENT, way=self.way, command=command.id, reason="too many wait")

    def trouble(self) -> str:
        """Why nothing leaves by this way for some time now; empty while it does, or could."""
        since = self._since
        seconds = 0.0 if since is None else time.monotonic() - since
        return f"Commands do not leave by {self.way} for {seconds:.0f} s: {self._error}" if seconds > LATE_S else ""

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout: float = 10.0) -> None:
        self._stopping.set()
        try:
            self._waiting.put_nowait(None)
        except queue.Full:  # then the thread waits for none
            pass
        if self._thread.ident:
            self._thread.join(timeout)

    def _run(self) -> None:
        self._persist(self._connect)
        while not self._stopping.is_set():
            try:
                waiting = self._waiting.get(timeout=_PROBE_EVERY_S)
            except queue.Empty:
                self._attempt(self._probe)
                continue
            if waiting is not None:
                self._deliver(*waiting)
        self._close()

    def _deliver(self, signed: bytes, command: Command) -> None:
        if not self._persist(lambda: self._send(signed, command), command.until):
            happenings.emit(COMMAND_UNSENT, way=self.way, command=command.id, reason="nobody would obey it any more")

    def _persist(self, work: Callable[[], None], until: float = math.inf) -> bool:
        """Do it, however often it takes; False when it is too late for it."""
        pause = _PAUSE_S
        while not self._stopping.is_set():
            if self._clock.wall() > until:
                return False
            if self._attempt(work):
                return True
            self._stopping.wait(pause)
            pause = min(_MAX_PAUSE_S, pause * 2)
        return True

    def _attempt(self, work: Callable[[], object]) -> bool:
        self._since = self._since or time.monotonic()
        try:
            work()
        except Exception as error:  # whatever it is: nothing may end the thread that a kill leaves by
            self._error = str(error)
            happenings.emit(self._away, error=str(error))
            return False
        self._since = None
        return True
