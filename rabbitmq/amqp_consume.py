"""Consuming: each subscription has a channel of its own, and so has each ``get``.

So a channel that the broker closes (a missing queue, a handler beyond the broker's acknowledgement timeout) takes
nothing else with it. On that channel a subscription has as many AMQP consumers as its gate (:mod:`rabbitmq.solo`) says:
none, one of prefetch 1, or a wide one beside it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, Final

from fusebox import happenings
from rabbitmq.amqp_io import IoThread
from rabbitmq.amqp_lane import Lane
from rabbitmq.amqp_wire import cancel, fence
from rabbitmq.broker import Delivery
from rabbitmq.callback import call_back
from rabbitmq.solo import Gate

_REOPEN_S: Final = 1.0
_ATTEND_S: Final = 0.005

SUBSCRIPTION_LOST: Final = happenings.declare(
    "subscription_lost", logging.WARNING, "RabbitMQ ended a subscription; it is opened again"
)


class Subscription:
    """See :class:`rabbitmq.broker.Consumer`: one queue, one callback, over as many connections as it takes.

    ``_active`` and ``_over`` are written by callers and count at once; the broker hears of it a moment later.
    """

    def __init__(
        self, io: IoThread, queue: str, callback: Callable[[Delivery], None], prefetch: int, *, alone: bool = True
    ) -> None:
        self._io, self._callback = io, callback
        self.queue, self.prefetch = queue, prefetch
        self._gated = alone and prefetch > 1
        self._active, self._over = True, False
        self._lane: Lane | None = None
        self._tags: list[str] = []

    # --- any thread -------------------------------------------------------------------------------------------------
    @property
    def over(self) -> bool:
        """True once cancelled."""
        return self._over

    def pause(self) -> None:
        self._active = False
        self._io.run(self._follow)

    def resume(self) -> None:
        self._active = True
        self._io.run(self._follow)

    def cancel(self) -> None:
        self._over = True
        self._io.run(self._follow)

    def withdraw(self) -> None:
        self._over = True
        self._io.run(self._drop)

    def attend(self, over: Callable[[], bool]) -> None:
        if lane := self._lane:
            lane.flush()
            self._io.attend(lane.socket, over, time.monotonic() + _ATTEND_S, keep=True)

    # --- the I/O thread ---------------------------------------------------------------------------------------------
    def open(self, connection: Any, opened: Callable[[], None], failed: Callable[[BaseException], None]) -> None:
        """Subscribe on a new connection; one of the two is called once, when it is known how that went."""
        attempt = _Opening(opened, failed)
        channel = connection.channel(on_open_callback=lambda ch: self._opened(ch, attempt))
        channel.add_on_close_callback(lambda ch, reason: self._closed(ch, reason, attempt))

    def _opened(self, channel: Any, attempt: _Opening) -> None:
        gate = Gate(self.prefetch, self._hand_over, self._follow) if self._gated else None
        self._lane, self._tags = Lane(channel, self._io, gate, share=max(1, self.prefetch // 4)), []
        channel.add_on_cancel_callback(lambda _: channel.close())
        self._follow()
        fence(channel, attempt.succeed)

    def _follow(self) -> None:
        """Make the channel do what the caller last asked for, at the prefetch its gate wants."""
        lane = self._lane
        if lane is None or not lane.channel.is_open:
            return
        if self._wanted:
            self._take(lane, lane.gate.places if lane.gate else (self.prefetch,))
        else:
            self._take(lane, ())
            for delivery in lane.gate.withdraw() if lane.gate else ():
                delivery.reject(requeue=True)
        if self._over:
            lane.retire()

    def _drop(self) -> None:
        if self._lane:
            self._lane.drop()

    @property
    def _wanted(self) -> bool:
        return self._active and not self._over

    def _take(self, lane: Lane, places: tuple[int, ...]) -> None:
        """Have one AMQP consumer for each place; the first ones stay."""
        lane.ending = not places
        ended, self._tags = self._tags[len(places) :], self._tags[: len(places)]
        for tag in ended:
            cancel(lane.channel, tag)
        if ended and lane.gate:
            lane.gate.stopping()
            fence(lane.channel, lane.gate.stopped)
        for prefetch in places[len(self._tags) :]:
            lane.channel.basic_qos(prefetch_count=prefetch)
            self._tags.append(lane.channel.basic_consume(self.queue, self._received))

    def _hand_over(self, delivery: Delivery) -> bool:
        return call_back(self._callback, delivery)

    def _received(self, channel: Any, method: Any, properties: Any, body: bytes) -> None:
        lane = self._lane
        if lane is None or lane.channel is not channel:
            return
        delivery = lane.receive(self.queue, method, properties, body)
        if not self._wanted:
            delivery.reject(requeue=True)
        elif lane.gate:
            lane.gate.arrive(delivery)
        else:
            self._hand_over(delivery)

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
