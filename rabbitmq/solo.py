"""Solo: a redelivered message is handled alone, so that a poison message takes no neighbours with it.

A process that dies takes every message it holds back one delivery further. With prefetch 50 and one poison message
that is fifty of them, at each restart the same fifty, until all reach the delivery limit together. So a message that
was delivered before is a suspect. A :class:`Gate` stands between the deliveries of one channel and the consumer's
callback; its stage says at which prefetch the channel takes messages::

                        a fresh one arrives                  a redelivered one arrives
    begin ──► NARROW ─────────────────────────► WIDE ──────────────────────────────────┐
              prefetch 1                        prefetch N                             ▼
                │ ▲ │                                                              DRAINING
                │ │ └── it must wait, or its callback raised ─────────────────►  takes nothing
                │ └───────── nothing is out, waits, or is on its way ──────────────────┘
                └── what an earlier life left comes first, each one alone: the stage stays

"Out" is what was handed over and is not settled. What always holds:

* While a redelivered message is out, nothing else is; fresh ones are out together.
* Messages are handed over in the order in which they arrived: one that may not pass yet waits, and the rest behind it.
* What waits is not rejected to get rid of it, which would count as a delivery; only a pause or a cancel gives it back.
* DRAINING ends: it needs only that what is out be settled. A message whose callback raised stays unsettled and holds
  its place at the broker, but is not out, and a new consumer takes the place of the one whose only place it holds.

A running consumer's prefetch cannot be changed, so NARROW is one AMQP consumer of prefetch 1 and WIDE is a second one
of N - 1 beside it: together N, never more. Fresh messages keep the queue's order; of what another process leaves all at
once, the one that comes to the first consumer may come out of its turn.

The limit of it: what one process left may reach another that is WIDE with places free. It waits there behind the
suspect that is out and is taken one delivery further if that one kills this process too; then the survivors find
processes that have begun again, NARROW. Waiting also counts towards RabbitMQ's acknowledgement timeout (30 minutes).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import Enum, auto

from rabbitmq.broker import Delivery


class Stage(Enum):
    """How many messages a channel takes."""

    NARROW = auto()
    WIDE = auto()
    DRAINING = auto()


class Gate:
    """Hands the deliveries of one channel over, redelivered ones alone. Not thread-safe.

    Args:
        prefetch: N; at least 2, since at 1 the broker itself hands out one at a time.
        hand_over: gives a delivery to the consumer; False when its callback raised.
        changed: :attr:`places` have changed.
    """

    def __init__(self, prefetch: int, hand_over: Callable[[Delivery], bool], changed: Callable[[], None]) -> None:
        self._prefetch, self._hand_over, self._changed = prefetch, hand_over, changed
        self._stage = Stage.NARROW
        self._out: set[int] = set()
        self._alone = False
        """The last one handed over was a redelivered one."""
        self._waiting: deque[Delivery] = deque()
        self._stopping = 0

    @property
    def places(self) -> tuple[int, ...]:
        """The prefetch of each AMQP consumer there should be."""
        if self._stage is Stage.DRAINING:
            return ()
        return (1,) if self._stage is Stage.NARROW else (1, self._prefetch - 1)

    # --- deliveries -------------------------------------------------------------------------------------------------
    def arrive(self, delivery: Delivery) -> None:
        """A delivery came."""
        if self._waiting or not self._may_pass(delivery):
            self._waiting.append(delivery)
            self._move(Stage.DRAINING)
        else:
            self._pass(delivery)

    def settle(self, tag: int) -> None:
        """A delivery was settled."""
        self._out.discard(tag)
        while self._waiting and self._may_pass(self._waiting[0]):
            self._pass(self._waiting.popleft())
        self._begin_again()

    def withdraw(self) -> list[Delivery]:
        """The consumer wants nothing now: what waited, for the caller to give back."""
        waited = list(self._waiting)
        self._waiting.clear()
        self._stage = Stage.DRAINING if self._alone and self._out else Stage.NARROW
        return waited

    # --- AMQP consumers ---------------------------------------------------------------------------------------------
    def stopping(self) -> None:
        """Consumers are being cancelled; deliveries may still be on their way."""
        self._stopping += 1

    def stopped(self) -> None:
        """What was on its way then has arrived."""
        self._stopping -= 1
        self._begin_again()

    # --- inside -----------------------------------------------------------------------------------------------------
    def _may_pass(self, delivery: Delivery) -> bool:
        return not self._out or not (self._alone or delivery.redelivered)

    def _pass(self, delivery: Delivery) -> None:
        self._out.add(delivery.tag)
        self._alone = delivery.redelivered
        if self._stage is Stage.NARROW and not self._alone:
            self._move(Stage.WIDE)
        elif self._stage is Stage.WIDE and self._alone:
            self._move(Stage.DRAINING)
        if not self._hand_over(delivery):
            self._lose(delivery)

    def _lose(self, delivery: Delivery) -> None:
        """Nobody will settle it, so nothing waits for that."""
        if self._stage is Stage.NARROW:
            self._move(Stage.DRAINING)
        self.settle(delivery.tag)

    def _begin_again(self) -> None:
        if self._stage is Stage.DRAINING and not (self._out or self._waiting or self._stopping):
            self._move(Stage.NARROW)

    def _move(self, stage: Stage) -> None:
        if stage is not self._stage:
            self._stage = stage
            self._changed()
