"""The in-process twin of RabbitMQ: the same topology, confirms, redelivery and dead letters, in this process's memory.

For a first run, for tests, and for agents that share one process; nothing survives the process. Both brokers pass the
same tests. Time to live passes in real time, as it does in RabbitMQ, whatever ``FUSEBOX_CLOCK_SPEED`` says.

One lock guards everything (:mod:`rabbitmq.inprocess_messages`). One thread calls the consumers, never while it holds
the lock, so a callback may use the broker.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from fusebox.errors import BrokerUnavailable, PublishNacked, Unroutable
from rabbitmq.broker import Consumer, Delivery, Message, Topology
from rabbitmq.callback import call_back
from rabbitmq.confirms import Confirm, Known
from rabbitmq.inprocess_messages import Messages
from rabbitmq.inprocess_queue import Entry, Subscription
from rabbitmq.limits import check


class InProcessBroker:
    """A :class:`rabbitmq.broker.Broker` that reaches this process only."""

    remote = False
    busy = False
    user = ""

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.RLock())
        self._messages = Messages()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        with self._changed:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="fusebox-broker", daemon=True)
                self._thread.start()

    def stop(self, timeout: float = 10.0) -> None:
        with self._changed:
            thread, self._thread = self._thread, None
            self._messages.hang_up()
            self._changed.notify_all()
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)

    def declare(self, topology: Topology) -> None:
        with self._changed:
            self._started().declare(topology)

    def publish(self, exchange: str, routing_key: str, message: Message, *, timeout: float = 5.0) -> None:  # noqa: ARG002
        check(exchange, routing_key, message)
        with self._changed:
            messages = self._started()
            takers = messages.takers(exchange, routing_key)
            if not takers:
                raise Unroutable(
                    f"no queue takes {routing_key!r} of exchange {exchange!r}; start an agent that handles it first"
                )
            full = [queue.spec.name for queue in takers if queue.full]
            messages.store([queue for queue in takers if not queue.full], routing_key, message)
            self._changed.notify_all()
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
            source = self._started().queue(queue)
            subscription = Subscription(source, callback, prefetch, alone=alone and prefetch > 1)
            source.subscriptions.append(subscription)
            self._wake(subscription)
        return _Consumer(self, subscription)

    def get(self, queue: str) -> Delivery | None:
        with self._changed:
            messages = self._started()
            source = messages.queue(queue)
            messages.expire(source)
            self._changed.notify_all()
            return _Delivery(self, queue, *messages.take(source)) if len(source) else None

    def depth(self, queue: str) -> int:
        with self._changed:
            found = self._started().find(queue)
            return 0 if found is None else len(found)

    def in_hand(self, queue: str) -> bool:
        with self._changed:
            found = self._started().find(queue)
            return found is not None and self._messages.in_hand(found)

    def purge(self, queue: str) -> int:
        with self._changed:
            found = self._started().find(queue)
            return 0 if found is None else found.clear()

    # --- for consumers and deliveries -----------------------------------------------------------------------------
    def switch(self, subscription: Subscription, *, active: bool) -> None:
        """Pause or resume a subscription."""
        with self._changed:
            subscription.active = active
            self._wake(subscription)

    def remove(self, subscription: Subscription) -> None:
        """End a subscription."""
        with self._changed:
            self._messages.remove(subscription)

    def withdraw(self, subscription: Subscription) -> None:
        """End a subscription and take back what it has."""
        with self._changed:
            self._messages.withdraw(subscription)
            self._changed.notify_all()

    def settle(self, tag: int, *, ack: bool, requeue: bool) -> None:
        """What became of a delivery; does nothing when that is known already."""
        with self._changed:
            self._messages.settle(tag, ack=ack, requeue=requeue)
            self._changed.notify_all()

    # --- with the lock held -----------------------------------------------------------------------------------------
    def _started(self) -> Messages:
        if self._thread is None:
            raise BrokerUnavailable("the in-process broker is not running; call start() first")
        return self._messages

    def _wake(self, subscription: Subscription) -> None:
        self._messages.wake(subscription.queue)
        self._changed.notify_all()

    # --- the thread that calls consumers ----------------------------------------------------------------------------
    def _run(self) -> None:
        while True:
            with self._changed:
                if self._thread is not threading.current_thread():
                    return
                batch = self._messages.take_due()
                if not batch:
                    self._changed.wait(self._messages.until_expiry())
            for subscription, tag, entry in batch:
                self._hand_over(subscription, _Delivery(self, subscription.queue.spec.name, tag, entry))

    def _hand_over(self, subscription: Subscription, delivery: _Delivery) -> None:
        if not subscription.active:
            delivery.reject(requeue=True)
        elif not call_back(subscription.callback, delivery):
            with self._changed:
                subscription.lose(delivery.tag)
                self._wake(subscription)


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

    def withdraw(self) -> None:
        self._cancelled = True
        self._broker.withdraw(self._subscription)

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
