"""Circuits that move without an operator: live Findings, and what agent processes report about their own.

The order, for a live Finding: board → journal → TRIP to every process → alert. A journal that cannot be written
stops none of it (the entry is owed, loudly): an opening must not wait for a disk. For a report: journal → board →
TRIP → alert; the process has acted already and repeats a report that was not journaled.

One opening is one alert. A second Finding about a circuit whose opening is recorded, or that may not open, is
journaled once per detector and opening, and alerts nobody. What a process reports because a Command of ours told it so
is no news at all. Where the fleet's share is used up, a live Finding opens nothing and pages people instead.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Final

from breakers.circuit import Circuits
from collector.audit.entry import Note
from collector.audit.journal import Journal, JournalBroken
from collector.watch.dispatch import Dispatch
from collector.watch.history import History
from collector.watch.refusal import UNAVAILABLE, Refusal
from fusebox import happenings
from fusebox.clock import Clock
from fusebox.command import Command, Order, agent_scope
from fusebox.records import Finding, State, Transition

TRIPPED: Final = happenings.declare("tripped", logging.WARNING, "a circuit opened")
REPEATED: Final = happenings.declare("finding_repeated", logging.INFO, "a Finding about a circuit that is open already")
ECHOED: Final = happenings.declare(
    "report_echoed", logging.DEBUG, "a process reported what a Command of ours did to it"
)
WITHHELD: Final = happenings.declare(
    "opening_withheld",
    logging.CRITICAL,
    "so much of the fleet is open that people decide on this Finding; they are paged",
)
REPORT_DUE_S: Final = 3.0

Alert = Callable[[Transition], None]
Page = Callable[[Finding, str, str], None]
"""``page(finding, why, key)``; ``key`` is the same for what is told only once."""


class Trips:
    """Opens circuits for detectors and adopts what processes report.

    Args:
        alert: tells people about a transition; durable when it returns.
        moved: called with the agent of every recorded transition.
        refusal: why detectors may not open one more circuit, ``""`` when they may.
        page: tells people of a Finding that was not acted on, and why; durable when it returns.
        kill: called with every Finding about a circuit that is open; kills the agent where its rule says so.
    """

    def __init__(
        self, circuits: Circuits, journal: Journal, dispatch: Dispatch, history: History, clock: Clock, *,
        tenant: str, alert: Alert, moved: Callable[[str], None], refusal: Callable[[str], str], page: Page,
        kill: Callable[[Finding], None],
    ) -> None:  # fmt: skip
        self._circuits, self._journal, self._dispatch, self._history = circuits, journal, dispatch, history
        self._clock, self._tenant, self._alert, self._moved = clock, tenant, alert, moved
        self._refusal, self._page, self._kill = refusal, page, kill
        # One opening has several tellers (live, each process of the agent); who comes second must see the first.
        self._lock = threading.Lock()
        self._unreported: list[tuple[float, Transition]] = []

    def found(self, finding: Finding) -> None:
        """Act on a live Finding that wants the circuit open."""
        with self._lock:
            is_open = self._open(finding)
        if is_open:
            self._kill(finding)

    def _open(self, finding: Finding) -> bool:
        """True when the circuit is open now, whoever opened it."""
        if self._history.is_open(finding.agent):
            self._repeat(finding)
            return True
        refusal = self._refusal(finding.agent)
        if refusal:
            self._withhold(finding, refusal)
            return False
        actor = f"detector:{finding.detector}"
        transition = self._circuits.trip(finding.agent, reason=finding.reason, actor=actor, finding=finding)
        if transition is None:  # its mode is observe_only, or the board has it open and the report is on its way
            self._repeat(finding)
            return self._circuits.circuit(finding.agent).stops
        self._journal.record(opening(transition))
        self._announce(transition)
        return True

    def reported(self, transition: Transition) -> None:
        """Take in a process's word about its own circuit.

        Raises:
            Refusal: 503, it could not be journaled; nothing was done.
        """
        with self._lock:
            if self._history.knows(transition.id):
                return
            if is_echo(transition) or self._is_repeat(transition):
                happenings.emit(ECHOED, agent=transition.agent, actor=transition.actor)
                return
            self._take(transition)

    def _take(self, transition: Transition) -> None:
        try:
            self._journal.append(opening(transition) if transition.after is State.OPEN else movement(transition))
        except JournalBroken as error:
            raise Refusal(UNAVAILABLE, str(error)) from error
        self._circuits.adopt(transition)
        self._announce(transition)

    def noticed(self, transitions: Iterable[Transition]) -> None:
        """A shared board moved. The process that did it reports with evidence; silence for a while means it died."""
        due = self._clock.monotonic() + REPORT_DUE_S
        with self._lock:
            self._unreported += [(due, t) for t in transitions if not self._history.knows(t.id)]

    def chase(self) -> None:
        """Take what nobody reported in time for reported."""
        now = self._clock.monotonic()
        with self._lock:
            late = [t for due, t in self._unreported if due <= now]
            self._unreported = [(due, t) for due, t in self._unreported if due > now]
        for transition in late:
            try:
                self.reported(transition)
            except Refusal:
                self.noticed([transition])

    def _is_repeat(self, transition: Transition) -> bool:
        """A second process of the agent opening what is open; a failed probe is news."""
        known = self._history.is_open(transition.agent)
        return transition.after is State.OPEN and transition.before is not State.HALF_OPEN and known

    def _announce(self, transition: Transition) -> None:
        """What follows once a transition is recorded."""
        self._history.record(transition)
        self._moved(transition.agent)
        if transition.after is State.OPEN:
            happenings.emit(TRIPPED, agent=transition.agent, actor=transition.actor, reason=transition.reason)
            self._dispatch.send(self._command(transition))
        self._alert(transition)

    def _command(self, transition: Transition) -> Command:
        finding = transition.finding.id if transition.finding else ""
        return Command(
            Order.TRIP, agent_scope(transition.agent), "watch", transition.reason,
            self._clock.wall(), self._tenant, finding=finding, open_s=self._open_s(transition.agent),
        )  # fmt: skip

    def _open_s(self, agent: str) -> float:
        retry_at = self._circuits.circuit(agent).retry_at
        return max(0.0, retry_at - self._clock.now()) if retry_at is not None else 0.0

    def _repeat(self, finding: Finding) -> None:
        """Journal a Finding about an open circuit, once per detector and opening."""
        key = f"{finding.agent}/{finding.detector}/{self._history.since(finding.agent)}"
        happenings.emit(REPEATED, agent=finding.agent, detector=finding.detector)
        if self._history.knows(key):
            return
        self._history.remember(key)
        payload = {"repeats": key, "finding": asdict(finding)}
        actor = f"detector:{finding.detector}"
        self._journal.record(Note("finding", actor, finding.agent, finding.reason, finding.trace_id, payload=payload))

    def _withhold(self, finding: Finding, why: str) -> None:
        """Page people, once for each agent and state of its circuit."""
        key = f"{finding.agent}/withheld/{self._history.since(finding.agent)}"
        happenings.emit(WITHHELD, agent=finding.agent, detector=finding.detector, why=why)
        if not self._history.knows(key):
            self._history.remember(key)
            self._page(finding, why, key)


def is_echo(transition: Transition) -> bool:
    """True for what a process did because watch told it to: the actor is a person or watch itself."""
    return transition.actor == "watch" or transition.actor.startswith("operator:")


def opening(transition: Transition) -> Note:
    """The journal entry of an opening; people are alerted because of it."""
    return _note("trip", transition)


def movement(transition: Transition) -> Note:
    """The journal entry of any other transition."""
    return _note("transition", transition)


def _note(kind: str, transition: Transition) -> Note:
    finding = transition.finding
    trace, span = (finding.trace_id, _last_span(finding)) if finding else ("", "")
    payload = {"transition": asdict(transition)}
    return Note(kind, transition.actor, transition.agent, transition.reason, trace, span, payload)


def _last_span(finding: Finding) -> str:
    return finding.spans[-1].rpartition(":")[2] if finding.spans else ""
