"""The in-process twin of RabbitMQ: the same topology, confirms, redelivery and dead letters, in this process's memory.

For a first run, for tests, and for agents that share one process; nothing survives the process. Both brokers pass the
same tests. Time to live passes in real time, as it does in RabbitMQ, whatever ``FUSEBOX_CLOCK_SPEED`` says.

One lock guards everything. One thread calls the consumers, never while it holds the lock, so a callback may use the
broker. A message is in exactly one place: a queue, or ``_out`` (delivered and not yet settled), keyed by its tag::

    publish ─► queue ─► _out ─► ack: gone
                 ▲        ├──── reject(requeue), stop ─► queue, or dead letter when it came back too often
                 └────────┘     reject ─► dead letter
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from itertools import count
from typing import Final

from fusebox import happenings
from fusebox.errors import BrokerUnavailable, ConfigError, PublishNacked, Unroutable
from rabbitmq.broker import Consumer, Delivery, Message, Queue, Topology
from rabbitmq.callback import call_back
from rabbitmq.confirms import Confirm, Known
from rabbitmq.inprocess_queue import Entry, MemoryQueue, Subscription
from rabbitmq.inprocess_routing import Routing
from rabbitmq.limits import check

DROPPED: Final = happenings.declare(
    "dead_letter_dropped", logging.WARNING, "a message was rejected or expired and no dead-letter queue took it"
)


class InProcessBroker:
    """A :class:`rabbitmq.broker.Broker` that reaches this process only."""

    remote = False
    busy = False
    user = ""

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.RLock())
        self._routing = Routing()
        self._queues: dict[str, MemoryQueue] = {}
        self._out: dict[int, tuple[MemoryQueue, Entry, Subscription | None]] = {}
        self._tags = count(1)
        self._due: dict[MemoryQueue, None] = {}
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        with self._changed:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="fusebox-broker", daemon=True)
                self._thread.start()

    def stop(self, timeout: float = 10.0) -> None:
        with self._changed:
            thread, self._thread = self._thread, None
            self._hang_up()
            self._changed.notify_all()
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)

    def declare(self, topology: Topology) -> None:
        with self._changed:
            self._require_started()
            for exchange in topology.exchanges:
                self._routing.add_exchange(exchange)
            for queue in topology.queues:
                self._add_queue(queue)
            for binding in topology.bindings:
                self._queue(binding.queue)
                self._routing.bind(binding)

    def publish(self, exchange: str, routing_key: str, message: Message, *, timeout: float = 5.0) -> None:  # noqa: ARG002
        check(exchange, routing_key, message)
        with self._changed:
            self._require_started()
            takers = self._takers(exchange, routing_key)
            if not takers:
                raise Unroutable(
                    f"no queue takes {routing_key!r} of exchange {exchange!r}; start an agent that handles it first"
                )
            full = [queue.spec.name for queue in takers if queue.full]
            self._store([queue for queue in takers if not queue.full], routing_key, message)
        if full:
            raise PublishNacked(f"queue {', '.join(full)} is full")

    def publish_soon(self, exchange: str, routing_key: str, message: Message, *, timeout: float = 5.0) -> Confirm:
        try:
            self.publish(exchange, routing_key, message, timeout=timeout)
        except (PublishNacked, Unroutable) as error:
            return Known(error)
        return Known()

    def consume(
        self, queue: str, callback: Callable[[Delivery], None], *, prefetch: int, alone: bool = True
    ) -> Consumer:
        with self._changed:
            self._require_started()
            subscription = Subscription(self._queue(queue), callback, prefetch, alone=alone and prefetch > 1)
            subscription.queue.subscriptions.append(subscription)
            self._wake(subscription.queue)
        return _Consumer(self, subscription)

    def get(self, queue: str) -> Delivery | None:
        with self._changed:
            self._require_started()
            source = self._queue(queue)
            self._expire(source)
            return self._deliver(source, None) if len(source) else None

    def depth(self, queue: str) -> int:
        with self._changed:
            self._require_started()
            return len(self._queues[queue]) if queue in self._queues else 0

    def purge(self, queue: str) -> int:
        with self._changed:
            self._require_started()
            return self._queues[queue].clear() if queue in self._queues else 0

    # --- for consumers and deliveries -----------------------------------------------------------------------------
    def switch(self, subscription: Subscription, *, active: bool) -> None:
        """Pause or resume a subscription."""
        with self._changed:
            subscription.active = active
            self._wake(subscription.queue)

    def remove(self, subscription: Subscription) -> None:
        """End a subscription."""
        with self._changed:
            subscription.active = False
            if subscription in subscription.queue.subscriptions:
                subscription.queue.subscriptions.remove(subscription)

    def settle(self, tag: int, *, ack: bool, requeue: bool) -> None:
        """Take a delivery out of the unsettled ones; does nothing when it is not there any more."""
        with self._changed:
            if tag not in self._out:
                return
            queue, entry, subscription = self._out.pop(tag)
            if subscription is not None:
                subscription.settle(tag)
            if not ack and not (requeue and queue.give_back(entry)):
                self._bury(queue, entry)
            self._wake(queue)

    # --- with the lock held -----------------------------------------------------------------------------------------
    def _require_started(self) -> None:
        if self._thread is None:
            raise BrokerUnavailable("the in-process broker is not running; call start() first")

    def _queue(self, name: str) -> MemoryQueue:
        try:
            return self._queues[name]
        except KeyError:
            raise ConfigError(f"there is no queue {name!r}; declare it first") from None

    def _add_queue(self, spec: Queue) -> None:
        known = self._queues.setdefault(spec.name, MemoryQueue(spec)).spec
        if known != spec:
            raise ConfigError(
                f"queue {spec.name!r} exists with other settings: declared {spec}, existing {known}; use one of them"
            )

    def _takers(self, exchange: str, routing_key: str) -> list[MemoryQueue]:
        names = self._routing.queues_for(exchange, routing_key)
        return [self._queues[name] for name in names if name in self._queues]

    def _store(self, queues: list[MemoryQueue], routing_key: str, message: Message) -> None:
        now = time.monotonic()
        for queue in queues:
            queue.push(message, routing_key, now)
            self._wake(queue)

    def _deliver(self, queue: MemoryQueue, subscription: Subscription | None) -> _Delivery:
        entry, tag = queue.pop(), next(self._tags)
        self._out[tag] = queue, entry, subscription
        if subscription is not None:
            subscription.take(tag, entry)
        return _Delivery(self, queue.spec.name, tag, entry)

    def _bury(self, queue: MemoryQueue, entry: Entry) -> None:
        """Send a message to the queue's dead-letter exchange."""
        exchange, key = queue.spec.dead_letter_exchange, queue.spec.dead_letter_routing_key
        key = entry.routing_key if key is None else key
        takers = [] if exchange is None else self._dead_letter_takers(exchange, key)
        self._store(takers, key, entry.message)
        if not takers:
            happenings.emit(DROPPED, queue=queue.spec.name, message_id=entry.message.message_id)

    def _dead_letter_takers(self, exchange: str, routing_key: str) -> list[MemoryQueue]:
        try:
            return [taker for taker in self._takers(exchange, routing_key) if not taker.full]
        except Unroutable:
            return []

    def _expire(self, queue: MemoryQueue) -> None:
        for entry in queue.expired(time.monotonic()):
            self._bury(queue, entry)

    def _hang_up(self) -> None:
        """What a closed connection leaves: no consumers, no exclusive queues, unsettled messages in their queues."""
        for tag in list(self._out):
            self.settle(tag, ack=False, requeue=True)
        for name, queue in list(self._queues.items()):
            for subscription in list(queue.subscriptions):
                self.remove(subscription)
            if queue.spec.exclusive:
                del self._queues[name]
                self._routing.unbind_queue(name)

    def _wake(self, queue: MemoryQueue) -> None:
        self._due[queue] = None
        self._changed.notify_all()

    # --- the thread that calls consumers ----------------------------------------------------------------------------
    def _run(self) -> None:
        while True:
            with self._changed:
                if self._thread is not threading.current_thread():
                    return
                batch = self._next_batch()
                if not batch:
                    self._changed.wait(self._until_expiry())
            for subscription, delivery in batch:
                self._hand_over(subscription, delivery)

    def _hand_over(self, subscription: Subscription, delivery: _Delivery) -> None:
        if not subscription.active:
            delivery.reject(requeue=True)
        elif not call_back(subscription.callback, delivery):
            with self._changed:
                subscription.lose(delivery.tag)
                self._wake(subscription.queue)

    def _next_batch(self) -> list[tuple[Subscription, _Delivery]]:
        for queue in self._queues.values():
            if queue.spec.ttl is not None:
                self._expire(queue)
        batch: list[tuple[Subscription, _Delivery]] = []
        while self._due:
            queue, _ = self._due.popitem()
            while len(queue) and (subscription := queue.next_subscription()):
                batch.append((subscription, self._deliver(queue, subscription)))
        return batch

    def _until_expiry(self) -> float | None:
        if self._due:
            return 0.0
        first = min((q.next_expiry() for q in self._queues.values() if q.spec.ttl is not None), default=None)
        return None if first is None or first == float("inf") else max(0.0, first - time.monotonic())


