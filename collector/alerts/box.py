"""What one sink has not taken yet: which parcel goes next, and when.

A first alert goes at once. Those of its group that follow within ``group_s`` wait until that time is over and travel as
one digest. A parcel that a sink may have seen is never bundled with others.

A receiver that refuses one parcel delays that parcel (:mod:`collector.alerts.schedule`). One that is away delays all:
after five failures in a row the sink's circuit (a :class:`breakers.circuit.Circuits`, as agents have) opens for 10 s,
then twice as long each time up to five minutes, and the first delivery makes everything due that only waited for it.
410 disables the sink until ``fusebox alerts test --sink NAME`` gets an alert through.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from breakers.board import Board
from breakers.circuit import Circuits, CircuitSettings
from collector.alerts.alert import Alert
from collector.alerts.folder import Folder
from collector.alerts.parcel import Parcel, digest, single
from collector.alerts.schedule import next_attempt
from collector.alerts.sinks import Fate, Outcome, Sink
from fusebox import happenings
from fusebox.clock import Clock
from fusebox.errors import AgentTripped, Retryable
from fusebox.records import State
from fusebox.store import MemoryStore

MAX_DIGEST: Final = 100
"""Alerts in one digest: as JSON it stays near the 20 kB that Standard Webhooks recommend."""
DISABLED: Final = "disabled"
_MAX_GROUPS: Final = 1_000
_CIRCUIT: Final = CircuitSettings(open_s=10.0, growth=2.0, max_open_s=300.0, fail_max=5)
_ASK_AGAIN: Final = "the receiver wants no more alerts; 'fusebox alerts test --sink NAME' asks it again"

DELIVERED: Final = happenings.declare("alert_delivered", logging.INFO, "a sink took an alert, or a digest of several")
RETRIED: Final = happenings.declare("alert_retried", logging.WARNING, "a sink did not take an alert; it is tried again")
FAILED: Final = happenings.declare("alert_failed", logging.ERROR, "an alert was given up: too old, or the sink is gone")
NOT_STORED: Final = happenings.declare(
    "alert_not_stored", logging.CRITICAL, "an alert could not be written to the outbox; it is only in memory"
)

Told = Callable[[str, str, Outcome], None]
"""``told(alert id, sink, outcome)``, called when an alert is delivered or given up."""


class _Away(Retryable):
    """The receiver is away; counts against the circuit."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.detail)
        self.outcome = outcome


@dataclass(slots=True)
class _Waiting:
    """A parcel, and what was seen of it. ``due`` is unscaled Unix seconds."""

    parcel: Parcel
    group: tuple[str, ...]
    due: float = 0.0
    attempted: bool = False
    refused: bool = False


@dataclass(frozen=True, slots=True)
class Grouping:
    """Alerts that agree in all of ``by`` are a group; it is told of once in ``seconds``. 0: each alert by itself."""

    seconds: float = 0.0
    by: Sequence[str] = ("type",)

    def key(self, alert: Alert) -> tuple[str, ...]:
        """The group of an alert."""
        return tuple(str(getattr(alert, name)) for name in self.by)


