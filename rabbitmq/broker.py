"""What a broker does for agents: the interface behind which RabbitMQ and the in-process twin are the same.

Topology is data: a :class:`Topology` is declared as a whole, again after each reconnect, and may be declared twice.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from rabbitmq.confirms import Confirm

Header = str | int | float | bool


class ExchangeType(StrEnum):
    """AMQP 0-9-1 exchange types in use here."""

    TOPIC = "topic"
    FANOUT = "fanout"
    DIRECT = "direct"


class QueueType(StrEnum):
    """RabbitMQ queue types in use here."""

    QUORUM = "quorum"
    CLASSIC = "classic"


@dataclass(frozen=True, slots=True)
class Exchange:
    """A durable exchange."""

    name: str
    type: ExchangeType


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue. Exclusive ones are classic, belong to one connection and vanish with it; all others are durable.

    ``delivery_limit``: how often a message may be redelivered before it is dead-lettered (quorum queues only).
    ``ttl``: seconds after which any message of the queue expires. ``max_length``: messages; a full queue nacks, or
    forgets its oldest where ``drop_oldest`` is set.
    """

    name: str
    type: QueueType = QueueType.QUORUM
    exclusive: bool = False
    delivery_limit: int | None = None
    dead_letter_exchange: str | None = None
    dead_letter_routing_key: str | None = None
    ttl: float | None = None
    max_length: int | None = None
    drop_oldest: bool = False


@dataclass(frozen=True, slots=True)
class Binding:
    """Messages of ``exchange`` whose routing key matches ``key`` go to ``queue``."""

    exchange: str
    queue: str
    key: str = ""


@dataclass(frozen=True, slots=True)
class Topology:
    """Exchanges, queues and bindings that belong together."""

    exchanges: tuple[Exchange, ...] = ()
    queues: tuple[Queue, ...] = ()
    bindings: tuple[Binding, ...] = ()

    def __add__(self, other: Topology) -> Topology:
        return Topology(self.exchanges + other.exchanges, self.queues + other.queues, self.bindings + other.bindings)


@dataclass(frozen=True, slots=True)
class Message:
    """A message as AMQP carries it; always published persistent."""

    body: bytes
    headers: Mapping[str, Header] = field(default_factory=dict)
    message_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    content_type: str = "application/json"
    correlation_id: str = ""
    reply_to: str = ""
    timestamp: int = 0
    """Seconds since the Unix epoch; 0 = not set."""
    user_id: str = ""
    properties: Mapping[str, str | int] = field(default_factory=dict)
    """Other properties of its publisher's, by their AMQP names. Nothing here reads them; they go wherever it goes."""
    tables: Mapping[str, object] = field(default_factory=dict)
    """Its publisher's headers that are no :data:`Header` (lists, tables, dates), as the driver has them: likewise."""


class Delivery(Protocol):
    """One message handed to a consumer. Settle it exactly once, from any thread; a late settle is ignored."""

    @property
    def message(self) -> Message:
        """The message."""

    @property
    def queue(self) -> str:
        """The queue it came from."""

    @property
    def routing_key(self) -> str:
        """The routing key it was published with."""

    @property
    def tag(self) -> int:
        """The delivery tag."""

    @property
    def redelivered(self) -> bool:
        """True when the broker may have delivered it before."""

    def ack(self) -> None:
        """The message is dealt with."""

    def reject(self, *, requeue: bool) -> None:
        """Give it back (``requeue``) or dead-letter it."""


class Consumer(Protocol):
    """A running subscription."""

    def pause(self) -> None:
        """Stop deliveries; messages stay in the queue. Legal twice."""

    def resume(self) -> None:
        """Start deliveries again. Legal twice."""

    def cancel(self) -> None:
        """End it; unsettled deliveries stay valid until settled. Legal twice."""

    def withdraw(self) -> None:
        """End it, and have all that is unsettled back in its queue at once, in its old order. Legal twice."""

    def attend(self, over: Callable[[], bool]) -> None:
        """Help deliveries along on a thread that has nothing else to do, for some milliseconds at most.

        It returns when ``over()``, or at once when there is nothing to help with. The callback may be called on it.
        """


class Broker(Protocol):
    """RabbitMQ, or its twin in this process.

    Thread-safe. Survives a broken connection by itself: topology and consumers are declared again on the new one and
    unsettled deliveries come again with ``redelivered``.
    """

    @property
    def remote(self) -> bool:
        """True when other processes are reachable through it."""

    @property
    def user(self) -> str:
        """Whom the broker takes us for; empty where it knows no users."""

    def start(self) -> None:
        """Connect.

        Raises:
            BrokerUnavailable: nobody answers; the text names the address and the fix.
        """

    def stop(self, timeout: float = 10.0) -> None:
        """Close; legal before start and twice."""

    def declare(self, topology: Topology) -> None:
        """Make exchanges, queues and bindings exist, now and after every reconnect."""

    def publish(self, exchange: str, routing_key: str, message: Message, *, timeout: float = 5.0) -> None:
        """Publish mandatory and persistent; return once the broker confirmed.

        Raises:
            Unroutable: no queue took it.
            PublishNacked, PublishBlocked, PublishTimeout, BrokerUnavailable: see :mod:`fusebox.errors`.
        """

    def publish_soon(self, exchange: str, routing_key: str, message: Message, *, timeout: float = 5.0) -> Confirm:
        """Hand a message over and return at once (unless the broker is :attr:`busy`); call the answer to wait.

        Many messages handed over before the first is waited for share the round trips. ``timeout`` counts from the
        hand-over. What :meth:`publish` raises about the broker's ruling, the answer raises.
        """

    @property
    def busy(self) -> bool:
        """True while so many messages are on their way that a further one has to wait for its turn."""

    def consume(
        self, queue: str, callback: Callable[[Delivery], None], *, prefetch: int, alone: bool = True
    ) -> Consumer:
        """Deliver messages of ``queue`` to ``callback`` (which holds the connection up; it must return at once).

        Args:
            queue: where from; it must exist.
            callback: what to call; a message for which it raises stays unsettled.
            prefetch: how many messages are unsettled at once, at most.
            alone: a redelivered message comes when nothing else is unsettled, and nothing else until it is settled: if
                it kills the process, it takes no other message nearer to its delivery limit. False is for who only
                looks at messages.
        """

    def get(self, queue: str) -> Delivery | None:
        """Fetch one message, or None when the queue is empty."""

    def depth(self, queue: str) -> int:
        """Messages ready in the queue (0 when it does not exist)."""

    def in_hand(self, queue: str) -> bool:
        """True while somebody consumes the queue, or has messages of it, unsettled; :meth:`depth` leaves them out."""

    def purge(self, queue: str) -> int:
        """Drop all ready messages; how many."""
