"""Outbox: where messages wait while the broker is away, so that an agent does not.

One message::

    publish ─► confirmed by the broker: was never here
       └─ broker away, blocked or full, or others wait ─► waiting ─► confirmed: gone
            └─ no room: OutboxFull, not kept               │ ▲ ├─ too old: gone, counted (outbox_expired)
                                                           ▼ │ └─ process stops: left in the file, or without one
                                                         refused         gone, counted (outbox_lost)
                                                    (no queue takes it; tried again)

Invariants
    What was kept is delivered, left in the file, or counted. It is sent under the id it came with, until the broker
    confirms: at least once. One thread sends, oldest first, with at most one message of each routing key on its way:
    messages of one key never overtake each other, unless no queue took one. While a message waits, later ones queue
    behind it; a full queue holds up its own key only.
    Number and bytes of what waits are bounded, and so is its age. With a file, a message is on the disk
    (:mod:`rabbitmq.outbox_file`) before ``publish`` returns. A killed agent's messages wait until it is resumed.

One lock guards what waits and its file; nobody holds it while the broker is asked.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import Final

from fusebox import forks, happenings
from fusebox.clock import Clock
from fusebox.config import Config
from fusebox.errors import BrokerUnavailable, ConfigError, FuseboxError, Retryable
from rabbitmq.broker import Broker, Message
from rabbitmq.confirms import Confirm, soon
from rabbitmq.limits import check
from rabbitmq.outbox_file import OutboxFile, open_file
from rabbitmq.outbox_lines import Parcel
from rabbitmq.outbox_waiting import Limits, Waiting

_WINDOW: Final = 64
_SEND_S: Final = 10.0
_PAUSE_S: Final = 0.5
_REFUSED_S: Final = 5.0

OUTBOX_SENT: Final = happenings.declare("outbox_sent", logging.INFO, "messages of the outbox were confirmed")
OUTBOX_FAILED: Final = happenings.declare(
    "outbox_failed", logging.ERROR, "the thread that sends what waits in the outbox met an error; it goes on"
)


def new_outbox(config: Config, broker: Broker, clock: Clock, name: str, may_send: Callable[[str], bool]) -> Outbox:
    """The outbox of the process ``name``, as the configuration says."""
    limits = Limits(config.outbox_max_messages, config.outbox_max_bytes, config.outbox_max_age_s)
    durable = partial(open_file, config.data_dir / "outbox", name) if config.durable_outbox else None
    return Outbox(broker, clock, limits, may_send=may_send, opening=durable)


class Outbox:
    """Publishes like a broker, and keeps what the broker cannot take now.

    Args:
        broker: where messages go.
        clock: tells how old a message is.
        limits: how much may wait, and how long.
        may_send: whether an agent's messages may go out now.
        opening: opens the file of a durable outbox; None keeps messages in memory only.
    """

    def __init__(
        self, broker: Broker, clock: Clock, limits: Limits, *,
        may_send: Callable[[str], bool] = lambda _agent: True, opening: Callable[[], OutboxFile] | None = None,
    ) -> None:  # fmt: skip
        self._broker, self._clock = broker, clock
        self._may_send, self._opening = may_send, opening
        self._changed = threading.Condition()
        self._waiting = Waiting(limits)
        self._closing = threading.Event()
        self._generation = -1
        self._thread = threading.Thread(target=self._run, name="fusebox-outbox", daemon=True)

    @property
    def waiting(self) -> int:
        """Messages that wait."""
        return len(self._waiting)

    def start(self) -> None:
        """Read what an earlier process left, and begin to send.

        Raises:
            ConfigError: the file cannot be used.
        """
        if self._opening is not None:
            self._waiting.use(_opened(self._opening))
        self._generation = forks.generation()
        self._thread.start()

    def stop(self, patience: float) -> None:
        """Send what can be sent within ``patience`` seconds; the thread ends at the latest with the broker."""
        if not self._running:
            return
        with self._changed:
            self._changed.wait_for(lambda: not len(self._waiting), patience)
            self._closing.set()
            self._changed.notify_all()
            self._waiting.leave()

    def publish(self, exchange: str, routing_key: str, message: Message, *, timeout: float = 5.0) -> None:
        """Publish, or keep the message when the broker cannot take it now.

        Raises:
            OutboxFull: the broker cannot take it and there is no room.
            Unroutable, BadMessage: the broker can never take it.
            BrokerUnavailable: the outbox does not run, and neither does the broker.
        """
        if self._running and self._waiting.blocking:
            check(exchange, routing_key, message)
            self._keep(exchange, routing_key, message, BrokerUnavailable("others wait in the outbox"))
            return
        try:
            self._broker.publish(exchange, routing_key, message, timeout=timeout)
        except Retryable as error:
            if not self._running:
                raise
            self._keep(exchange, routing_key, message, error)

    @property
    def _running(self) -> bool:
        """False before start, after stop, and in a forked child, which has no thread that sends."""
        return self._generation == forks.generation() and not self._closing.is_set()

    def _keep(self, exchange: str, key: str, message: Message, cause: Retryable) -> None:
        with self._changed:
            if self._closing.is_set():
                raise cause
            self._waiting.keep(Parcel(0, self._clock.now(), exchange, key, message), cause)
            self._changed.notify_all()

    # --- the thread that sends --------------------------------------------------------------------------------------
    def _run(self) -> None:
        while self._await_work():
            try:
                went_well = self._round()
            except Exception as error:  # nothing may end the thread that sends what waits
                happenings.emit(OUTBOX_FAILED, error=repr(error))
                went_well = False
            if not went_well:
                self._closing.wait(_PAUSE_S)

    def _await_work(self) -> bool:
        with self._changed:
            while not self._closing.is_set() and not self._waiting.blocking:
                if not self._changed.wait(_REFUSED_S if len(self._waiting) else None):
                    self._waiting.try_refused()
        return not self._closing.is_set()

    def _round(self) -> bool:
        """Send the oldest; False when a pause is due before the next try."""
        with self._changed:
            self._waiting.expire(self._clock.now())
            window = self._waiting.oldest(_WINDOW, self._may_send)
        outcomes = [_outcome(confirm) for confirm in [self._hand_over(parcel) for parcel in window]]
        with self._changed:
            if not self._closing.is_set():
                self._note(window, outcomes)
                self._changed.notify_all()
        return None in outcomes

    def _note(self, window: list[Parcel], outcomes: list[FuseboxError | None]) -> None:
        sent = [parcel for parcel, error in zip(window, outcomes, strict=True) if error is None]
        self._waiting.remove(sent)
        if sent:
            happenings.emit(OUTBOX_SENT, count=len(sent), messages=len(sent))
        for parcel, error in zip(window, outcomes, strict=True):
            if isinstance(error, Retryable):
                self._waiting.stall(parcel, _PAUSE_S)
            elif error is not None:
                self._waiting.refuse(parcel, error)

    def _hand_over(self, parcel: Parcel) -> Confirm:
        publish = self._broker.publish_soon
        return soon(partial(publish, parcel.exchange, parcel.key, parcel.message, timeout=_SEND_S))


def _opened(opening: Callable[[], OutboxFile]) -> OutboxFile:
    try:
        return opening()
    except OSError as error:
        raise ConfigError(f"durable_outbox is set but its file cannot be used: {error}") from error


def _outcome(confirm: Confirm) -> FuseboxError | None:
    try:
        confirm()
    except FuseboxError as error:
        return error
    return None
