"""What operators order. The order of work, for each:

==========  ==========================================================================================================
kill        journal (a broken one is owed, loudly) → own latch → sign → every carrier → outcome, Receipts due
resume      journal, else refused → own latch lifts, circuits to half-open → sign → carriers → outcome, Receipts due
trip,       journal, else refused → board → sign → carriers → outcome, Receipts due
reset, mode
reprice     journal, else refused; *keep* copies it, and the ledger's view on the copy does the rest
==========  ==========================================================================================================

A kill is never refused for want of a disk, a board or a broker. A resume names the kills it lifts, and is refused
when there is nothing to resume: 409 with what stands in the way. The entry of an order is its intent; an entry
``outcome`` about the Command's id says what became of it, also when it broke off half-way.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, Final

from breakers.circuit import Circuits
from breakers.latch import Latch
from collector.audit.entry import Note
from collector.audit.journal import Journal
from collector.watch.dispatch import Dispatch
from collector.watch.history import History
from collector.watch.journal_first import journal_first
from collector.watch.people_bodies import RepriceBody
from collector.watch.refusal import CONFLICT, UNAVAILABLE, Refusal
from collector.watch.reported import Reported
from collector.watch.trips import movement
from collector.watch.two_people import TwoPeople
from fusebox import happenings
from fusebox.clock import Clock
from fusebox.command import ALL, Command, Order, agent_scope, covers, narrow
from fusebox.records import Finding, State, Transition
from fusebox.registry import Registry

Json = dict[str, Any]
_NORMAL: Final = "normal"
_MAX_REASON: Final = 500
DETECTOR: Final = "detector:"
"""How a kill's operator begins when a rule ordered it."""

KILLED: Final = happenings.declare("killed", logging.WARNING, "an operator, or a rule with kill = true, cut agents")
RESUMED: Final = happenings.declare("resumed", logging.WARNING, "an operator let agents run again")
LATCH_BROKEN: Final = happenings.declare(
    "latch_not_durable", logging.CRITICAL, "a kill or resume is in effect but could not be written to the latch file"
)
REPRICED: Final = happenings.declare("ledger_repriced", logging.WARNING, "an operator changed the cost of ledger rows")


