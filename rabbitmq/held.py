"""Held messages and the consumer's valve: one agent's life between closed, open and killed.

::

    killed, unverified, or open ──► valve shut: the consumer is paused, what is in flight gets held
    open and due, or half_open  ──► one held message is the probe; without one, the next ordinary message is. While
                                    it runs the others keep their places
    closed                      ──► held messages, then those that waited in the work queue: oldest first, paced;
                                    then the valve opens. After a minute of it without a stop the pace is over: what
                                    is held comes as fast as it is looked for, and the work queue as ever

``tick`` runs on the runtime's ticker, often; it touches the broker only while there may be something to do. A delivery
that slips through while the valve is being shut is held behind what is held already, so that order is kept. So it is
while somebody has the held messages out to look at them: the valve stays shut until they are back.

A message may be held on the word of somebody who knows more than this process: of the gateway, say. Its handler has
begun each time, so it is let go again after a pause that doubles, or it would be begun five times a second. What is
refused within a pause was begun before it, and prolongs nothing.
"""

from __future__ import annotations

import math
import time
from typing import Final, Protocol

from fusebox import guard, names
from fusebox.errors import FuseboxError
from fusebox.records import Action, ActionKind, State
from rabbitmq.broker import Consumer, Delivery
from rabbitmq.runtime import Runtime

RELEASE_INTERVAL_S: Final = 0.2
_LOOK_INTERVAL_S: Final = 2.0
PACED: Final = 300
"""So many are let go one by one: a minute in which a loop would have been found."""
_OUT_S: Final = 10.0
"""So long held messages that somebody has are waited for: a look takes seconds, one that is handled may take long."""
AGAIN_S: Final = 1.0
_LONGEST_S: Final = 60.0
_CALM_S: Final = 300.0
"""After so long without a refusal from elsewhere, the next one is the first again."""


class Workers(Protocol):
    """Who handles released messages."""

    def idle(self) -> bool:
        """True when a message would be handled at once."""

    def take(self, delivery: Delivery) -> None:
        """Handle one message."""


class Valve:
    """Opens and shuts one agent's consumer, and releases what waited.

    Args:
        agent: the agent's id.
        runtime: the process's parts.
        consumer: its subscription on the work queue.
        workers: takes released messages, while it is idle.
    """

    def __init__(self, agent: str, runtime: Runtime, consumer: Consumer, workers: Workers) -> None:
        self._agent, self._runtime, self._consumer, self._workers = agent, runtime, consumer, workers
        self._consuming = Action(ActionKind.CONSUME, agent, "handle", tenant=runtime.config.tenant)
        self._next_release = 0.0
        self._next_look = 0.0
        self._refused_at = -_CALM_S
        self._pause = AGAIN_S
        self._held = 0
        self._behind = 0
        self._backlog: int | None = None
        self._released = 0
        self._held_at = -math.inf
        self.is_shut = False
        """True while ordinary deliveries must wait behind what is held."""

    @property
    def waiting(self) -> int:
        """Messages held, or waiting in the work queue behind the shut valve; as last seen."""
        return self._held + self._behind

    def shut(self) -> None:
        """The circuit has opened: nothing new may pass."""
        self.is_shut, self._backlog, self._released = True, None, 0
        self._consumer.pause()

    def tick(self) -> None:
        """Bring valve and releases in line with the circuit."""
        now = self._runtime.clock.monotonic()
        if not self._may_flow():
            self.shut()
            self._look()
        elif self.is_shut:
            self._look(force=True)
            self._let_go(now)
        else:
            self._look()
            if self._held:
                self.shut()

    def changed(self, *, refused: bool) -> None:
        """Something was held, because a guard ``refused`` it or others are before it: look at the queue again soon."""
        self._next_look = 0.0
        self._released = 0 if refused else self._released
        now = self._runtime.clock.monotonic()
        if refused and now - self._refused_at >= self._pause and self._may_flow():
            again = now - self._refused_at < _CALM_S
            self._refused_at, self._pause = now, min(_LONGEST_S, 2 * self._pause) if again else AGAIN_S
            self._next_release = now + self._pause

    def _may_flow(self) -> bool:
        """What the guards say of consuming; of a circuit that stops, whether a probe may be tried."""
        verdict = self._runtime.agent_guards.check(self._consuming)
        if verdict.allowed or verdict.guard != guard.CIRCUIT:
            return verdict.allowed
        circuits = self._runtime.circuits
        return circuits.circuit(self._agent).state is State.HALF_OPEN or circuits.due(self._agent)

    def _look(self, *, force: bool = False) -> None:
        now = time.monotonic()  # spares the broker, so not on the clock that tests and drive run faster
        if now < self._next_look and not force:
            return
        self._next_look = now + _LOOK_INTERVAL_S
        before = self.waiting
        self._held = self._runtime.broker.depth(names.held_queue(self._agent))
        self._behind = self._runtime.broker.depth(self._agent) if self.is_shut else 0
        if self._held:
            self._held_at = now
        if before != self.waiting:
            self._runtime.link.announce()

    def _let_go(self, now: float) -> None:
        """Release one message, or open when nothing that had to wait is left."""
        if self._backlog is None:
            self._backlog = self._behind
        if not self._held and self._are_out():
            return
        if not self._held and (self._backlog <= 0 or not self._behind or self._released >= PACED):
            self.is_shut, self._backlog, self._behind = False, None, 0
            self._consumer.resume()
            self._runtime.link.announce()
        elif now >= self._next_release and self._workers.idle() and not self._runtime.circuits.probing(self._agent):
            self._next_release = now + (RELEASE_INTERVAL_S if self._released < PACED else 0)
            self._release()

    def _are_out(self) -> bool:
        """Somebody has held messages: ``fusebox held`` looks at them, say. They come back before anything else."""
        lately = time.monotonic() - self._held_at < _OUT_S
        return lately and self._runtime.broker.in_hand(names.held_queue(self._agent))

    def _release(self) -> None:
        queue = names.held_queue(self._agent) if self._held else self._agent
        try:
            delivery = self._runtime.broker.get(queue)
        except FuseboxError:
            return  # the broker is away: the next tick tries again
        if delivery is not None:
            self._released += 1
            if not self._held and self._backlog:
                self._backlog -= 1
            self._workers.take(delivery)
