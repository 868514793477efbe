"""Act two: two helpful automations find each other, and the circuit opens. And the same without protection."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from examples.demo_screen import Screen
from examples.demo_stage import BOUND, Stage, patiently, until
from examples.rogue_tickets.agents import BOT, HELPER
from examples.rogue_tickets.texts import ANSWERED, plain_tickets, vague_ticket
from examples.rogue_tickets.tickets import COMMENTED, Json

CALM_S: Final = 1.0
_BEFORE: Final = 2
_MEANWHILE: Final = 3
_TWIN_SPEED: Final = 8.0
_EVERY: Final = 20
_GROWS_S: Final = 10.0
_AGENTS: Final = (HELPER, BOT)


@dataclass(frozen=True, slots=True)
class Incident:
    """What happened to one vague ticket."""

    ticket: str
    comments: int
    trip: Json
    """The Transition that opened the circuit, as the board shows it; empty when none did."""
    waiting_tickets: tuple[str, ...] = ()
    """Other customers' tickets, written while the agent was stopped."""
    held: int = 0

    @property
    def agent(self) -> str:
        """Who was stopped."""
        return str(self.trip.get("agent", ""))

    @property
    def finding(self) -> dict[str, Any]:
        """What the detector said."""
        return self.trip.get("finding") or {}

    @property
    def detector(self) -> str:
        """Which detector saw it."""
        return str(self.finding.get("detector") or self.trip.get("actor", ""))

    @property
    def seconds(self) -> float:
        """Seconds from the first action of the evidence to the trip."""
        return float(self.trip["time"] - self.finding["first_time"]) if self.finding else 0.0


def ordinary(stage: Stage, screen: Screen) -> None:
    """Ordinary tickets get one comment each.

    Raises:
        TooSlow: the helper did not answer them.
    """
    tickets = [_write(stage, screen, *ticket) for ticket in plain_tickets(stage.options.seed, _BEFORE)]
    until(lambda: all(stage.tickets.read(t)["label"] == ANSWERED for t in tickets), f"{HELPER} answers {tickets}")
    for ticket in tickets:
        screen.event(HELPER, f"{ticket} {stage.tickets.read(ticket)['comments'][-1]['text']}")


def protected(stage: Stage, screen: Screen) -> Incident:
    """A vague ticket starts the loop; Fusebox ends it while other customers keep writing."""
    ticket = _write(stage, screen, *vague_ticket(stage.options.seed))
    trip = _follow(stage, screen, ticket)
    title, *rest = plain_tickets(stage.options.seed + 1, _MEANWHILE)
    waiting = tuple(_write(stage, screen, *t) for t in (title, *rest))
    comments = _settled(stage, ticket)
    held = patiently(lambda: stage.waiting(str(trip["agent"])), 5.0) if trip else 0
    return Incident(ticket, comments, trip, waiting, held or 0)


def unprotected(stage: Stage, screen: Screen) -> int:
    """The same incident with the circuits in ``observe_only``; how many comments it took the bound to end it.

    Raises:
        TooSlow: an agent's process did not confirm its mode.
    """
    for agent in _AGENTS:
        _set_mode(stage, agent, "observe_only")
    _settled(stage)  # what the resume released is done: else it would start a second loop, beside this one
    stage.tickets.unmute(COMMENTED)
    stage.pace.speed = _TWIN_SPEED
    try:
        ticket = _write(stage, screen, *vague_ticket(stage.options.seed))
        _count(stage, screen, ticket)
        return _settled(stage, ticket)
    finally:
        stage.pace.speed = 1.0
        for agent in _AGENTS:
            _set_mode(stage, agent, "normal")


def _set_mode(stage: Stage, agent: str, mode: str) -> None:
    order = stage.control.mode(agent, mode, "the unprotected twin of the demonstration")
    until(lambda: stage.control.receipts(order["command"])["complete"], f"all processes confirm {mode} of {agent}")


def _write(stage: Stage, screen: Screen, title: str, body: str, customer: str) -> str:
    ticket = stage.tickets.open(title, body, customer)
    screen.event(customer, f"{ticket} {title}: {body}", "magenta")
    return ticket


def _follow(stage: Stage, screen: Screen, ticket: str) -> Json:
    """Show each comment until a circuit opens; the trip, or nothing when the bound ended the loop."""
    shown, known = 0, {trip["id"] for trip in stage.control.board()["trips"]}
    while True:
        trips = [t for t in stage.control.board()["trips"] if t["id"] not in known and t["agent"] in _AGENTS]
        shown = _show(screen, stage.tickets.read(ticket), shown)
        if trips or shown >= BOUND:
            return trips[-1] if trips else {}
        time.sleep(0.05)


def _show(screen: Screen, ticket: Json, shown: int) -> int:
    for number, comment in enumerate(ticket["comments"][shown:], shown + 1):
        screen.event(comment["author"], f"#{number} {comment['text']}", "yellow")
    return len(ticket["comments"])


def _count(stage: Stage, screen: Screen, ticket: str) -> None:
    """Say how it grows, until the bound or until it stops growing."""
    for goal in range(_EVERY, BOUND + 1, _EVERY):
        if not patiently(partial(_reached, stage, ticket, goal), _GROWS_S):
            return
        screen.event(HELPER, f"comment #{goal} on {ticket}", "yellow")


def _reached(stage: Stage, ticket: str, goal: int) -> bool:
    return stage.tickets.written(ticket) >= goal


def _settled(stage: Stage, ticket: str = "") -> int:
    """The ticket's comments, or those of all, once none was added for a second."""
    count, since = -1, 0.0
    while count != stage.tickets.written(ticket) or time.monotonic() < since + CALM_S:
        if count != stage.tickets.written(ticket):
            count, since = stage.tickets.written(ticket), time.monotonic()
        time.sleep(0.05)
    return count
