"""Consuming: each subscription, and each ``get``, has a channel of its own.

So a channel that the broker closes (a missing queue, a handler beyond the broker's acknowledgement timeout) takes
nothing else with it. A channel stays open until the last of its deliveries is settled, because only there it can be;
after it is gone a settle is stale: RabbitMQ delivers the message again, and the late word is counted and ignored.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

from fusebox import happenings
from rabbitmq.amqp_wire import fence, message_of
from rabbitmq.broker import Delivery, Message
from rabbitmq.callback import call_back

_REOPEN_S: Final = 1.0

STALE_SETTLE: Final = happenings.declare(
    "stale_settle", logging.INFO, "a message was settled after its channel was gone; RabbitMQ delivers it again"
)
SUBSCRIPTION_LOST: Final = happenings.declare(
    "subscription_lost", logging.WARNING, "RabbitMQ ended a subscription; it is opened again"
)

Run = Callable[[Callable[[], None]], None]
"""Has something done while holding the turn (:mod:`rabbitmq.io_loop`): here and now, or on the I/O thread."""


class Lane:
    """A channel and the deliveries on it that are not settled yet. Everything but ``settle`` runs on the I/O thread."""

    def __init__(self, channel: Any, run: Run) -> None:
        self.channel, self._run = channel, run
        self._unsettled: set[int] = set()
        self._retired = False

    def receive(self, queue: str, method: Any, properties: Any, body: bytes) -> AmqpDelivery:
        """Take a delivery in."""
        self._unsettled.add(method.delivery_tag)
        return AmqpDelivery(self, queue, method, message_of(properties, body))

    def retire(self) -> None:
        """Close the channel as soon as nothing is unsettled."""
        self._retired = True
        if not self._unsettled and self.channel.is_open:
            self.channel.close()

    def settle(self, tag: int, *, ack: bool, requeue: bool) -> None:
        """From any thread."""
        self._run(lambda: self._settle(tag, ack, requeue))

    def _settle(self, tag: int, ack: bool, requeue: bool) -> None:
        if tag not in self._unsettled:
            return
        self._unsettled.discard(tag)
        if not self.channel.is_open:
            happenings.emit(STALE_SETTLE, tag=tag, ack=ack)
            return
        if ack:
            self.channel.basic_ack(tag)
        else:
            self.channel.basic_reject(tag, requeue=requeue)
        if self._retired:
            self.retire()


class AmqpDelivery:
    """See :class:`rabbitmq.broker.Delivery`."""

    __slots__ = ("_lane", "message", "queue", "redelivered", "routing_key", "tag")

    def __init__(self, lane: Lane, queue: str, method: Any, message: Message) -> None:
        self._lane = lane
        self.message = message
        self.queue = queue
        self.routing_key = str(method.routing_key)
        self.tag = int(method.delivery_tag)
        self.redelivered = bool(method.redelivered)

    def ack(self) -> None:
        self._lane.settle(self.tag, ack=True, requeue=False)

    def reject(self, *, requeue: bool) -> None:
        self._lane.settle(self.tag, ack=False, requeue=requeue)


class Subscription:
    """See :class:`rabbitmq.broker.Consumer`: one queue, one callback, over as many connections as it takes.

    ``_active`` and ``_over`` are written by callers and count at once; the broker hears of it a moment later.
    """

    def __init__(self, run: Run, queue: str, callback: Callable[[Delivery], None], prefetch: int) -> None:
        self._run, self._callback = run, callback
        self.queue, self.prefetch = queue, prefetch
        self._active, self._over = True, False
        self._lane: Lane | None = None
        self._tag = ""

    # --- any thread -------------------------------------------------------------------------------------------------
    @property
    def over(self) -> bool:
        """True once cancelled."""
        return self._over

    def pause(self) -> None:
        self._active = False
        self._run(self._follow)

    def resume(self) -> None:
        self._active = True
        self._run(self._follow)

    def cancel(self) -> None:
        self._over = True
        self._run(self._follow)

    # --- the I/O thread ---------------------------------------------------------------------------------------------
    def open(self, connection: Any, opened: Callable[[], None], failed: Callable[[BaseException], None]) -> None:
        """Subscribe on a new connection; one of the two is called once, when it is known how that went."""
        attempt = _Opening(opened, failed)
        channel = connection.channel(on_open_callback=lambda ch: self._opened(ch, attempt))
        channel.add_on_close_callback(lambda ch, reason: self._closed(ch, reason, attempt))

    def _opened(self, channel: Any, attempt: _Opening) -> None:
        self._lane, self._tag = Lane(channel, self._run), ""
        channel.add_on_cancel_callback(lambda _: channel.close())
        channel.basic_qos(prefetch_count=self.prefetch)
        self._follow()
        fence(channel, attempt.succeed, self.prefetch)

    def _follow(self) -> None:
        """Make the channel do what the caller last asked for."""
        lane, wanted = self._lane, self._active and not self._over
        if lane is None or not lane.channel.is_open:
            return
        if wanted and not self._tag:
            self._tag = lane.channel.basic_consume(self.queue, self._received)
        elif not wanted and self._tag:
            lane.channel.basic_cancel(self._tag)
            self._tag = ""
        if self._over:
            lane.retire()

    def _received(self, channel: Any, method: Any, properties: Any, body: bytes) -> None:
        lane = self._lane
        if lane is None or lane.channel is not channel:
            return
        delivery = lane.receive(self.queue, method, properties, body)
        if self._active and not self._over:
            call_back(self._callback, delivery)
        else:
            delivery.reject(requeue=True)

    def _closed(self, channel: Any, reason: BaseException, attempt: _Opening) -> None:
        """Opened again when the broker closed it; a lost connection brings a new ``open`` by itself."""
        connection = channel.connection
        if attempt.fail(reason) or self._over or not connection.is_open:
            return
        happenings.emit(SUBSCRIPTION_LOST, queue=self.queue, reason=repr(reason))
        self._reopen_later(connection)

    def _reopen_later(self, connection: Any) -> None:
        connection.ioloop.call_later(_REOPEN_S, lambda: self.reopen(connection))

    def reopen(self, connection: Any) -> None:
        """Subscribe again, now and every second until it works, the connection breaks or the consumer is cancelled."""
        if connection.is_open and not self._over:
            self.open(connection, lambda: None, lambda reason: self._not_back(connection, reason))

    def _not_back(self, connection: Any, reason: BaseException) -> None:
        happenings.emit(SUBSCRIPTION_LOST, queue=self.queue, reason=repr(reason))
        self._reopen_later(connection)


class _Opening:
    """One attempt to open, which succeeds or fails once."""

    def __init__(self, opened: Callable[[], None], failed: Callable[[BaseException], None]) -> None:
        self._opened, self._failed, self._done = opened, failed, False

    def succeed(self) -> None:
        self._done = True
        self._opened()

    def fail(self, reason: BaseException) -> bool:
        """True when this ended the attempt."""
        if self._done:
            return False
        self._done = True
        self._failed(reason)
        return True
