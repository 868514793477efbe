"""Publication: one message on its way, and the caller that may wait for its confirm."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from fusebox.errors import FuseboxError
from rabbitmq.broker import Message


class Way(Protocol):
    """What a publication asks of its publisher."""

    def attend(self, publication: Publication) -> None:
        """See to it on the caller's thread that a confirm is read, if nobody else does."""

    def withdraw(self, publication: Publication) -> bool:
        """End a publication that was not sent yet; False when it was."""

    def too_late(self, timeout: float, *, sent: bool) -> FuseboxError:
        """Why there was no confirm in time."""

    def release_slot(self) -> None:
        """A publication has ended."""


class Publication:
    """One message on its way, and the caller that may wait for it: a :class:`rabbitmq.confirms.Confirm`.

    ``_pending`` is held until the end; a bare lock, which is cheaper to make and to wait for than an Event.
    """

    __slots__ = (
        "_callback",
        "_pending",
        "_publisher",
        "deadline",
        "ended",
        "error",
        "exchange",
        "message",
        "routing_key",
        "socket",
        "timeout",
    )  # fmt: skip

    def __init__(self, publisher: Way, exchange: str, routing_key: str, message: Message, timeout: float) -> None:
        self._publisher = publisher
        self.exchange, self.routing_key, self.message = exchange, routing_key, message
        self.timeout, self.deadline = timeout, time.monotonic() + timeout
        self.error: FuseboxError | None = None
        self.ended = False
        self.socket = -1
        """The socket on which its confirm will come; -1 when that is not known."""
        self._callback: Callable[[], None] | None = None
        self._pending = threading.Lock()
        self._pending.acquire()

    def end(self, error: FuseboxError | None = None) -> None:
        """Let the caller go on and free the slot."""
        self.error = self.error or error
        self.ended = True
        self._pending.release()
        self._publisher.release_slot()
        if self._callback is not None:
            self._callback()

    def __call__(self) -> None:
        if not self.ended:
            self._publisher.attend(self)
        in_time = self._over(max(0.0, self.deadline - time.monotonic()))
        if not in_time and not self._publisher.withdraw(self):
            raise self._publisher.too_late(self.timeout, sent=True)
        if self.error is not None:
            raise self.error

    def notify(self, callback: Callable[[], None]) -> None:
        self._callback = callback
        if self.ended:
            callback()

    def abandon(self) -> None:
        self._publisher.withdraw(self)

    def _over(self, patience: float) -> bool:
        if self.ended:
            return True
        over = self._pending.acquire(timeout=patience)
        if over:
            self._pending.release()
        return over

    def is_returned_by(self, method: Any, message_id: str | None) -> bool:
        """True when a ``basic.return`` is about this publication."""
        mine = (self.exchange, self.routing_key, self.message.message_id)
        return self.error is None and mine == (method.exchange, method.routing_key, message_id or "")