class Box:
    """The alerts of one sink. :meth:`put` and :meth:`withdraw` are thread-safe; :meth:`step` is for one thread."""

    def __init__(self, folder: Folder, sink: Sink, grouping: Grouping, clock: Clock, told: Told) -> None:
        self.sink, self._folder, self._grouping = sink, folder, grouping
        self._clock, self._told = clock, told
        self._lock = threading.Lock()
        self._circuits = Circuits(Board(MemoryStore(), clock, "alerts"), clock, _CIRCUIT)
        self._sent: dict[tuple[str, ...], float] = {}
        self._waiting = {parcel.id: self._wait(parcel) for parcel in folder.load()}
        self._disabled = folder.disabled
        self._away = False
        given_up = {alert.id for parcel in folder.failed() for alert in parcel.alerts}
        self._known = given_up | {alert.id for each in self._waiting.values() for alert in each.parcel.alerts}
        self.delivered = 0
        """Alerts delivered since the start."""
        self.failed = len(given_up)
        """Alerts given up."""

    # --- any thread -------------------------------------------------------------------------------------------------
    def put(self, alert: Alert) -> None:
        """Store an alert. One that waits or was given up already is not stored again."""
        with self._lock:
            if alert.id in self._known:
                return
            parcel = single(alert, self._clock.wall())
            try:
                self._folder.put(parcel)
            except OSError as error:
                happenings.emit(NOT_STORED, alert=alert.id, sink=self.sink.name, error=str(error))
            self._waiting[parcel.id] = self._wait(parcel)
            self._known.add(alert.id)

    def withdraw(self, id: str) -> bool:
        """Send an alert no more; True when it waited by itself."""
        with self._lock:
            waiting = self._waiting.pop(id, None)
            if waiting is None:
                return False
            self._folder.remove(waiting.parcel)
            self._known.discard(id)
        self._told(id, self.sink.name, Outcome(Fate.WITHDRAWN))
        return True

    def alerts(self) -> set[str]:
        """Ids of all that waits or was given up."""
        with self._lock:
            return set(self._known)

    @property
    def pending(self) -> int:
        """Alerts that wait."""
        with self._lock:
            return sum(len(waiting.parcel.alerts) for waiting in self._waiting.values())

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
            self._end_all()
            return None
        held = self._closed_for()
        if held > 0:
            return held if self._waiting else None
        chosen, pause = self._choose(self._clock.wall())
        if chosen is None:
            return pause
        self._settle(chosen, self._attempt(chosen.parcel))
        return 0.0

    def _choose(self, now: float) -> tuple[_Waiting | None, float | None]:
        """What is due, bundled with its group; or the seconds until something is."""
        with self._lock:
            times = {id: self._time(each, now) for id, each in self._waiting.items()}
            if not times:
                return None, None
            first = min(times, key=times.__getitem__)
            if times[first] > now:
                return None, times[first] - now
            chosen = self._bundled(self._waiting[first], [id for id, time in times.items() if time <= now])
            chosen.attempted = True
            self._note(chosen.group, now)
            return chosen, None

    def _note(self, group: tuple[str, ...], now: float) -> None:
        if len(self._sent) >= _MAX_GROUPS:
            self._sent = {key: at for key, at in self._sent.items() if now - at < self._grouping.seconds}
        self._sent[group] = now

    def _time(self, waiting: _Waiting, now: float) -> float:
        """When a parcel may go: not before its group's time is over, unless it has been on its way before."""
        if waiting.attempted or not self._grouping.seconds:
            return waiting.due
        sent = self._sent.get(waiting.group, float("-inf"))
        return max(waiting.due, sent + self._grouping.seconds if sent <= now else waiting.due)

    def _bundled(self, first: _Waiting, due: list[str]) -> _Waiting:
        if first.attempted or not self._grouping.seconds:
            return first
        group = [each for id in due if (each := self._waiting[id]).group == first.group and not each.attempted]
        members = [each.parcel for each in group if len(each.parcel.alerts) == 1][:MAX_DIGEST]
        if len(members) <= 1:
            return first
        bundle = digest(members, self._clock.wall())
        try:
            self._folder.bundle(bundle, members)
        except OSError:  # the disk takes no digest: one by one, then
            return first
        for member in members:
            del self._waiting[member.id]
        self._waiting[bundle.id] = waiting = self._wait(bundle)
        return waiting

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

    def _settle(self, waiting: _Waiting, outcome: Outcome) -> None:
        if outcome.fate is Fate.DELIVERED:
            self._end(waiting.parcel, outcome)
            if self._away:
                self._recovered()
        elif outcome.fate is Fate.GONE:
            self._disable(outcome.detail)
        else:
            self._postpone(waiting, outcome)

    def _postpone(self, waiting: _Waiting, outcome: Outcome) -> None:
        now, name = self._clock.wall(), self.sink.name
        due = next_attempt(waiting.parcel.accepted, now)
        if due is None:
            self._end(waiting.parcel, Outcome(Fate.GIVEN_UP, outcome.detail))
            return
        happenings.emit(RETRIED, alert=waiting.parcel.id, sink=name, detail=outcome.detail)
        waiting.refused = outcome.fate is Fate.REFUSED
        self._away = self._away or not waiting.refused
        waiting.due = max(due, now + outcome.after)
        if outcome.after and not waiting.refused:
            self._circuits.trip(name, reason=outcome.detail, actor="watch", open_s=outcome.after)

    def _recovered(self) -> None:
        """The receiver is there: what waited only for that is due."""
        self._away = False
        with self._lock:
            for waiting in self._waiting.values():
                waiting.due = waiting.due if waiting.refused else 0.0

    def _end_all(self) -> None:
        with self._lock:
            parcels = [waiting.parcel for waiting in self._waiting.values()]
        for parcel in parcels:
            self._end(parcel, Outcome(Fate.GONE, _ASK_AGAIN))

    def _end(self, parcel: Parcel, outcome: Outcome) -> None:
        delivered = outcome.fate is Fate.DELIVERED
        with self._lock:
            self._waiting.pop(parcel.id, None)
            if delivered:
                self._known -= {alert.id for alert in parcel.alerts}
                self.delivered += len(parcel.alerts)
            else:
                self.failed += len(parcel.alerts)
        for alert in parcel.alerts:
            self._told(alert.id, self.sink.name, outcome)
        happenings.emit(
            DELIVERED if delivered else FAILED, alert=parcel.id, sink=self.sink.name, count=len(parcel.alerts),
            detail=outcome.detail,
        )  # fmt: skip
        (self._folder.remove if delivered else self._folder.give_up)(parcel)
        self._folder.sync()

    def _disable(self, why: str) -> None:
        self._disabled = self._folder.disabled = why

    def _closed_for(self) -> float:
        """Seconds for which the circuit lets nothing through."""
        if self._circuits.circuit(self.sink.name).state is not State.OPEN:
            return 0.0
        return self._circuits.verdict(self.sink.name).retry_after or 0.0

    def _wait(self, parcel: Parcel) -> _Waiting:
        return _Waiting(parcel, self._grouping.key(parcel.alerts[0]))
