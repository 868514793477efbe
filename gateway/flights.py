"""Flights: calls under way, and how they end when their agent is stopped.

A Command or a trip is noticed on other threads; the calls live on the event loop. A flight that is cut raises
:class:`gateway.denied.Denied` where it waits, so its client is told, in the middle of a stream too.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import TracebackType
from typing import Final

from breakers.guards import verdict_on
from fusebox import guard
from fusebox.errors import ConfigError
from fusebox.records import Action, State, Verdict
from gateway.asking import Asking
from gateway.denied import Denied, by_guard
from rabbitmq.runtime import Runtime

_LINGER_S: Final = 1.0


class Flight:
    """One call under way, on the task that enters it.

    Raises:
        Denied: it was cut.
    """

    __slots__ = ("_flights", "_task", "_verdict", "action")

    def __init__(self, action: Action, flights: Flights) -> None:
        self.action, self._flights = action, flights
        self._task: asyncio.Task[object] | None = None
        self._verdict: Verdict | None = None

    def __enter__(self) -> None:
        self._task = asyncio.current_task()
        self._flights.begun(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._flights.ended(self)
        if kind is asyncio.CancelledError and self._verdict is not None and self._task is not None:
            self._task.uncancel()
            raise self._flights.told(self.action, self._verdict) from None

    def cut(self, verdict: Verdict) -> None:
        """End it now."""
        if self._verdict is None and self._task is not None:
            self._verdict = verdict
            self._task.cancel()


class Flights:
    """All calls under way in this process.

    Args:
        incident: where people read about a stopped agent.
    """

    def __init__(self, runtime: Runtime, incident: Callable[[str], str]) -> None:
        self._runtime, self._incident = runtime, incident
        self._by_agent: dict[str, set[Flight]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None

    def flying(self, action: Action) -> Flight:
        """Around one call, on its task."""
        return Flight(action, self)

    def begun(self, flight: Flight) -> None:
        """A call is under way."""
        self._loop = asyncio.get_running_loop()
        self._by_agent.setdefault(flight.action.agent, set()).add(flight)

    def ended(self, flight: Flight) -> None:
        """It is over, however it went."""
        agent = flight.action.agent
        mine = self._by_agent[agent]
        mine.discard(flight)
        if not mine:
            del self._by_agent[agent]

    def count(self) -> int:
        """How many there are."""
        return sum(len(flights) for flights in self._by_agent.values())

    def flies(self, agent: str) -> bool:
        """True while it has a call under way."""
        return agent in self._by_agent

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

    def told(self, action: Action, verdict: Verdict) -> Denied:
        """What the client of a call is told that was cut; it is audited."""
        self._runtime.denied(action, verdict)
        return by_guard(action.agent, verdict, self._incident(action.agent))


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
    """The agents this process answers for: it hears their kills, and gives Receipts.

    An agent that has no key any more, and nothing under way, is let go when another one comes: *watch* hears of a
    process for so many agents only.

    Args:
        keyed: who has a key now; raises :class:`ConfigError` when nobody knows.
    """

    def __init__(self, runtime: Runtime, flights: Flights, keyed: Callable[[], Iterable[str]]) -> None:
        self._runtime, self._flights, self._asking = runtime, flights, Asking("snapshots")
        self._keyed = keyed
        self._seats: dict[str, Seat] = {}
        self._leaving: dict[str, float] = {}

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
            joining = asyncio.ensure_future(self._join(seat))
            await asyncio.shield(joining)  # it has its seat by now, whoever waits for it

    async def _join(self, seat: Seat) -> None:
        with suppress(ConfigError):
            self._let_go(frozenset(await self._asking.answer(self._keyed)))
        await self._asking.answer(lambda: self._runtime.join(seat))

    def _let_go(self, keyed: frozenset[str]) -> None:
        """A key may count for a moment after it was revoked, and a call begin: so not at first sight."""
        now = time.monotonic()
        self._leaving = {agent: self._leaving.get(agent, now) for agent in self._seats.keys() - keyed}
        for agent, since in self._leaving.items():
            if now - since > _LINGER_S and not self._flights.flies(agent):
                self._runtime.part(self._seats.pop(agent))
