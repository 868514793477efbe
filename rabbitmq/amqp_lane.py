"""A channel, and the deliveries on it that are not settled yet.

A delivery can be settled on its own channel only, so the channel stays open until the last one is; after it is gone a
settle is stale: RabbitMQ delivers the message again, and the late word is counted and ignored.

Acknowledgements share frames: one that acknowledges everything up to a tag is sent for all tags below the lowest that
is still unsettled; the others are sent one by one. They are sent when a quarter of the prefetch is acknowledged, so
that the broker never waits to send more, when the consumer has nothing to do, and else within some milliseconds.
"""

from __future__ import annotations

import logging
import math
from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Protocol

from fusebox import happenings
from rabbitmq.amqp_wire import fence, message_of, text
from rabbitmq.broker import Message
from rabbitmq.solo import Gate

STALE_SETTLE: Final = happenings.declare(
    "stale_settle", logging.INFO, "a message was settled after its channel was gone; RabbitMQ delivers it again"
)


class Io(Protocol):
    """What a lane needs of :class:`rabbitmq.amqp_io.IoThread`."""

    def run(self, action: Callable[[], None]) -> int:
        """Have something done by whoever holds the turn, here and now or soon; gives the socket that was written to."""

    def post_lazily(self, action: Callable[[], None]) -> None:
        """Have something done within some milliseconds."""


class Lane:
    """Everything but :meth:`ack` and :meth:`reject` runs while holding the turn.

    Args:
        channel: pika's channel.
        io: the thread that owns the channel.
        gate: is told of what was settled while the channel was there.
        share: as many acknowledgements are sent at once.
    """

    def __init__(self, channel: Any, io: Io, gate: Gate | None = None, *, share: int = 1) -> None:
        self.channel, self._io, self.gate, self._share = channel, io, gate, share
        self._unsettled: set[int] = set()
        self._acked: deque[int] = deque()
        self._due = self._due_soon = False
        self._retired = False
        self.ending = False
        """No AMQP consumer is wanted on the channel; those that were there may not have gone yet."""
        self.socket = -1
        """The socket that deliveries come by; -1 until it is known."""

    def receive(self, queue: str, method: Any, properties: Any, body: bytes) -> AmqpDelivery:
        """Take a delivery in."""
        self._unsettled.add(method.delivery_tag)
        return AmqpDelivery(self, queue, method, message_of(properties, body))

    def retire(self) -> None:
        """Close the channel as soon as nothing is unsettled."""
        self._retired = True
        if not self._unsettled and self.channel.is_open:
            self.channel.close()

    def drop(self) -> None:
        """Close the channel now. RabbitMQ then gives back what is unsettled in its old order; hundreds of rejects come
        back in any."""
        if self.channel.is_open:
            self._ack_all()
            self._unsettled.clear()
            self.channel.close()

    # --- from any thread --------------------------------------------------------------------------------------------
    def ack(self, tag: int) -> None:
        """A delivery is dealt with."""
        self._acked.append(tag)
        if len(self._acked) >= self._share:
            self.flush()
        elif not self._due_soon:
            self._due_soon = True
            self._io.post_lazily(self._ack_all)

    def flush(self) -> None:
        """Send what is acknowledged now."""
        if self._acked and not self._due:
            self._due = True
            written = self._io.run(self._ack_all)
            if written >= 0:
                self.socket = written

    def reject(self, tag: int, *, requeue: bool) -> None:
        """A delivery goes back, or to the dead letters."""
        self._io.run(lambda: self._give_back(tag) if requeue else self._reject(tag, requeue=False))

    # --- while holding the turn -------------------------------------------------------------------------------------
    def _ack_all(self) -> None:
        self._due = self._due_soon = False  # first: what is appended from here on asks again
        tags = [self._acked.popleft() for _ in range(len(self._acked))]
        settled = sorted(tag for tag in tags if self._take_out(tag))
        together = bisect_left(settled, min(self._unsettled, default=math.inf))
        if together:
            self.channel.basic_ack(settled[together - 1], multiple=together > 1)
        for tag in settled[together:]:
            self.channel.basic_ack(tag)
        self._tell(settled)

    def _give_back(self, tag: int) -> None:
        """Behind the cancels of consumers: pika sends one after the other, and one that is still to go would take this
        again, behind what was given back meanwhile and one delivery nearer to the limit."""
        if self.ending and self.channel.is_open:
            fence(self.channel, lambda: self._reject(tag, requeue=True))
        else:
            self._reject(tag, requeue=True)

    def _reject(self, tag: int, *, requeue: bool) -> None:
        if self._take_out(tag):
            self.channel.basic_reject(tag, requeue=requeue)
            self._tell([tag])

    def _take_out(self, tag: int) -> bool:
        """True when the broker is still to hear of it."""
        if tag not in self._unsettled:
            return False
        self._unsettled.discard(tag)
        if not self.channel.is_open:
            happenings.emit(STALE_SETTLE, tag=tag)
        return bool(self.channel.is_open)

    def _tell(self, settled: list[int]) -> None:
        if self.gate is not None:
            for tag in settled:
                self.gate.settle(tag)
        if self._retired:
            self.retire()


class AmqpDelivery:
    """See :class:`rabbitmq.broker.Delivery`."""

    __slots__ = ("_lane", "message", "queue", "redelivered", "routing_key", "tag")

    def __init__(self, lane: Lane, queue: str, method: Any, message: Message) -> None:
        self._lane = lane
        self.message = message
        self.queue = queue
        self.routing_key = str(text(method.routing_key))
        self.tag = int(method.delivery_tag)
        self.redelivered = bool(method.redelivered)

    def ack(self) -> None:
        self._lane.ack(self.tag)

    def reject(self, *, requeue: bool) -> None:
        self._lane.reject(self.tag, requeue=requeue)