class _Consumer:
    """See :class:`rabbitmq.broker.Consumer`."""

    def __init__(self, broker: InProcessBroker, subscription: Subscription) -> None:
        self._broker = broker
        self._subscription = subscription
        self._cancelled = False

    def pause(self) -> None:
        self._broker.switch(self._subscription, active=False)

    def resume(self) -> None:
        if not self._cancelled:
            self._broker.switch(self._subscription, active=True)

    def cancel(self) -> None:
        self._cancelled = True
        self._broker.remove(self._subscription)

    def attend(self, over: Callable[[], bool]) -> None:
        """Nothing has to be read here."""


class _Delivery:
    """See :class:`rabbitmq.broker.Delivery`."""

    __slots__ = ("_broker", "message", "queue", "redelivered", "routing_key", "tag")

    def __init__(self, broker: InProcessBroker, queue: str, tag: int, entry: Entry) -> None:
        self._broker = broker
        self.message = entry.message
        self.queue = queue
        self.routing_key = entry.routing_key
        self.tag = tag
        self.redelivered = entry.returns > 0

    def ack(self) -> None:
        self._broker.settle(self.tag, ack=True, requeue=False)

    def reject(self, *, requeue: bool) -> None:
        self._broker.settle(self.tag, ack=False, requeue=requeue)
