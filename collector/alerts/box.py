"""The way to one sink: attempts, retries, the sink's circuit.

A receiver that refuses one parcel delays that parcel (:mod:`collector.alerts.schedule`). One that is away delays all:
after five failures in a row the sink's circuit (a :class:`breakers.circuit.Circuits`, as agents have) opens for 10 s,
then twice as long each time up to five minutes, and the first delivery makes everything due that only waited for it.
410 disables the sink until ``fusebox alerts test --sink NAME`` gets an alert through.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from breakers.board import Board
from breakers.circuit import Circuits, CircuitSettings
from collector.alerts.alert import Alert
from collector.alerts.folder import Folder
from collector.alerts.parcel import Parcel
from collector.alerts.schedule import next_attempt
from collector.alerts.sinks import Fate, Outcome, Sink
from collector.alerts.waiting import Grouping, Item, Waiting
from fusebox import happenings
from fusebox.clock import Clock
from fusebox.errors import AgentTripped, Retryable
from fusebox.records import State
from fusebox.store import MemoryStore

DISABLED: Final = "disabled"
_CIRCUIT: Final = CircuitSettings(open_s=10.0, growth=2.0, max_open_s=300.0, fail_max=5)
_ASK_AGAIN: Final = "the receiver wants no more alerts; 'fusebox alerts test --sink NAME' asks it again"

DELIVERED: Final = happenings.declare("alert_delivered", logging.INFO, "a sink took an alert, or a digest of several")
RETRIED: Final = happenings.declare("alert_retried", logging.WARNING, "a sink did not take an alert; it is tried again")
FAILED: Final = happenings.declare("alert_failed", logging.ERROR, "an alert was given up: too old, or the sink is gone")

Told = Callable[[str, str, Outcome], None]
"""``told(alert id, sink, outcome)``, called when an alert is delivered, given up or withdrawn."""


class _Away(Retryable):
    """The receiver is away; counts against the circuit."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.detail)
        self.outcome = outcome


class Box:
    """The alerts of one sink. :meth:`step` is for one thread, the rest for any."""

    def __init__(self, folder: Folder, sink: Sink, grouping: Grouping, clock: Clock, told: Told) -> None:
        self.sink, self._folder, self._clock, self._told = sink, folder, clock, told
        self._waiting = Waiting(folder, grouping, clock)
        self._circuits = Circuits(Board(MemoryStore(), clock, "alerts"), clock, _CIRCUIT)
        self._disabled = folder.disabled
        self._away = False
        self.delivered = 0
        """Alerts delivered since the start."""

    # --- any thread -------------------------------------------------------------------------------------------------
    def put(self, alert: Alert) -> None:
        """Store an alert. One that waits or was given up already is not stored again."""
        self._waiting.put(alert, self.sink.name)

    def withdraw(self, id: str) -> bool:
        """Send an alert no more; True when it waited by itself."""
        withdrawn = self._waiting.withdraw(id)
        if withdrawn:
            self._told(id, self.sink.name, Outcome(Fate.WITHDRAWN))
        return withdrawn

    def alerts(self) -> set[str]:
        """Ids of all that waits or was given up."""
        return self._waiting.known()

    @property
    def pending(self) -> int:
        """Alerts that wait."""
        return len(self._waiting)

    @property
    def failed(self) -> int:
        """Alerts given up."""
        return self._waiting.failed

    @property
    def state(self) -> str:
        """``disabled``, or the state of the circuit."""
        return DISABLED if self._disabled else self._circuits.circuit(self.sink.name).state.value

    def revive(self) -> None:
        """The sink was seen to work."""
        self._disable("")
        self._circuits.reset(self.sink.name, reason="a test came through", actor="watch")
        self._recovered()

    # --- the sink's own thread --------------------------------------------------------------------------------------
    def step(self) -> float | None:
        """Make one attempt if one is due; the seconds until the next may be, None when nothing waits."""
        if self._disabled:
            for parcel in self._waiting.parcels():
                self._give_up(parcel, Outcome(Fate.GONE, _ASK_AGAIN))
            return None
        held = self._held()
        if held > 0:
            return held if self.pending else None
        item, pause = self._waiting.choose()
        if item is None:
            return pause
        self._settle(item, self._attempt(item.parcel))
        return 0.0

    def _attempt(self, parcel: Parcel) -> Outcome:
        try:
            with self._circuits.calling(self.sink.name):
                outcome = self.sink.deliver(parcel)
                if outcome.fate is Fate.RETRY:
                    raise _Away(outcome)
                return outcome
        except _Away as away:
            return away.outcome
        except AgentTripped as tripped:
            return Outcome(Fate.RETRY, str(tripped))

    def _settle(self, item: Item, outcome: Outcome) -> None:
        if outcome.fate is Fate.DELIVERED:
            self._deliver(item.parcel, outcome)
            if self._away:
                self._recovered()
        elif outcome.fate is Fate.GONE:
            self._disable(outcome.detail)
        else:
            self._postpone(item, outcome)

    def _postpone(self, item: Item, outcome: Outcome) -> None:
        now, name = self._clock.wall(), self.sink.name
        due = next_attempt(item.parcel.accepted, now)
        if due is None:
            self._give_up(item.parcel, Outcome(Fate.GIVEN_UP, outcome.detail))
            return
        happenings.emit(RETRIED, alert=item.parcel.id, sink=name, detail=outcome.detail)
        item.refused, item.due = outcome.fate is Fate.REFUSED, max(due, now + outcome.after)
        self._away = self._away or not item.refused
        if outcome.after and not item.refused:
            self._circuits.trip(name, reason=outcome.detail, actor="watch", open_s=outcome.after)

    def _deliver(self, parcel: Parcel, outcome: Outcome) -> None:
        self._waiting.delivered(parcel)
        self.delivered += len(parcel.alerts)
        self._report(parcel, outcome)
        happenings.emit(DELIVERED, alert=parcel.id, sink=self.sink.name, count=len(parcel.alerts))
        self._folder.remove(parcel)
        self._folder.sync()

    def _give_up(self, parcel: Parcel, outcome: Outcome) -> None:
        self._waiting.given_up(parcel)
        self._report(parcel, outcome)
        happenings.emit(
            FAILED, alert=parcel.id, sink=self.sink.name, count=len(parcel.alerts), detail=outcome.detail
        )  # fmt: skip
        self._folder.give_up(parcel)
        self._waiting.forget(self._folder.make_room())
        self._folder.sync()

    def _report(self, parcel: Parcel, outcome: Outcome) -> None:
        for alert in parcel.alerts:
            self._told(alert.id, self.sink.name, outcome)

    def _recovered(self) -> None:
        self._away = False
        self._waiting.hurry()

    def _disable(self, why: str) -> None:
        self._disabled = self._folder.disabled = why

    def _held(self) -> float:
        """Seconds for which the circuit lets nothing through."""
        if self._circuits.circuit(self.sink.name).state is not State.OPEN:
            return 0.0
        return self._circuits.verdict(self.sink.name).retry_after or 0.0
