"""The selector, timers and posted callbacks under pika's connections, in the interface that pika documents for loops of
others.

pika's own loop takes three turns of the selector for one publish: woken, writable, readable. This one takes two and
asks the kernel less: a socket that is read from is almost always writable, so what is to be written is written at the
end of the turn, and only a socket that did not take it all is waited for. One turn::

    timers that are due ─► callbacks posted so far ─► eager writes ─► select ─► handlers of ready sockets
    └──────────────────────── holding the turn ───────────────────┘  without  └──── holding the turn ────┘

The turn is a lock: who holds it is the only one that touches connections. The loop gives it away while it waits in
``select``; what others may do just then is said in :mod:`rabbitmq.io_loop`.
"""

from __future__ import annotations

import contextlib
import heapq
import math
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from itertools import count
from typing import Any, Final

from pika.adapters.utils.selector_ioloop_adapter import AbstractSelectorIOLoop

Handler = Callable[[int, int], None]
_MAX_WAIT_S: Final = 60.0
LEASE_S: Final = 0.005
"""How long the loop leaves a socket alone that a caller keeps; it looks after it that often."""


class _Timer:
    """One call in the future; cancelled ones stay in the heap until they are due."""

    __slots__ = ("callback",)

    def __init__(self, callback: Callable[[], Any]) -> None:
        self.callback: Callable[[], Any] | None = callback


class SelectingLoop(AbstractSelectorIOLoop):  # type: ignore[misc]  # pika is untyped here
    """A selector, timers and posted callbacks.

    Args:
        turn: held by whoever calls anything here but :meth:`add_callback`.
    """

    READ = selectors.EVENT_READ
    WRITE = selectors.EVENT_WRITE
    ERROR = 4
    """Never reported alone: an error makes a socket readable and writable."""

    def __init__(self, turn: threading.Lock) -> None:
        self._turn = turn
        self._selector = selectors.DefaultSelector()
        self._handlers: dict[int, Handler] = {}
        self._wanted: dict[int, int] = {}
        self._known: dict[int, int] = {}
        self._changed: dict[int, None] = {}
        self._gathering: list[Callable[[], None]] = []
        self._timers: list[tuple[float, int, _Timer]] = []
        self._numbers = count()
        self._posted: deque[Callable[[], Any]] = deque()
        self._running = False
        self._away: dict[int, float] = {}
        """Sockets that the loop does not read, and until when: infinity while a caller attends."""
        self._waits_until = 0.0
        self._written = -1
        self._ear, self._bell = socket.socketpair()
        self._ear.setblocking(False)
        self._bell.setblocking(False)
        self.add_handler(self._ear.fileno(), self._wake, self.READ)

    # --- pika's interface -------------------------------------------------------------------------------------------
    def start(self) -> None:
        """Run until :meth:`stop`."""
        self._running = True
        while self._running:
            self._go_round()

    def stop(self) -> None:
        """End :meth:`start` after this turn."""
        self._running = False

    def close(self) -> None:
        """Let go of the selector; the loop is not usable any more."""
        self._selector.close()
        self._ear.close()
        self._bell.close()

    def add_callback(self, callback: Callable[[], Any]) -> None:
        """From any thread: have ``callback`` called in the next turn, after everything posted before it."""
        self._posted.append(callback)
        self._ring()

    def call_later(self, delay: float, callback: Callable[[], Any]) -> _Timer:
        """Have ``callback`` called in ``delay`` seconds."""
        timer = _Timer(callback)
        heapq.heappush(self._timers, (time.monotonic() + delay, next(self._numbers), timer))
        return timer

    def remove_timeout(self, timeout_handle: _Timer) -> None:
        """Take a :meth:`call_later` back."""
        timeout_handle.callback = None

    def before_writing(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` called once, before what is to be written is written; pika knows nothing of it."""
        self._gathering.append(callback)

    def add_handler(self, fd: int, handler: Handler, events: int) -> None:
        """Have ``handler(fd, events)`` called when the socket is ready for one of ``events``."""
        self._handlers[fd] = handler
        self.update_handler(fd, events)

    def update_handler(self, fd: int, events: int) -> None:
        """Wait for other events of a socket."""
        self._wanted[fd] = events & (self.READ | self.WRITE)
        self._changed[fd] = None

    def remove_handler(self, fd: int) -> None:
        """Forget a socket."""
        del self._handlers[fd], self._wanted[fd]
        self._changed.pop(fd, None)
        self._away.pop(fd, None)
        if self._known.pop(fd, 0):
            self._selector.unregister(fd)

    # --- going round ------------------------------------------------------------------------------------------------
    def _go_round(self) -> None:
        self._run_timers()
        self._take_back()
        for _ in range(len(self._posted)):
            self._posted.popleft()()
        self._write_eagerly()
        for key, events in self._ready():
            ready = events & self._awaited(key.fd)  # an earlier handler of this turn may have removed it
            if ready:
                self._handlers[key.fd](key.fd, ready)

    def _take_back(self) -> None:
        """Read again what nobody came back for."""
        if self._away:
            now = time.monotonic()
            for fd in [fd for fd, until in self._away.items() if until <= now]:
                del self._away[fd]
                self._await(fd)

    def _ready(self) -> list[tuple[selectors.SelectorKey, int]]:
        self._waits_until = math.inf  # first: whoever posts lazily from here on and is not seen below rings
        patience = self._patience()
        self._waits_until = time.monotonic() + patience
        self._turn.release()
        try:
            return self._selector.select(patience)
        finally:
            self._turn.acquire()

    def _write_eagerly(self) -> None:
        while self._gathering:
            self._gathering.pop()()
        while self._changed:
            self._note(self._changed.popitem()[0])

    def _run_timers(self) -> None:
        while self._timers and self._timers[0][0] <= time.monotonic():
            callback = heapq.heappop(self._timers)[2].callback
            if callback is not None:
                callback()

    def _note(self, fd: int) -> None:
        """Tell the selector what is waited for; writes that need no waiting are done first.

        A socket that is not read from yet may still be connecting: that one is waited for.
        """
        if self._wanted[fd] == self.READ | self.WRITE and not self._known.get(fd, 0) & self.WRITE:
            self._written = fd
            self._handlers[fd](fd, self.WRITE)
        self._await(fd)

    def _await(self, fd: int) -> None:
        """Have the selector wait for what is awaited of a socket."""
        awaited, known = self._awaited(fd), self._known.get(fd, 0)
        if awaited == known:
            return
        if not awaited:
            self._selector.unregister(fd)
        elif known:
            self._selector.modify(fd, awaited)
        else:
            self._selector.register(fd, awaited)
        self._known[fd] = awaited

    def _awaited(self, fd: int) -> int:
        """The events that the selector is to tell of a socket."""
        wanted = self._wanted.get(fd, 0)
        return wanted & self.WRITE if fd in self._away else wanted

    def _patience(self) -> float:
        if self._posted or not self._running:
            return 0.0
        longest = LEASE_S if self._away else _MAX_WAIT_S
        if not self._timers:
            return longest
        return min(longest, max(0.0, self._timers[0][0] - time.monotonic()))

    def _ring(self) -> None:
        with contextlib.suppress(OSError):  # full: it rings already; closed: nobody listens
            self._bell.send(b"\0")

    def _wake(self, _fd: int, _events: int) -> None:
        self._ear.recv(4096)
