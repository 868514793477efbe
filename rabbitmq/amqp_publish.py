"""Confirmed publishing over one channel, many callers at once.

A publication is in exactly one place, and leaves each place once::

    caller ─► waiting ─────────► sent (by publish sequence number) ─► confirmed, nacked, returned, or connection lost
                 └─ deadline: withdrawn, nothing was sent     └─ deadline: the caller gives up, it may still arrive

``waiting`` is guarded by a lock, because callers put in and withdraw; ``sent`` belongs to who holds the turn
(:mod:`rabbitmq.io_loop`). A publication holds one of a bounded number of slots from its start to its end, so neither
can grow without limit.

RabbitMQ confirms an unroutable message too, but returns it first; so a return only marks the publication, and the
confirm that follows ends it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final

from pika import spec
from pika.exceptions import AMQPError

from fusebox.errors import (
    BadMessage,
    BrokerUnavailable,
    ConfigError,
    FuseboxError,
    PublishBlocked,
    PublishNacked,
    PublishTimeout,
    Unroutable,
)
from rabbitmq.amqp_address import Address, not_found
from rabbitmq.amqp_io import IoThread, Link
from rabbitmq.amqp_wire import properties_of
from rabbitmq.broker import Message
from rabbitmq.publication import Publication

_SLOTS: Final = 1024
_DEFAULT: Final = "amq.default"
_LOST: Final = "the connection to RabbitMQ broke before it confirmed; publish again (the message may have been stored)"
_MAYBE: Final = "the message may still arrive"
_NOTHING: Final = "nothing was sent"


class Publisher:
    """The tenant of the publishing connection.

    ``once_restored`` calls back when what this process declared stands again: a broker that came back without its data
    would return what is published before.
    """

    def __init__(self, address: Address, io: IoThread, once_restored: Callable[[Callable[[], None]], None]) -> None:
        self._address, self._io, self._once_restored = address, io, once_restored
        self._taken, self._lock = 0, threading.Lock()
        self._free = threading.Condition(self._lock)
        self._waiting: dict[Publication, None] = {}
        self._sent: dict[int, Publication] = {}
        self._channel: Any = None
        self._sequence = 0
        self._stopped = False
        self.is_blocked = False
        self.link: Link

    # --- callers' threads -----------------------------------------------------------------------------------------
    def submit(self, exchange: str, routing_key: str, message: Message, timeout: float) -> Publication:
        """Hand a message over; waits only while too many are on their way."""
        publication = Publication(self, exchange, routing_key, message, timeout)
        with self._lock:
            if self._taken >= _SLOTS and not self._free.wait_for(lambda: self._taken < _SLOTS, timeout):
                raise self.too_late(timeout, sent=False)
            if self._stopped:
                raise BrokerUnavailable("the broker is stopped; call start() first")
            self._taken += 1
            self._waiting[publication] = None
        publication.socket = self._io.run(self._flush)
        return publication

    def attend(self, publication: Publication) -> None:
        """See to it on the caller's thread that a confirm is read, if nobody else does."""
        self._io.attend(publication.socket, lambda: publication.ended, publication.deadline, keep=True)

    @property
    def busy(self) -> bool:
        """True while no slot is free."""
        return self._taken >= _SLOTS

    def release_slot(self) -> None:
        """A publication has ended."""
        with self._lock:
            self._taken -= 1
            if self._taken == _SLOTS - 1:
                self._free.notify_all()

    def withdraw(self, publication: Publication) -> bool:
        """End a publication that was not sent yet; False when it was."""
        with self._lock:
            withdrawn = self._waiting.pop(publication, self) is None
        if withdrawn:
            publication.end(self.too_late(publication.timeout, sent=False))
        return withdrawn

    def too_late(self, timeout: float, *, sent: bool) -> FuseboxError:
        """Why there was no confirm in time."""
        outcome = _MAYBE if sent else _NOTHING
        if self.is_blocked:
            return PublishBlocked(
                f"RabbitMQ at {self._address} blocks publishers (memory or disk alarm) since more than {timeout:g} s; "
                f"{outcome}; free resources there (rabbitmqctl status)"
            )
        if not self.link.up:
            return BrokerUnavailable(f"no connection to RabbitMQ at {self._address} for {timeout:g} s; {outcome}")
        return PublishTimeout(f"RabbitMQ at {self._address} did not confirm within {timeout:g} s; {outcome}")

    # --- the I/O thread ---------------------------------------------------------------------------------------------
    def connected(self, connection: Any) -> None:
        self._sequence = 0
        channel = connection.channel(on_open_callback=self._select)
        channel.add_on_close_callback(self._channel_closed)
        channel.add_on_return_callback(self._returned)

    def disconnected(self) -> None:
        self._channel, self.is_blocked = None, False
        self._fail_sent(lambda _: BrokerUnavailable(_LOST))

    def blocked(self, blocked: bool) -> None:
        self.is_blocked = blocked
        self._flush()

    def stop(self) -> None:
        """Fail what waits."""
        with self._lock:
            self._stopped = True
            left = list(self._waiting) + list(self._sent.values())
            self._waiting.clear()
        self._sent.clear()
        for publication in left:
            publication.end(BrokerUnavailable(f"the broker was stopped before RabbitMQ confirmed; {_MAYBE}"))

    def _select(self, channel: Any) -> None:
        channel.confirm_delivery(self._confirmed, callback=lambda _: self._once_restored(lambda: self._ready(channel)))

    def _ready(self, channel: Any) -> None:
        if channel.is_open and channel is not self._channel:
            self._channel = channel
            self.link.ready()
            self._flush()

    def _flush(self) -> None:
        while self._channel is not None and not self.is_blocked and len(self._sent) < _SLOTS:
            with self._lock:
                publication = next(iter(self._waiting), None)
                if publication is None:
                    return
                del self._waiting[publication]
            self._send(publication)

    def _send(self, publication: Publication) -> None:
        message = publication.message
        try:
            self._channel.basic_publish(
                publication.exchange, publication.routing_key, message.body, properties_of(message), mandatory=True
            )
        except AMQPError as error:
            publication.end(BadMessage(f"pika cannot write this message: {error!r}"))
            return
        self._sequence += 1
        self._sent[self._sequence] = publication

    def _confirmed(self, frame: Any) -> None:
        tag, error = frame.method.delivery_tag, None
        if isinstance(frame.method, spec.Basic.Nack):
            error = PublishNacked("RabbitMQ refused the message: a queue is full or cannot store it; try again later")
        for each in _up_to(self._sent, tag) if frame.method.multiple else [tag]:
            publication = self._sent.pop(each, None)
            if publication is not None:
                publication.end(error)
        self._flush()

    def _returned(self, _channel: Any, method: Any, properties: Any, _body: bytes) -> None:
        for publication in self._sent.values():
            if publication.is_returned_by(method, properties.message_id):
                publication.error = Unroutable(
                    f"no queue takes {method.routing_key!r} of exchange {method.exchange!r}; start an agent that "
                    "handles it once: its queue stays"
                )
                return

    def _channel_closed(self, channel: Any, reason: BaseException) -> None:
        """RabbitMQ closed the channel over one publication; the others in flight end with an error of their own."""
        self._channel = None
        self._fail_sent(lambda publication: _blame(publication, reason))
        if channel.connection.is_open:
            self.connected(channel.connection)

    def _fail_sent(self, error: Callable[[Publication], FuseboxError]) -> None:
        sent, self._sent = self._sent, {}
        for publication in sent.values():
            publication.end(error(publication))


def _up_to(sent: dict[int, Publication], tag: int) -> list[int]:
    return [each for each in sent if each <= tag]


def _concerns(publication: Publication, text: str) -> bool:
    """True when this publication may be the one that RabbitMQ closed the channel over; it names the exchange, and
    where only a key is forbidden, the key."""
    key_is_named = "access to topic '" in text
    return f"exchange '{publication.exchange or _DEFAULT}'" in text and (
        not key_is_named or f"topic '{publication.routing_key}'" in text
    )


def _blame(publication: Publication, reason: BaseException) -> FuseboxError:
    text = getattr(reason, "reply_text", "")
    if not _concerns(publication, text):
        return BrokerUnavailable(_LOST)
    if not_found(reason):
        return Unroutable(f"there is no exchange {publication.exchange!r}; declare it first")
    return ConfigError(f"RabbitMQ refused to publish: {text}; see fusebox rabbitmq provision")
