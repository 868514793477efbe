"""The consuming connection: what is declared and subscribed on it, again after each reconnect, and single calls.

A call (declare, get, depth, purge) runs on a channel of its own, so one that the broker refuses closes only that.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final, Generic, TypeVar

from pika import spec

from fusebox.errors import BrokerUnavailable
from rabbitmq.amqp_address import Address, forbidden
from rabbitmq.amqp_consume import Subscription
from rabbitmq.amqp_io import IoThread, Link
from rabbitmq.amqp_lane import Lane
from rabbitmq.amqp_wire import declare_on, verify_on
from rabbitmq.broker import Delivery, Topology

T = TypeVar("T")

_RESTORE_S: Final = 5.0


class Call(Generic[T]):
    """The answer of one call: a value or the reason for none, whichever comes first.

    A caller that waits no longer cancels :attr:`answer`; everything else happens on the I/O thread.
    """

    def __init__(self) -> None:
        self.answer: Future[T] = Future()
        self._ended = False
        self._afterwards: list[Callable[[BaseException | None], None]] = []

    def afterwards(self, action: Callable[[BaseException | None], None]) -> None:
        """Have ``action`` called with the reason of the failure, or None, once the call is over."""
        self._afterwards.append(action)

    def succeed(self, value: T) -> bool:
        """The broker answered; False when nobody waits for it any more."""
        return self._end(None, lambda: self.answer.set_result(value))

    def fail(self, reason: BaseException) -> None:
        """The broker refused, or the connection broke."""
        self._end(reason, lambda: self.answer.set_exception(reason))

    def _end(self, reason: BaseException | None, settle: Callable[[], None]) -> bool:
        if self._ended:
            return False
        self._ended = True
        awaited = self.answer.set_running_or_notify_cancel()
        if awaited:
            settle()
        for action in self._afterwards:
            action(reason)
        return awaited


class Desk:
    """The tenant of the consuming connection. Everything is called on the I/O thread."""

    def __init__(self, address: Address, io: IoThread) -> None:
        self._address, self._io = address, io
        self._topology = Topology()
        self._subscriptions: list[Subscription] = []
        self._awaiting: list[Callable[[], None]] = []
        self._connection: Any = None
        self.link: Link

    # --- the connection comes and goes ------------------------------------------------------------------------------
    def connected(self, connection: Any) -> None:
        """Declare and subscribe everything again; what is refused now is tried again on the next connection."""
        self._connection = connection
        restored: Call[None] = Call()
        restored.afterwards(self._restored)
        self._establish(restored, self._topology, lambda: restored.succeed(None))

    def _restored(self, reason: BaseException | None) -> None:
        if reason is not None:
            self.link.refuse(reason)
            return
        self._subscriptions = [each for each in self._subscriptions if not each.over]
        for each in self._subscriptions:
            each.reopen(self._connection)
        self.link.ready()
        awaiting, self._awaiting = self._awaiting, []
        for action in awaiting:
            action()

    def once_restored(self, action: Callable[[], None]) -> None:
        """Call ``action``, perhaps twice: when what was declared stands again, and after some seconds in any case."""
        if self.link.up:
            action()
        else:
            self._awaiting.append(action)
            self._io.loop.call_later(_RESTORE_S, action)

    def disconnected(self) -> None:
        self._connection = None

    def blocked(self, blocked: bool) -> None:
        """Publishing is what an alarm blocks; nothing is published here."""

    # --- calls --------------------------------------------------------------------------------------------------------
    def declare(self, call: Call[None], topology: Topology) -> None:
        def done() -> None:
            self._topology = _merged(self._topology, topology)
            call.succeed(None)

        if self._is_up(call):
            self._establish(call, topology, done)

    def _establish(self, call: Call[None], topology: Topology, done: Callable[[], object]) -> None:
        """Declare; a user who may not configure only checks that the deployer did (``fusebox rabbitmq provision``)."""

        connection = self._connection

        def refused(reason: BaseException) -> None:
            if forbidden(reason) and connection.is_open:
                self._on_channel(call, lambda channel: verify_on(channel, topology, done))
            else:
                call.fail(reason)

        self._on_channel(call, lambda channel: declare_on(channel, topology, done), refused)

    def subscribe(self, call: Call[None], subscription: Subscription) -> None:
        def opened() -> None:
            self._subscriptions.append(subscription)
            if not call.succeed(None):
                subscription.cancel()

        if self._is_up(call):
            subscription.open(self._connection, opened, call.fail)

    def depth(self, call: Call[int], queue: str) -> None:
        self._inspect(call, queue, lambda found: int(found.message_count))

    def in_hand(self, call: Call[bool], queue: str) -> None:
        """Whoever got a message is a consumer to RabbitMQ until it is settled."""
        self._inspect(call, queue, lambda found: bool(found.consumer_count))

    def _inspect(self, call: Call[T], queue: str, answer: Callable[[Any], T]) -> None:
        def told(frame: Any) -> None:
            call.succeed(answer(frame.method))

        self._run(call, lambda channel: channel.queue_declare(queue, passive=True, callback=told))

    def purge(self, call: Call[int], queue: str) -> None:
        self._run(
            call,
            lambda channel: channel.queue_purge(queue, callback=lambda frame: call.succeed(frame.method.message_count)),
        )

    def get(self, call: Call[Delivery | None], queue: str) -> None:
        """The channel stays until the delivery is settled."""

        def opened(channel: Any) -> None:
            lane = Lane(channel, self._io)

            def empty(_: Any) -> None:
                call.succeed(None)
                lane.retire()

            def received(_: Any, method: Any, properties: Any, body: bytes) -> None:
                delivery = lane.receive(queue, method, properties, body)
                if not call.succeed(delivery):
                    delivery.reject(requeue=True)
                lane.retire()

            channel.add_callback(empty, [spec.Basic.GetEmpty])
            channel.basic_get(queue, received)

        if self._is_up(call):
            self._open_channel(call, opened)

    # --- channels -----------------------------------------------------------------------------------------------------
    def _run(self, call: Call[Any], work: Callable[[Any], None]) -> None:
        if self._is_up(call):
            self._on_channel(call, work)

    def _is_up(self, call: Call[Any]) -> bool:
        if not self.link.up:
            call.fail(BrokerUnavailable(f"no connection to RabbitMQ at {self._address} just now; try again later"))
        return self.link.up

    def _on_channel(
        self, call: Call[Any], work: Callable[[Any], None], refused: Callable[[BaseException], None] | None = None
    ) -> None:
        """Open a channel, work on it, close it when the answer is there."""
        channel = self._open_channel(call, work, refused)
        call.afterwards(lambda _: channel.is_open and channel.close())

    def _open_channel(
        self, call: Call[Any], work: Callable[[Any], None], refused: Callable[[BaseException], None] | None = None
    ) -> Any:
        channel, closed = self._connection.channel(on_open_callback=work), refused or call.fail
        channel.add_on_close_callback(lambda _, reason: closed(reason))
        return channel


def _merged(known: Topology, new: Topology) -> Topology:
    """Both, each thing once, in order."""
    both = known + new
    return Topology(
        tuple(dict.fromkeys(both.exchanges)), tuple(dict.fromkeys(both.queues)), tuple(dict.fromkeys(both.bindings))
    )
