"""A channel, and the deliveries on it that are not settled yet.

A delivery can be settled on its own channel only, so the channel stays open until the last one is; after it is gone a
settle is stale: RabbitMQ delivers the message again, and the late word is counted and ignored.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

from fusebox import happenings
from rabbitmq.amqp_wire import message_of
from rabbitmq.broker import Message
from rabbitmq.solo import Gate

STALE_SETTLE: Final = happenings.declare(
    "stale_settle", logging.INFO, "a message was settled after its channel was gone; RabbitMQ delivers it again"
)

Run = Callable[[Callable[[], None]], None]
"""Has something done by whoever holds the turn (:mod:`rabbitmq.io_loop`): here and now, or on the I/O thread."""


class Lane:
    """Everything but ``settle`` runs while holding the turn.

    Args:
        channel: pika's channel.
        run: has something done by whoever holds the turn.
        gate: is told of what was settled while the channel was there.
    """

    def __init__(self, channel: Any, run: Run, gate: Gate | None = None) -> None:
        self.channel, self._run, self.gate = channel, run, gate
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
        if self.gate is not None:
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
        self.routing_key = str(method.routing_key)
        self.tag = int(method.delivery_tag)
        self.redelivered = bool(method.redelivered)

    def ack(self) -> None:
        self._lane.settle(self.tag, ack=True, requeue=False)

    def reject(self, *, requeue: bool) -> None:
        self._lane.settle(self.tag, ack=False, requeue=requeue)
