"""The thread that runs pika, and a connection on it that comes back by itself.

pika is not thread-safe: only who holds the turn (:mod:`rabbitmq.io_loop`) touches it. That is the I/O thread; other
threads :meth:`IoThread.post` work, or :meth:`IoThread.run` it in its place while it waits. Nothing here blocks, so
heartbeats are on time however long a handler runs. One :class:`Link` is::

    connecting ──► restoring ──► up ──┐ lost
        ▲   │ refused    │ refused    │
        │   ▼            ▼            ▼
        └─────────── waiting (jittered, at most 30 s) ───► closed by close()
"""

from __future__ import annotations

import logging
import random
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final, Protocol

from fusebox import happenings
from fusebox.errors import ConfigError
from rabbitmq.amqp_address import Address
from rabbitmq.amqp_frames import Connection
from rabbitmq.io_loop import IoLoop

_FIRST_DELAY_S: Final = 0.25
_MAX_DELAY_S: Final = 30.0

LOST: Final = happenings.declare("broker_connection_lost", logging.WARNING, "the connection to RabbitMQ broke")
RETRIED: Final = happenings.declare("broker_retry", logging.INFO, "RabbitMQ did not take us back yet; we try again")
RESTORED: Final = happenings.declare("broker_restored", logging.INFO, "the connection to RabbitMQ is back")
BLOCKED: Final = happenings.declare("broker_blocked", logging.WARNING, "RabbitMQ raised an alarm and blocks publishers")
REFUSED: Final = happenings.declare(
    "broker_restore_refused", logging.ERROR, "RabbitMQ is back but refuses what we declared before; we try again"
)
IO_FAILED: Final = happenings.declare("broker_io_failed", logging.ERROR, "the I/O loop broke and was started afresh")

# Whatever pika logs reaches the reader as one of our own events or errors; a chosen level is respected.
if logging.getLogger("pika").level == logging.NOTSET:
    logging.getLogger("pika").setLevel(logging.CRITICAL)


class IoThread:
    """Runs an I/O loop; ``on_failure`` is called there after the loop broke and a fresh one took its place."""

    def __init__(self, on_failure: Callable[[BaseException], None]) -> None:
        self._turn = threading.Lock()
        self.loop = IoLoop(self._turn)
        self._on_failure = on_failure
        self._inbox: deque[Callable[[], None]] = deque()
        self._called = False
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="fusebox-amqp", daemon=True)

    def start(self) -> None:
        """Begin to run what was posted."""
        self._thread.start()

    def post(self, action: Callable[[], None]) -> None:
        """Have ``action`` called on the I/O thread, after everything posted before it."""
        self._inbox.append(action)
        if not self._called:  # waking the loop is a system call: one wakes it for all that was posted meanwhile
            self._call()

    def post_lazily(self, action: Callable[[], None]) -> None:
        """Have ``action`` called on the I/O thread within some milliseconds, in no particular order."""
        self.loop.add_lazy_callback(action)

    def run(self, action: Callable[[], None]) -> int:
        """Have ``action`` done: at once on this thread when the I/O thread waits, else like :meth:`post`.

        Returns:
            The socket that was written to, for :meth:`attend`; -1 when that is not known.
        """
        written = None if self._inbox else self.loop.run(action)
        if written is None:
            self.post(action)
            return -1
        return written

    def attend(self, fd: int, over: Callable[[], bool], deadline: float, *, keep: bool = False) -> None:
        """Read a socket on this thread until ``over()``, if that is nobody else's part just now."""
        if fd >= 0:
            self.loop.attend(fd, over, deadline, keep=keep)

    def stop(self, timeout: float) -> None:
        """End the loop and wait for its thread."""
        self._stopping = True
        self.post(self._halt)
        if not self.here:
            self._thread.join(timeout)

    @property
    def here(self) -> bool:
        """True on the I/O thread itself, and on one that acts in its place."""
        return threading.current_thread() is self._thread or self.loop.guest == threading.get_ident()

    def _halt(self) -> None:
        self.loop.stop()

    def _call(self) -> None:
        self._called = True
        self.loop.add_callback(self._drain)

    def _drain(self) -> None:
        self._called = False  # first: what is posted from here on wakes the loop again
        for _ in range(len(self._inbox)):
            self._inbox.popleft()()

    def _run(self) -> None:
        with self._turn:
            while not self._stopping:
                try:
                    self.loop.start()
                except Exception as error:
                    happenings.emit(IO_FAILED, error=repr(error))
                    self._start_afresh(error)
            self.loop.close()

    def _start_afresh(self, error: Exception) -> None:
        """What was posted to the broken loop runs in the new one."""
        self.loop = IoLoop(self._turn)
        self._call()
        self._on_failure(error)