class Orders:
    """Kill, resume, trip, reset and mode, by authenticated operators.

    Args:
        moved: called with every transition an order caused, once it is recorded.
        told: called with every kill and resume, once it is in effect.
        lifted: called with the kill ids that a resume lifted.
        reported: kills that only agent processes know.
    """

    def __init__(
        self, latch: Latch, circuits: Circuits, journal: Journal, dispatch: Dispatch, history: History, clock: Clock,
        registry: Registry, reported: Reported, *, tenant: str, moved: Callable[[Transition], None],
        lifted: Callable[[tuple[str, ...]], None], told: Callable[[Command], None],
    ) -> None:  # fmt: skip
        self._latch, self._circuits, self._journal, self._dispatch = latch, circuits, journal, dispatch
        self._history, self._clock, self._tenant = history, clock, tenant
        self._two_people = TwoPeople(registry, circuits, journal, tenant=tenant)
        self._reported = reported
        self._moved, self._lifted, self._told = moved, lifted, told

    def kill(self, operator: str, scope: str, reason: str) -> Json:
        """Cut everything ``scope`` covers.

        Raises:
            Refusal: 409, it is another tenant's.
        """
        if scope.startswith("tenant:") and scope != f"tenant:{self._tenant}":
            raise Refusal(
                CONFLICT, f"this watch serves tenant {self._tenant!r}; order it where {scope[7:]!r} is served"
            )
        command = self._command(Order.KILL, scope, operator, reason)
        self._journal.record(_intent(command))
        try:
            self._latch.kill(command.id, scope, reason=reason, operator=operator, time=self._clock.now())
        except OSError as error:
            happenings.emit(LATCH_BROKEN, kill=command.id, error=str(error))
        happenings.emit(KILLED, scope=scope, operator=operator, reason=reason)
        return {"kill": command.id, **self._send(command)}

    def kill_for(self, finding: Finding) -> None:
        """Cut the agent of a Finding whose rule says so, once."""
        if self._latch.killed(finding.agent) is None:
            self.kill(f"{DETECTOR}{finding.detector}", agent_scope(finding.agent), finding.reason[:_MAX_REASON])

    def resume(self, operator: str, scope: str, reason: str, second: str = "") -> Json:
        """Lift the kills of ``scope`` and let its open circuits probe; ``second`` is an operator who agrees.

        Raises:
            Refusal: 409, nothing to resume; 403, a high-risk agent takes two people; 503, it could not be journaled or
                made durable.
        """
        lifts = (*self._reported.lifts(scope), *self._own_lifts(scope))
        stopped = [agent for agent in self._open_circuits() if covers(scope, agent)]
        if not lifts and not stopped:
            raise Refusal(CONFLICT, self._nothing_to_resume(scope))
        self._two_people.require(scope, operator, second)
        command = self._command(Order.RESUME, scope, operator, reason, lifts=lifts)
        journal_first(self._journal, _intent(command, second))
        with self._told_if_it_fails(command):
            self._lift(lifts)
            for agent in stopped:
                self._follow(self._circuits.half_open(agent, reason=reason, actor=f"operator:{operator}"))
        happenings.emit(RESUMED, scope=scope, operator=operator, reason=reason)
        return {"lifted": list(lifts), **self._send(command)}

    def trip(self, operator: str, agent: str, reason: str) -> Json:
        """Open one circuit.

        Raises:
            Refusal: 503, it could not be journaled.
        """
        command = self._command(Order.TRIP, agent_scope(agent), operator, reason)
        return self._order(command, lambda: self._circuits.trip(agent, reason=reason, actor=f"operator:{operator}"))

    def reset(self, operator: str, agent: str, reason: str) -> Json:
        """Close one circuit.

        Raises:
            Refusal: 403, a high-risk agent is stopped; 503, it could not be journaled.
        """
        self._two_people.require_running(operator, agent)
        command = self._command(Order.RESET, agent_scope(agent), operator, reason)
        return self._order(command, lambda: self._circuits.reset(agent, reason=reason, actor=f"operator:{operator}"))

    def mode(self, operator: str, agent: str, mode: str, reason: str) -> Json:
        """Change one circuit's mode.

        Raises:
            Refusal: 403, a high-risk agent is stopped and the mode would let it run; 503, it could not be journaled.
        """
        if mode != _NORMAL:
            self._two_people.require_running(operator, agent)
        command = self._command(Order.SET_MODE, agent_scope(agent), operator, reason, mode=mode)
        actor = f"operator:{operator}"
        return self._order(command, lambda: self._circuits.set_mode(agent, mode, reason=reason, actor=actor))

    def reprice(self, operator: str, body: RepriceBody) -> Json:
        """Record what rows of the ledger cost from now on; the ledger follows from the journal's copy.

        Raises:
            Refusal: 503, it could not be journaled.
        """
        rows = [row.row() for row in body.rows]
        journal_first(
            self._journal, Note("reprice", f"operator:{operator}", body.subject, body.reason, payload={"rows": rows})
        )
        happenings.emit(REPRICED, count=len(rows), operator=operator, reason=body.reason)
        return {"rows": len(rows)}

    def _order(self, command: Command, effect: Callable[[], Transition | None]) -> Json:
        journal_first(self._journal, _intent(command))
        with self._told_if_it_fails(command):
            self._follow(effect())
        return self._send(command)

    def _send(self, command: Command) -> Json:
        """Give the order to every carrier, then tell people: with that, what *watch* itself does is done."""
        expected = self._dispatch.send(command)
        self._told(command)
        self._outcome(command, "done", expected)
        return {"command": command.id, "expected": expected}

    @contextmanager
    def _told_if_it_fails(self, command: Command) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self._outcome(command, f"failed: {error}"[:_MAX_REASON], [])
            raise

    def _outcome(self, command: Command, word: str, expected: list[str]) -> None:
        payload = {"order": command.order.value, "expected": expected}
        self._journal.record(Note("outcome", "watch", command.id, word, payload=payload))

    def _follow(self, transition: Transition | None) -> None:
        if transition is not None:
            self._journal.record(movement(transition))
            self._history.record(transition)
            self._moved(transition)

    def _lift(self, lifts: tuple[str, ...]) -> None:
        try:
            self._latch.lift(lifts)
        except OSError as error:
            happenings.emit(LATCH_BROKEN, lifts=lifts, error=str(error))
            raise Refusal(UNAVAILABLE, f"the latch file cannot be written ({error}); nothing was resumed") from error
        self._lifted(lifts)

    def _own_lifts(self, scope: str) -> list[str]:
        """The widest last: whoever is stopped as a whole stays so until a resume of several Commands is through."""
        kills = [kill for kill in self._latch.kills().values() if scope in (ALL, kill.scope)]
        return [kill.id for kill in sorted(kills, key=lambda kill: (not narrow(kill.scope), kill.id))]

    def _open_circuits(self) -> list[str]:
        return [circuit.agent for circuit in self._circuits.all() if circuit.state is State.OPEN]

    def _nothing_to_resume(self, scope: str) -> str:
        everything = [id for id, kill in self._latch.kills().items() if kill.scope == ALL]
        if everything and scope != ALL:
            return f"everything is killed ({everything[0]}), not this agent alone; 'fusebox resume --all' lifts that"
        if self._reported.lifts(ALL):
            return (
                f"nothing to resume: {scope} itself is not killed, but processes hold other kills; see 'fusebox status'"
            )
        return f"nothing to resume: {scope} is neither killed nor is a circuit of it open; see 'fusebox status'"

    def _command(
        self, order: Order, scope: str, operator: str, reason: str, *, lifts: tuple[str, ...] = (), mode: str = ""
    ) -> Command:
        issued = self._clock.wall()
        return Command(order, scope, operator, reason, issued, self._tenant, lifts=lifts, mode=mode)


def _intent(command: Command, second: str = "") -> Note:
    payload: Json = {"command": asdict(command)} | ({"second": second} if second else {})
    who = command.operator if command.operator.startswith(DETECTOR) else f"operator:{command.operator}"
    return Note(command.order.value, who, command.scope, command.reason, payload=payload)
