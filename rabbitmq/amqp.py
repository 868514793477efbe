"""RabbitMQ, as agents use it: :class:`AmqpBroker`.

Two connections live on one I/O thread, because RabbitMQ stops reading a connection that publishes while an alarm is
on: acknowledgements, Commands and declarations go over the other one and are not held up::

    callers ──publish──► Publisher ─► Link "publishing" ─┐
    callers ──declare, consume, get──► Desk ─► Link "consuming" ─┴─ IoThread ─► RabbitMQ

What crosses threads: callers post work to the I/O thread and wait for a future with a deadline; callbacks of consumers
run on the I/O thread, so the calls that wait are refused there.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import replace
from typing import Final, TypeVar

from pika.exceptions import AMQPError

from fusebox import forks, happenings
from fusebox.errors import BadMessage, BrokerUnavailable, ConfigError
from rabbitmq.amqp_address import Address, not_found, refusal
from rabbitmq.amqp_calls import Call, Desk
from rabbitmq.amqp_consume import Subscription
from rabbitmq.amqp_io import IoThread, Link
from rabbitmq.amqp_publish import Publisher
from rabbitmq.broker import Consumer, Delivery, Message, Topology
from rabbitmq.confirms import Confirm
from rabbitmq.identity import is_agent_user
from rabbitmq.limits import check

_START_S: Final = 15.0
_CALL_S: Final = 10.0
_GOODBYE_S: Final = 2.0

T = TypeVar("T")

UNSEEMLY_END: Final = happenings.declare(
    "broker_not_closed", logging.INFO, "RabbitMQ did not answer our goodbye; the connection was dropped"
)


class AmqpBroker:
    """A :class:`rabbitmq.broker.Broker` on a RabbitMQ server.

    Args:
        url: ``amqp://user:password@host:5672/%2F`` or ``amqps://…``; ``?heartbeat=`` and pika's other settings work.
        client_name: how RabbitMQ's own tools show these connections.

    Raises:
        ConfigError: the URL cannot be read.
    """

    remote = True

    def __init__(self, url: str, *, client_name: str = "") -> None:
        self._address = Address(url)
        self._name = client_name or "fusebox"
        self._signs = is_agent_user(self._address.user)
        self._generation = 0
        self._io: IoThread | None = None
        self._links: tuple[Link, ...] = ()
        self._publisher: Publisher
        self._desk: Desk

    @property
    def user(self) -> str:
        """The AMQP user of its connections."""
        return self._address.user

    def start(self) -> None:
        if self._io is not None:
            return
        io = self._io = IoThread(self._abandon)
        self._generation = forks.generation()
        self._desk = Desk(self._address, io)
        self._publisher = Publisher(self._address, io, self._desk.once_restored)
        self._links = (
            self._link(io, "publishing", self._publisher),
            self._link(io, "consuming", self._desk),
        )
        io.start()
        for link in self._links:
            io.post(link.open)
        try:
            self._await_first()
        except BaseException:
            self.stop()
            raise

    def stop(self, timeout: float = 10.0) -> None:
        io, self._io = self._io, None
        if io is None or forks.generation() != self._generation:
            return
        deadline = time.monotonic() + timeout
        io.post(self._publisher.stop)
        for link in self._links:
            io.post(link.close)
        if not io.here:
            self._await_closed(min(timeout / 2, _GOODBYE_S))
        io.stop(max(0.0, deadline - time.monotonic()))

    def declare(self, topology: Topology) -> None:
        call: Call[None] = Call()
        self._ask(call, lambda: self._desk.declare(call, topology))

    def publish(self, exchange: str, routing_key: str, message: Message, *, timeout: float = 5.0) -> None:
        self.publish_soon(exchange, routing_key, message, timeout=timeout)()

    def publish_soon(self, exchange: str, routing_key: str, message: Message, *, timeout: float = 5.0) -> Confirm:
        check(exchange, routing_key, message)
        if message.user_id and message.user_id != self._address.user:
            raise BadMessage(f"user_id must be {self._address.user!r}, the user of this connection, or empty")
        if self._signs:
            message = replace(message, user_id=self.user)
        self._running()
        return self._publisher.submit(exchange, routing_key, message, timeout)

    @property
    def busy(self) -> bool:
        return self._io is not None and self._publisher.busy

    def consume(
        self, queue: str, callback: Callable[[Delivery], None], *, prefetch: int, alone: bool = True
    ) -> Consumer:
        subscription = Subscription(self._running(), queue, callback, prefetch, alone=alone)
        call: Call[None] = Call()
        self._ask(call, lambda: self._desk.subscribe(call, subscription))
        return subscription

    def get(self, queue: str) -> Delivery | None:
        call: Call[Delivery | None] = Call()
        return self._ask(call, lambda: self._desk.get(call, queue))

    def depth(self, queue: str) -> int:
        call: Call[int] = Call()
        return self._ask(call, lambda: self._desk.depth(call, queue), missing=0)

    def in_hand(self, queue: str) -> bool:
        call: Call[bool] = Call()
        return self._ask(call, lambda: self._desk.in_hand(call, queue), missing=False)

    def purge(self, queue: str) -> int:
        call: Call[int] = Call()
        return self._ask(call, lambda: self._desk.purge(call, queue), missing=0)

    # --- inside -----------------------------------------------------------------------------------------------------
    def _link(self, io: IoThread, purpose: str, tenant: Publisher | Desk) -> Link:
        link = tenant.link = Link(io, self._address, f"{self._name} {purpose} {os.getpid()}", tenant)
        return link

    def _abandon(self, error: BaseException) -> None:
        for link in self._links:
            link.abandon(error)

    def _await_first(self) -> None:
        deadline = time.monotonic() + _START_S
        for link in self._links:
            try:
                link.first.result(max(0.0, deadline - time.monotonic()))
            except FutureTimeout as error:
                raise self._address.unavailable(error) from None

    def _await_closed(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        for link in self._links:
            try:
                link.closed.result(max(0.0, deadline - time.monotonic()))
            except FutureTimeout:
                happenings.emit(UNSEEMLY_END, address=str(self._address))

    def _running(self) -> IoThread:
        """The I/O thread, when this caller may wait for it."""
        if self._io is None:
            raise BrokerUnavailable("the broker is not running; call start() first")
        if forks.generation() != self._generation:
            raise ConfigError(
                "this process was forked after the connection to RabbitMQ was opened; "
                "start the broker in the child, or use the 'spawn' start method"
            )
        if self._io.here:
            raise ConfigError("a consumer's callback must return at once; hand the work to another thread")
        return self._io

    def _ask(self, call: Call[T], work: Callable[[], None], *, missing: T | None = None) -> T:
        """Run ``work`` on the I/O thread and wait; ``missing`` is the answer when the queue does not exist."""
        self._running().post(work)
        try:
            return self._wait(call.answer)
        except AMQPError as error:
            if missing is not None and not_found(error):
                return missing
            raise refusal(error) from None

    def _wait(self, answer: Future[T]) -> T:
        try:
            return answer.result(_CALL_S)
        except FutureTimeout:
            if not answer.cancel():
                return answer.result()
            raise BrokerUnavailable(f"RabbitMQ at {self._address} gave no answer within {_CALL_S:g} s") from None
