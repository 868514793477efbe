"""Flights: calls under way, and how they end when their agent is stopped.

A Command or a trip is noticed on other threads; the calls live on the event loop. A flight that is cut raises
:class:`gateway.denied.Denied` where it waits, so its client is told, in the middle of a stream too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from breakers.guards import verdict_on
from fusebox import guard
from fusebox.records import Action, State, Verdict
from gateway.denied import Denied, by_guard
from rabbitmq.runtime import Runtime


@dataclass(slots=True, eq=False)
class Flight:
    """One call under way."""

    action: Action
    task: asyncio.Task[object] | None = field(default_factory=asyncio.current_task)
    verdict: Verdict | None = None

    def cut(self, verdict: Verdict) -> None:
        """End it now."""
        if self.verdict is None and self.task is not None:
            self.verdict = verdict
            self.task.cancel()


class Flights:
    """All calls under way in this process.

    Args:
        incident: where people read about a stopped agent.
    """

    def __init__(self, runtime: Runtime, incident: Callable[[str, str], str]) -> None:
        self._runtime, self._incident = runtime, incident
        self._by_agent: dict[str, set[Flight]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    @contextmanager
    def flying(self, action: Action) -> Iterator[Flight]:
        """Around one call, on its task.

        Raises:
            Denied: it was cut.
        """
        self._loop = asyncio.get_running_loop()
        flight = Flight(action)
        mine = self._by_agent.setdefault(action.agent, set())
        mine.add(flight)
        try:
            yield flight
        except asyncio.CancelledError:
            if flight.verdict is None or flight.task is None:
                raise
            flight.task.uncancel()
            raise self._told(action, flight.verdict) from None
        finally:
            mine.discard(flight)
            if not mine:
                self._by_agent.pop(action.agent, None)

    def count(self) -> int:
        """How many there are."""
        return sum(len(flights) for flights in self._by_agent.values())

    def sweep(self, agent: str) -> None:
        """Cut what the agent may not go on with; from any thread, and cheap when it has nothing under way."""
        if self._loop is not None and agent in self._by_agent:
            self._loop.call_soon_threadsafe(self._sweep, agent)

    def _sweep(self, agent: str) -> None:
        for flight in list(self._by_agent.get(agent, ())):
            verdict = self._stopped(flight.action)
            if verdict is not None:
                flight.cut(verdict)

    def _stopped(self, action: Action) -> Verdict | None:
        kill = self._runtime.latch.stops(action)
        if kill is not None:
            return verdict_on(kill, "while it worked")
        circuit = self._runtime.circuits.circuit(action.agent)
        if circuit.state is State.OPEN and circuit.stops:
            return guard.deny(guard.CIRCUIT, f"circuit is open: {circuit.reason}", finding=circuit.finding)
        return None

    def _told(self, action: Action, verdict: Verdict) -> Denied:
        self._runtime.denied(action, verdict)
        return by_guard(action.agent, verdict, self._incident(action.agent, verdict.finding))


class Seat:
    """An agent that this gateway answers for: a :class:`rabbitmq.runtime.Member` whose work is its flights."""

    held = 0

    def __init__(self, name: str, flights: Flights) -> None:
        self.name, self._flights = name, flights

    def tick(self) -> None:
        self._flights.sweep(self.name)

    def shut(self) -> None:
        self._flights.sweep(self.name)

    def cut(self) -> None:
        self._flights.sweep(self.name)


class Seats:
    """The agents this process answers for: it hears their kills, and gives Receipts."""

    def __init__(self, runtime: Runtime, flights: Flights) -> None:
        self._runtime, self._flights = runtime, flights
        self._seats: dict[str, Seat] = {}

    def start(self, agents: tuple[str, ...]) -> None:
        """Everybody who has a key now."""
        self._seats = {agent: Seat(agent, self._flights) for agent in agents}
        if self._seats:
            self._runtime.join(*self._seats.values())

    def stop(self) -> None:
        """Answer for nobody any more."""
        for seat in self._seats.values():
            self._runtime.part(seat)

    async def take(self, agent: str) -> None:
        """Make sure that the agent is among them: its key may be younger than this process."""
        if agent not in self._seats:
            self._seats[agent] = seat = Seat(agent, self._flights)
            await asyncio.to_thread(self._runtime.join, seat)
