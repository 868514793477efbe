"""One queue of the in-process broker. Not thread-safe: the broker's lock guards it.

Order is that of a quorum queue: returned messages come first, in the order in which they came back. A returned message
is handed to a consumer only while nothing of that consumer is out, and nothing else while it is: what
:mod:`rabbitmq.solo` does for RabbitMQ. Here no message is on its way, so the queue itself can wait.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import inf

from rabbitmq.broker import Delivery, Message, Queue


@dataclass(slots=True, eq=False)
class Entry:
    """A message in a queue: how often it came back, and when it expires (monotonic seconds)."""

    message: Message
    routing_key: str
    expires: float
    returns: int = 0


@dataclass(slots=True, eq=False)
class Subscription:
    """Who gets a queue's messages, and the tags of those that are unsettled.

    ``lost`` are those of them whose callback raised, so that nobody may ever settle them: they keep their place, and
    nothing waits for them. ``solo`` is the tag of a returned message that must be alone (0: there is none).
    """

    queue: MemoryQueue
    callback: Callable[[Delivery], None]
    prefetch: int
    alone: bool
    active: bool = True
    unsettled: set[int] = field(default_factory=set)
    lost: set[int] = field(default_factory=set)
    solo: int = 0

    def ready(self, entry: Entry) -> bool:
        """True when it may get this message."""
        if not self.active or 0 < self.prefetch <= len(self.unsettled):
            return False
        if self.alone and entry.returns:
            return self.unsettled == self.lost
        return not self.solo

    def take(self, tag: int, entry: Entry) -> None:
        """It gets a message."""
        self.unsettled.add(tag)
        if self.alone and entry.returns:
            self.solo = tag

    def settle(self, tag: int) -> None:
        """It has dealt with a message."""
        self.unsettled.discard(tag)
        self._forget(tag)
        self.lost.discard(tag)

    def lose(self, tag: int) -> None:
        """Its callback raised."""
        if tag in self.unsettled:
            self.lost.add(tag)
            self._forget(tag)

    def _forget(self, tag: int) -> None:
        if self.solo == tag:
            self.solo = 0


class MemoryQueue:
    """The messages and the consumers of one queue."""

    def __init__(self, spec: Queue) -> None:
        self.spec = spec
        self.subscriptions: deque[Subscription] = deque()
        self._returned: deque[Entry] = deque()
        self._fresh: deque[Entry] = deque()

    def __len__(self) -> int:
        return len(self._returned) + len(self._fresh)

    @property
    def full(self) -> bool:
        """True when the next message must be refused."""
        return self._brimming and not self.spec.drop_oldest

    @property
    def _brimming(self) -> bool:
        return self.spec.max_length is not None and len(self) >= self.spec.max_length

    def push(self, message: Message, routing_key: str, now: float) -> None:
        """Append a new message."""
        if self._brimming:
            self.pop()
        expires = inf if self.spec.ttl is None else now + self.spec.ttl
        self._fresh.append(Entry(message, routing_key, expires))

    def pop(self) -> Entry:
        """The next message; the queue must not be empty."""
        return self._returned.popleft() if self._returned else self._fresh.popleft()

    def give_back(self, entry: Entry) -> bool:
        """Take a message back; False when it came back too often and must be dead-lettered."""
        entry.returns += 1
        if self.spec.delivery_limit is not None and entry.returns > self.spec.delivery_limit:
            return False
        self._returned.append(entry)
        return True

    def clear(self) -> int:
        """Drop all messages; how many."""
        count = len(self)
        self._returned.clear()
        self._fresh.clear()
        return count

    def next_expiry(self) -> float:
        """When the next message expires (monotonic seconds); infinity when none does."""
        return min((waiting[0].expires for waiting in (self._returned, self._fresh) if waiting), default=inf)

    def expired(self, now: float) -> Iterator[Entry]:
        """Take out the messages whose time is over."""
        for waiting in (self._returned, self._fresh):
            while waiting and waiting[0].expires <= now:
                yield waiting.popleft()

    def next_subscription(self) -> Subscription | None:
        """The consumer that gets the next message, round robin; None when all are busy or paused."""
        entry = (self._returned or self._fresh)[0]
        for _ in range(len(self.subscriptions)):
            self.subscriptions.rotate(-1)
            if self.subscriptions[-1].ready(entry):
                return self.subscriptions[-1]
        return None
