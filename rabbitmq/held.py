"""Held messages and the consumer's valve: one agent's life between closed, open and killed.

::

    killed, or open and not due ──► valve shut: the consumer is paused, what is in flight gets held
    open and due, or half_open  ──► one held message is the probe; without one, the next ordinary message is
    closed                      ──► held messages first, oldest first, paced; then the valve opens

``tick`` runs on the runtime's ticker, often; it touches the broker only while there may be something to do. A delivery
that slips through while the valve is being shut is held behind what is held already, so that order is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from fusebox import names
from fusebox.errors import FuseboxError
from fusebox.records import State
from rabbitmq.broker import Consumer, Delivery
from rabbitmq.runtime import Runtime

RELEASE_INTERVAL_S: Final = 0.2
_LOOK_INTERVAL_S: Final = 2.0


class Valve:
    """Opens and shuts one agent's consumer, and releases its held messages.

    Args:
        agent: the agent's id.
        runtime: the process's parts.
        consumer: its subscription on the work queue.
        submit: hands a delivery to the agent's workers; returns False while they are all busy.
    """

    def __init__(self, agent: str, runtime: Runtime, consumer: Consumer, submit: Callable[[Delivery], bool]) -> None:
        self._agent, self._runtime, self._consumer, self._submit = agent, runtime, consumer, submit
        self._queue = names.held_queue(agent)
        self._next_release = 0.0
        self._next_look = 0.0
        self.held = 0
        self.is_shut = False
        """True while ordinary deliveries must wait behind what is held."""

    def shut(self) -> None:
        """The circuit has opened: nothing new may pass."""
        self.is_shut = True
        self._consumer.pause()

    def tick(self) -> None:
        """Bring valve and releases in line with the circuit."""
        now = self._runtime.clock.monotonic()
        may_flow = self._may_flow()
        if self.is_shut and may_flow:
            self._next_look = 0.0  # never open on an old count
        self._look(now)
        if not may_flow:
            self.shut()
        elif self.held:
            self.shut()
            self._release(now)
        else:
            self.is_shut = False
            self._consumer.resume()

    def changed(self) -> None:
        """Something was held or released: look at the queue again soon."""
        self._next_look = 0.0

    def _may_flow(self) -> bool:
        if self._runtime.latch.killed(self._agent):
            return False
        circuit = self._runtime.circuits.circuit(self._agent)
        if circuit.mode != "normal" or circuit.state in (State.CLOSED, State.HALF_OPEN):
            return True
        return self._runtime.circuits.due(self._agent)

    def _look(self, now: float) -> None:
        if now < self._next_look:
            return
        self._next_look = now + _LOOK_INTERVAL_S
        before, self.held = self.held, self._runtime.broker.depth(self._queue)
        if before != self.held:
            self._runtime.link.announce()

    def _release(self, now: float) -> None:
        if now < self._next_release:
            return
        self._next_release = now + RELEASE_INTERVAL_S
        try:
            delivery = self._runtime.broker.get(self._queue)
        except FuseboxError:
            return
        self.changed()
        if delivery is not None and not self._submit(delivery):
            delivery.reject(requeue=True)
