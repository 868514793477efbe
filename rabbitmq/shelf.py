"""Shelf: the held and dead messages of an agent, for people: look, put back, throw away.

Looking takes every message off the queue, unsettled, and gives all of them back at once, in their old order; it is
meant for thousands of messages, not for millions. A message that is put back is published, confirmed, before it leaves
the shelf, with its own id, lineage and trace.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue
from typing import Any, Final

from fusebox import names
from fusebox.errors import BadMessage
from rabbitmq.broker import Broker, Delivery, Message

LIMIT: Final = 10_000
_ARRIVE_S: Final = 2.0
_POLL_S: Final = 0.02
_NOTES: Final = (
    names.H_HELD_REASON,
    names.H_HELD_FINDING,
    names.H_DEAD_REASON,
    names.H_DEAD_STACK,
    names.H_ATTEMPT,
    names.H_APPROVAL,
)

Wanted = Callable[["Shelved"], bool]


@dataclass(frozen=True, slots=True)
class Shelved:
    """One message on the shelf, as people want to see it."""

    message: Message
    agent: str

    @property
    def reason(self) -> str:
        """Why it is here."""
        headers = self.message.headers
        return str(headers.get(names.H_DEAD_REASON) or headers.get(names.H_HELD_REASON) or "rejected by the broker")

    @property
    def finding(self) -> str:
        """Id of the Finding that opened the circuit; empty for other reasons."""
        return str(self.message.headers.get(names.H_HELD_FINDING, ""))

    @property
    def key(self) -> str:
        """The routing key it was published with."""
        return str(self.message.headers.get(names.H_ORIGIN_KEY, ""))

    @property
    def trace_id(self) -> str:
        """The trace it belongs to; empty when it carries none."""
        parts = str(self.message.headers.get(names.H_TRACEPARENT, "")).split("-")
        return parts[1] if len(parts) == 4 else ""

    def row(self) -> dict[str, Any]:
        """Plain data for a table or JSON."""
        return {
            "message": self.message.message_id, "agent": self.agent, "key": self.key, "reason": self.reason,
            "finding": self.finding, "trace_id": self.trace_id, "bytes": len(self.message.body),
        }  # fmt: skip


class Shelf:
    """The held (or dead) messages of one agent.

    Args:
        broker: a started broker.
        agent: the agent's id.
        queue: its held or dead queue.
        user: the AMQP user to name as sender of what is put back; empty names none.
    """

    def __init__(self, broker: Broker, agent: str, queue: str, user: str = "") -> None:
        self._broker, self._agent, self._queue, self._user = broker, agent, queue, user
        self.dealt_with = 0
        """Messages put back or thrown away so far, also where that broke off."""
        self.beyond = 0
        """Messages that were not looked at, because they were beyond the limit: the newest ones."""

    def look(self, limit: int = LIMIT) -> list[Shelved]:
        """What is there, oldest first."""
        with self._off(limit) as deliveries:
            return [Shelved(delivery.message, self._agent) for delivery in deliveries]

    def behind(self) -> int:
        """How many messages its agent has not taken: a stopped one leaves most of what waits in its work queue."""
        return self._broker.depth(self._agent)

    def put_back(self, wanted: Wanted, limit: int = LIMIT) -> int:
        """Send the wanted messages to the agent's work queue again, oldest first; how many.

        Raises:
            BadMessage: some are too large to be published by us; they stay, and the others were sent.
            FuseboxError: it broke off: see :attr:`dealt_with`.
        """
        return self._each(wanted, limit, self._return)

    def discard(self, wanted: Wanted, limit: int = LIMIT) -> int:
        """Throw the wanted messages away; how many."""
        return self._each(wanted, limit, lambda _: None)

    def _each(self, wanted: Wanted, limit: int, work: Callable[[Message], None]) -> int:
        with self._off(limit) as deliveries:
            chosen = [d for d in deliveries if wanted(Shelved(d.message, self._agent))]
            stuck: list[str] = []
            for delivery in chosen:
                try:
                    work(delivery.message)
                except BadMessage as error:  # the broker takes no such message from us; those behind it may do
                    stuck.append(f"{delivery.message.message_id}: {error}")
                    continue
                deliveries.remove(delivery)
                delivery.ack()
                self.dealt_with += 1
        if stuck:
            raise BadMessage(f"{len(stuck)} of {len(chosen)} stay where they are, the others are done: {stuck[0]}")
        return len(chosen)

    def _return(self, message: Message) -> None:
        headers = {name: value for name, value in message.headers.items() if name not in _NOTES}
        self._broker.publish("", self._agent, replace(message, headers=headers, user_id=self._user))

    @contextmanager
    def _off(self, limit: int) -> Iterator[list[Delivery]]:
        """Messages taken off the queue; what is left in the list at the end goes back to where it was.

        They come over one subscription: what is given back over several channels comes back in any order.
        """
        depth = self._broker.depth(self._queue)
        count = min(limit, depth)
        self.beyond = depth - count
        arrived: SimpleQueue[Delivery] = SimpleQueue()
        taken: list[Delivery] = []
        consumer = self._broker.consume(self._queue, arrived.put, prefetch=max(1, count), alone=False)
        try:
            with contextlib.suppress(Empty):  # somebody else took some meanwhile
                taken += (arrived.get(timeout=_ARRIVE_S) for _ in range(count))
            yield taken
        finally:
            consumer.withdraw()
            self._await_back(len(taken))

    def _await_back(self, count: int) -> None:
        """Giving back is not confirmed: wait until the queue shows it, so that who looks next sees everything."""
        deadline = time.monotonic() + _ARRIVE_S
        while self._broker.depth(self._queue) < count and time.monotonic() < deadline:
            time.sleep(_POLL_S)
