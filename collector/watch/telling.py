"""Which happenings become alerts, each exactly once: the journal says what must be told, the outbox what is waiting.

An opening is journaled, then put into the outbox; an end (delivered, given up) is journaled as ``alert``. A crash in
between is made good at start: what the journal says must be told, of the last three days, and neither waits nor has
ended, is put again under the same id.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from collector.alerts.alert import Alert, broken_path, damaged, opened, unregistered, withheld
from collector.alerts.outbox import MAX_AGE_S, Outbox
from collector.alerts.sinks import Outcome
from collector.audit.entry import Note
from collector.audit.journal import Journal, JournalBroken
from collector.watch.history import transition_of
from fusebox.clock import Clock
from fusebox.records import Event, Finding, Transition

Json = dict[str, Any]


class Telling:
    """Turns openings, strangers and damaged data into alerts.

    Args:
        dashboard: the dashboard's address, when it runs.
    """

    def __init__(self, journal: Journal, clock: Clock, dashboard: Callable[[], str | None]) -> None:
        self._journal, self._clock, self._dashboard = journal, clock, dashboard
        self._outbox: Outbox | None = None
        self._strangers: set[str] = set()
        self._damaged: set[str] = set()
        self._due: dict[str, Alert] = {}
        self._ended: set[tuple[str, str]] = set()

    def through(self, outbox: Outbox) -> None:
        """Where alerts go; the outbox reports back to :meth:`ended`."""
        self._outbox = outbox

    def opening(self, transition: Transition) -> None:
        """A circuit opened and that is in the journal."""
        self._put(opened(transition, self._dashboard()))

    def stranger(self, event: Event) -> None:
        """An unregistered agent spoke; told once, whatever is restarted."""
        if event.agent in self._strangers:
            return
        self._strangers.add(event.agent)
        alert = unregistered(event, self._dashboard())
        payload = {"alert": asdict(alert)}
        self._note(Note("stranger", "watch", event.agent, "not registered", event.trace_id, event.span_id, payload))
        self._put(alert)

    def withheld(self, finding: Finding, why: str, key: str) -> None:
        """A Finding opened nothing, because too much of the fleet is open."""
        alert = withheld(finding, why, self._dashboard())
        payload = {"alert": asdict(alert), "finding": asdict(finding), "repeats": key}
        actor = f"detector:{finding.detector}"
        self._note(Note("withheld", actor, finding.agent, why, finding.trace_id, payload=payload))
        self._put(alert)

    def incomplete(self, reason: str, since: float) -> None:
        """Nothing comes through the whole path since then (wall-clock Unix seconds); told once for each time."""
        self._put(broken_path(reason, since, self._dashboard()))

    def damage(self, path: str) -> None:
        """Something was put aside for a person; told once, whatever is restarted."""
        if path in self._damaged:
            return
        self._damaged.add(path)
        alert = damaged(path, self._clock.now(), self._dashboard())
        self._note(Note("damage", "watch", path, "put aside", payload={"alert": asdict(alert)}))
        self._put(alert)

    def ended(self, id: str, sink: str, outcome: Outcome) -> None:
        """An alert was delivered or given up."""
        self._note(Note("alert", sink, id, outcome.detail, payload={"fate": outcome.fate.value}))

    def learn(self, entry: Json) -> None:
        """Take in one entry of the journal; :meth:`catch_up` acts on them."""
        if entry["kind"] == "alert":
            self._ended.add((entry["subject"], entry["actor"]))
        elif entry["kind"] == "stranger":
            self._strangers.add(entry["subject"])
        elif entry["kind"] == "damage":
            self._damaged.add(entry["subject"])
        alert = self._alert(entry)
        if alert is not None:
            self._due[alert.id] = alert

    def catch_up(self) -> None:
        """Put what a crash kept from the outbox."""
        assert self._outbox is not None
        ended = self._ended | self._outbox.ids()
        for alert in self._due.values():
            self._outbox.put(alert, [sink for sink in self._outbox.sinks if (alert.id, sink) not in ended])
        self._due.clear()
        self._ended.clear()

    def _alert(self, entry: Json) -> Alert | None:
        """The alert that an entry calls for, unless it is too old to be news."""
        if self._clock.now() - entry["time"] > MAX_AGE_S:
            return None
        if entry["kind"] == "trip" and "transition" in entry["payload"]:
            return opened(transition_of(entry["payload"]["transition"]), self._dashboard())
        if entry["kind"] in ("stranger", "damage", "withheld"):
            return Alert(**entry["payload"]["alert"])
        return None

    def _put(self, alert: Alert) -> None:
        assert self._outbox is not None
        self._outbox.put(alert)

    def _note(self, note: Note) -> None:
        try:
            self._journal.append(note)
        except JournalBroken:
            self._journal.owe(note)