class Tenant(Protocol):
    """What uses a connection. Everything is called on the I/O thread."""

    def connected(self, connection: Any) -> None:
        """A new connection: open channels, then call :meth:`Link.ready` or :meth:`Link.refuse`."""

    def disconnected(self) -> None:
        """The connection and all its channels are gone."""

    def blocked(self, blocked: bool) -> None:
        """The broker takes no messages on this connection, or takes them again."""


class Link:
    """One connection. All methods are called on the I/O thread.

    Args:
        io: the thread it lives on.
        address: where to.
        name: how the broker's own tools show it.
        tenant: who uses it.
    """

    def __init__(self, io: IoThread, address: Address, name: str, tenant: Tenant) -> None:
        self._io, self._address, self._name, self._tenant = io, address, name, tenant
        self.first: Future[None] = Future()
        """Done when the link is up for the first time, or could not come up."""
        self.closed: Future[None] = Future()
        self.up = False
        self._connection: Any = None
        self._reason: BaseException | None = None
        self._closing = False
        self._attempt = 0

    def open(self) -> None:
        """Begin to connect."""
        if self._closing:
            return
        self._reason = None
        try:
            parameters = self._address.parameters(self._name)
        except ConfigError as error:  # a file of certificates is being replaced, or is gone
            self._retry(error)
            return
        self._connection = Connection(
            self._io.loop,
            parameters,
            on_open_callback=self._opened,
            on_open_error_callback=self._gone,
            on_close_callback=self._gone,
        )

    def ready(self) -> None:
        """The tenant has what it needs."""
        if self._attempt:
            happenings.emit(RESTORED, address=str(self._address), connection=self._name, attempts=self._attempt)
        self.up, self._attempt = True, 0
        if not self.first.done():
            self.first.set_result(None)

    def refuse(self, reason: BaseException) -> None:
        """The tenant cannot use this connection: drop it and try again later."""
        self._reason = reason
        happenings.emit(REFUSED, address=str(self._address), connection=self._name, reason=repr(reason))
        if self._connection is not None and self._connection.is_open:
            self._connection.close()

    def close(self) -> None:
        """Say goodbye and stay closed; :attr:`closed` is done when it happened.

        A connection that is not open yet is dropped: pika 1.4.4 fails an assertion when it is asked to give up then.
        """
        self._closing = True
        connection = self._connection
        if connection is None or not (connection.is_open or connection.is_closing):
            self._finish()
        elif connection.is_open:
            connection.close()

    def abandon(self, error: BaseException) -> None:
        """The loop under the connection broke: forget it and connect afresh."""
        if self._connection is not None:
            self._gone(self._connection, error)

    # --- pika's callbacks -----------------------------------------------------------------------------------------
    def _opened(self, connection: Any) -> None:
        if self._closing:
            connection.close()
            return
        connection.add_on_connection_blocked_callback(lambda *_: self._blocked(True))
        connection.add_on_connection_unblocked_callback(lambda *_: self._blocked(False))
        self._tenant.connected(connection)

    def _blocked(self, blocked: bool) -> None:
        if blocked:
            happenings.emit(BLOCKED, address=str(self._address))
        self._tenant.blocked(blocked)

    def _gone(self, connection: Any, error: BaseException) -> None:
        if connection is not self._connection:
            return
        self._connection = None
        if self.up and not self._closing:
            happenings.emit(LOST, address=str(self._address), connection=self._name, error=repr(error))
        self.up = False
        self._tenant.disconnected()
        if self._closing:
            self._finish()
        else:
            self._retry(self._reason or error)

    def _retry(self, reason: BaseException) -> None:
        if not self.first.done():
            self._closing = True
            self.first.set_exception(self._address.unavailable(reason))
            self._finish()
            return
        self._attempt += 1
        happenings.emit(RETRIED, address=str(self._address), attempt=self._attempt, reason=repr(reason))
        self._io.loop.call_later(_delay(self._attempt), self.open)

    def _finish(self) -> None:
        if not self.closed.done():
            self.closed.set_result(None)


def _delay(attempt: int) -> float:
    """Seconds before the next attempt: doubling, never above 30, halved at random so that processes spread out."""
    longest = min(_MAX_DELAY_S, _FIRST_DELAY_S * 2 ** min(attempt, 10))
    return random.uniform(longest / 2, longest)
