"""Where each message of the in-process broker is. Not thread-safe: the broker's lock guards it.

A message is in exactly one place: a queue, or ``_out`` (delivered and not yet settled), keyed by its tag::

    store ─► queue ─► _out ─► ack: gone
               ▲        ├──── reject(requeue), hang up ─► queue, or dead letter when it came back too often
               └────────┘     reject ─► dead letter
"""

from __future__ import annotations

import logging
import time
from itertools import count
from math import inf
from typing import Final

from fusebox import happenings
from fusebox.errors import ConfigError, Unroutable
from rabbitmq.broker import Message, Queue, Topology
from rabbitmq.inprocess_queue import Entry, MemoryQueue, Subscription
from rabbitmq.inprocess_routing import Routing

DROPPED: Final = happenings.declare(
    "dead_letter_dropped", logging.WARNING, "a message was rejected or expired and no dead-letter queue took it"
)


class Messages:
    """The queues, what is in them, and what is out of them."""

    def __init__(self) -> None:
        self._routing = Routing()
        self._queues: dict[str, MemoryQueue] = {}
        self._out: dict[int, tuple[MemoryQueue, Entry, Subscription | None]] = {}
        self._tags = count(1)
        self._due: dict[MemoryQueue, None] = {}

    # --- queues -----------------------------------------------------------------------------------------------------
    def declare(self, topology: Topology) -> None:
        """Add what is not there yet.

        Raises:
            ConfigError: something exists with other settings, or is bound to what does not exist.
        """
        for exchange in topology.exchanges:
            self._routing.add_exchange(exchange)
        for queue in topology.queues:
            self._add_queue(queue)
        for binding in topology.bindings:
            self.queue(binding.queue)
            self._routing.bind(binding)

    def queue(self, name: str) -> MemoryQueue:
        """A queue that was declared.

        Raises:
            ConfigError: it was not.
        """
        try:
            return self._queues[name]
        except KeyError:
            raise ConfigError(f"there is no queue {name!r}; declare it first") from None

    def find(self, name: str) -> MemoryQueue | None:
        """A queue, if there is one of that name."""
        return self._queues.get(name)

    def takers(self, exchange: str, routing_key: str) -> list[MemoryQueue]:
        """The queues that a message goes to.

        Raises:
            Unroutable: there is no such exchange.
        """
        names = self._routing.queues_for(exchange, routing_key)
        return [self._queues[name] for name in names if name in self._queues]

    def wake(self, queue: MemoryQueue) -> None:
        """Have its consumers looked at: something about it has changed."""
        self._due[queue] = None

    def remove(self, subscription: Subscription) -> None:
        """End a subscription."""
        subscription.active = False
        if subscription in subscription.queue.subscriptions:
            subscription.queue.subscriptions.remove(subscription)

    def withdraw(self, subscription: Subscription) -> None:
        """End a subscription; what it has goes back in its old order."""
        self.remove(subscription)
        for tag in sorted(subscription.unsettled):
            self.settle(tag, ack=False, requeue=True)

    def in_hand(self, queue: MemoryQueue) -> bool:
        """True while it has a subscription, or messages of it are unsettled."""
        return bool(queue.subscriptions) or any(source is queue for source, _, _ in self._out.values())

    def hang_up(self) -> None:
        """What a closed connection leaves: no consumers, no exclusive queues, unsettled messages in their queues."""
        for tag in list(self._out):
            self.settle(tag, ack=False, requeue=True)
        for name, queue in list(self._queues.items()):
            for subscription in list(queue.subscriptions):
                self.remove(subscription)
            if queue.spec.exclusive:
                del self._queues[name]
                self._routing.unbind_queue(name)

    def _add_queue(self, spec: Queue) -> None:
        known = self._queues.setdefault(spec.name, MemoryQueue(spec)).spec
        if known != spec:
            raise ConfigError(
                f"queue {spec.name!r} exists with other settings: declared {spec}, existing {known}; use one of them"
            )

    # --- messages ---------------------------------------------------------------------------------------------------
    def store(self, queues: list[MemoryQueue], routing_key: str, message: Message) -> None:
        """Put a message into each of these queues."""
        now = time.monotonic()
        for queue in queues:
            queue.push(message, routing_key, now)
            self.wake(queue)

    def take(self, queue: MemoryQueue, subscription: Subscription | None = None) -> tuple[int, Entry]:
        """The next message of a queue that has one, out from now on; and its tag."""
        entry, tag = queue.pop(), next(self._tags)
        self._out[tag] = queue, entry, subscription
        if subscription is not None:
            subscription.take(tag, entry)
        return tag, entry

    def take_due(self) -> list[tuple[Subscription, int, Entry]]:
        """Every message that a consumer can get now, out from now on."""
        for queue in self._queues.values():
            if queue.spec.ttl is not None:
                self.expire(queue)
        taken: list[tuple[Subscription, int, Entry]] = []
        while self._due:
            queue, _ = self._due.popitem()
            while len(queue) and (subscription := queue.next_subscription()):
                tag, entry = self.take(queue, subscription)
                taken.append((subscription, tag, entry))
        return taken

    def settle(self, tag: int, *, ack: bool, requeue: bool) -> None:
        """Take a message out of the unsettled ones; does nothing when it is not there any more."""
        if tag not in self._out:
            return
        queue, entry, subscription = self._out.pop(tag)
        if subscription is not None:
            subscription.settle(tag)
        if not ack and not (requeue and queue.give_back(entry)):
            self._bury(queue, entry)
        self.wake(queue)

    def expire(self, queue: MemoryQueue) -> None:
        """Bury those whose time is over."""
        for entry in queue.expired(time.monotonic()):
            self._bury(queue, entry)

    def until_expiry(self) -> float | None:
        """Seconds until something has to be done whatever happens meanwhile; None for never."""
        if self._due:
            return 0.0
        first = min((q.next_expiry() for q in self._queues.values() if q.spec.ttl is not None), default=inf)
        return None if first == inf else max(0.0, first - time.monotonic())

    def _bury(self, queue: MemoryQueue, entry: Entry) -> None:
        """Send a message to the queue's dead-letter exchange."""
        exchange, key = queue.spec.dead_letter_exchange, queue.spec.dead_letter_routing_key
        key = entry.routing_key if key is None else key
        takers = [] if exchange is None else self._dead_letter_takers(exchange, key)
        self.store(takers, key, entry.message)
        if not takers:
            happenings.emit(DROPPED, queue=queue.spec.name, message_id=entry.message.message_id)

    def _dead_letter_takers(self, exchange: str, routing_key: str) -> list[MemoryQueue]:
        try:
            return [taker for taker in self.takers(exchange, routing_key) if not taker.full]
        except Unroutable:
            return []
