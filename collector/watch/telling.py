"""Which happenings become alerts, each exactly once: the journal says what must be told, the outbox what is waiting.

What happened is journaled (as a trip, a kill, a stranger …; what has no entry of its own is one of kind ``told``), then
it is put into the outbox; an end (delivered, given up) is journaled as ``alert``, a silence or inhibition that keeps it
from people as ``muted``. A crash in between is made good at start: what the journal says must be told, of the last
three days, and neither waits nor has ended, is put again under the same id. The log is put last: once it has ended,
every other sink had its copy, and one that was configured later is not told of what is over.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Final

from collector.alerts.alert import Alert
from collector.alerts.outbox import Outbox
from collector.alerts.register import Register
from collector.alerts.routing import Router
from collector.alerts.schedule import MAX_AGE_S
from collector.alerts.sinks import Outcome
from collector.alerts.sinks.log import LOG
from collector.alerts.writer import Writer
from collector.audit.entry import Note
from collector.audit.journal import Journal
from collector.watch.history import transition_of
from collector.watch.outages import Outage
from fusebox.clock import Clock
from fusebox.command import Command, Order
from fusebox.records import Event, Finding, Transition
from fusebox.registry import Registry

Json = dict[str, Any]
_BURNING_S: Final = 900.0
_MAX_ONCE: Final = 50_000
_OWN: Final = ("stranger", "damage", "withheld", "told", "approval")
"""Kinds of entries that carry their alert (an approval's does where it is asked for)."""


class Telling:
    """Turns what happens into alerts.

    Args:
        writer: puts them into words.
        register: keeps what was told.
        registry: knows whose agents they are.
    """

    def __init__(self, journal: Journal, clock: Clock, writer: Writer, register: Register, registry: Registry) -> None:
        self._journal, self._clock, self._writer = journal, clock, writer
        self._register, self._registry = register, registry
        self._outbox: Outbox | None = None
        self._router: Router | None = None
        self._once: dict[str, None] = {}
        self._burned: dict[str, float] = {}

    def through(self, outbox: Outbox, router: Router) -> None:
        """Where alerts go; the outbox reports back to :meth:`ended`."""
        self._outbox, self._router = outbox, router

    # --- what has an entry in the journal already -------------------------------------------------------------------
    def moved(self, transition: Transition) -> None:
        """A circuit moved and that is in the journal."""
        self._tell(self._writer.moved(transition))

    def ordered(self, command: Command) -> None:
        """A kill or a resume is in the journal."""
        alert = self._writer.ordered(command, self._clock.now())
        if alert is not None:
            self._tell(alert)

    def asked(self, alert: Alert) -> None:
        """A person is asked about an action, and that is in the journal; told once."""
        if alert.id not in self._once:
            self._remember(alert.id)
            self._tell(alert)

    # --- what is journaled here -------------------------------------------------------------------------------------
    def stranger(self, event: Event) -> None:
        """An unregistered agent spoke; told once, whatever is restarted."""
        place = {"trace_id": event.trace_id, "span_id": event.span_id}
        self._tell_once(self._writer.unregistered(event), "stranger", event.agent, "not registered", **place)

    def withheld(self, finding: Finding, why: str, key: str) -> None:
        """A Finding opened nothing, because too much of the fleet is open."""
        alert = self._writer.withheld(finding, why)
        payload = {"alert": asdict(alert), "finding": asdict(finding), "repeats": key}
        actor = f"detector:{finding.detector}"
        self._journal.record(Note("withheld", actor, finding.agent, why, finding.trace_id, payload=payload))
        self._tell(alert)

    def burning(self, finding: Finding) -> None:
        """An agent uses more than its budget; told once in a quarter of an hour."""
        now = self._clock.now()
        if now - self._burned.get(finding.agent, float("-inf")) >= _BURNING_S:
            self._burned = {agent: at for agent, at in self._burned.items() if now - at < _BURNING_S}
            self._burned[finding.agent] = now
            self._tell_once(self._writer.burning(finding), subject=finding.agent)

    def incomplete(self, reason: str, since: float) -> None:
        """Nothing comes through the whole path since then (wall-clock Unix seconds); told once for each time."""
        self._tell_once(self._writer.broken_path(reason, since), subject="path")

    def outage(self, outage: Outage) -> None:
        """Agents cannot ask a model; told once for each time."""
        alert = self._writer.outage(outage.model, outage.error, outage.calls, sorted(outage.agents), outage.since)
        self._tell_once(alert, subject=outage.model)

    def damage(self, path: str) -> None:
        """Something was put aside for a person; told once, whatever is restarted."""
        self._tell_once(self._writer.damaged(path, self._clock.now()), "damage", path, "put aside")

    def unconfirmed(self, command: Command, missing: list[str]) -> None:
        """Processes have not confirmed an order to stop; told once for each order."""
        now = self._clock.now()
        alert = self._writer.unconfirmed(command.id, command.order.value, command.scope, missing, now)
        self._tell_once(alert, subject=command.scope)

    def gap(self, agent: str, lost: int) -> None:
        """Spans of an agent never arrived."""
        self._tell_once(self._writer.gap(agent, lost, self._clock.now()), subject=agent)

    def dead_letters(self, agent: str, count: int) -> None:
        """Messages wait in an agent's dead letters."""
        self._tell_once(self._writer.dead_letters(agent, count, self._clock.now()), subject=agent)

    def audit_failed(self, reason: str, where: str) -> str:
        """The journal does not verify; the id of the alert. Told once for each place, whatever is restarted."""
        alert = self._writer.audit_failed(reason, where, self._clock.now())
        self._tell_once(alert, subject=where)
        return alert.id

    def policy_failed(self, reason: str, since: float) -> None:
        """The policy cannot be loaded or asked; told once for each time."""
        self._tell_once(self._writer.policy_failed(reason, since), subject="policy")

    def apart(self, server: str, reason: str, since: float) -> None:
        """What *watch* decides does not get to others by a server; told once for each time."""
        self._tell_once(self._writer.apart(server, reason, since), subject="reach")

    def ended(self, id: str, sink: str, outcome: Outcome) -> None:
        """An alert was delivered, given up or withdrawn."""
        self._register.ended(id, sink, outcome.fate.value)
        self._journal.record(Note("alert", sink, id, outcome.detail, payload={"fate": outcome.fate.value}))

    # --- starting ---------------------------------------------------------------------------------------------------
    def learn(self, entry: Json) -> None:
        """Take in one entry of the journal; :meth:`catch_up` acts on them."""
        kind, subject = entry["kind"], entry["subject"]
        if kind == "alert":
            self._register.ended(subject, entry["actor"], entry["payload"]["fate"])
        elif kind == "muted":
            self._register.mute(subject, entry["reason"])
        else:
            self._learn_alert(entry)

    def _learn_alert(self, entry: Json) -> None:
        if _carries(entry):
            self._remember(entry["payload"]["alert"]["id"])
        is_news = self._clock.now() - entry["time"] <= MAX_AGE_S
        alert = self._alert(entry) if is_news else None
        if alert is not None:
            alert = self._owned(alert)
            self._register.add(alert, self._routes.sinks_of(alert), entry["time"])

    def catch_up(self) -> None:
        """Put what a crash kept from the outbox."""
        assert self._outbox is not None
        waiting = self._outbox.ids()
        for alert, sinks, acknowledged in self._register.pending():
            absent = [name for name in sinks if (alert.id, name) not in waiting]
            if acknowledged:
                self._outbox.withdraw(alert.id)
            elif LOG in sinks:
                self._outbox.put(alert, absent)
            else:
                self._register.never_sent(alert.id, absent)

    def _alert(self, entry: Json) -> Alert | None:
        """The alert that an entry calls for."""
        payload = entry["payload"]
        if _carries(entry):
            return Alert(**payload["alert"])
        if entry["kind"] in ("trip", "transition") and "transition" in payload:
            return self._writer.moved(transition_of(payload["transition"]))
        if entry["kind"] in ("kill", "resume") and "command" in payload:
            data = payload["command"]
            command = Command(**{**data, "order": Order(data["order"]), "lifts": tuple(data["lifts"])})
            return self._writer.ordered(command, entry["time"])
        return None

    # --- telling ----------------------------------------------------------------------------------------------------
    def _tell_once(self, alert: Alert, kind: str = "told", subject: str = "", reason: str = "", **place: str) -> None:
        if alert.id in self._once:
            return
        self._remember(alert.id)
        payload = {"alert": asdict(alert)}
        self._journal.record(Note(kind, "watch", subject, reason or alert.reason, payload=payload, **place))
        self._tell(alert)

    def _remember(self, id: str) -> None:
        self._once[id] = None
        if len(self._once) > _MAX_ONCE:
            del self._once[next(iter(self._once))]

    def _tell(self, alert: Alert) -> None:
        assert self._outbox is not None
        alert, now = self._owned(alert), self._clock.wall()
        muted = self._register.silenced(alert, now) or self._routes.inhibitor(alert)
        sinks = (LOG,) if muted else self._routes.sinks_of(alert)
        if not self._register.add(alert, sinks, now, muted):
            return
        if muted:
            self._journal.record(Note("muted", "watch", alert.id, muted))
        self._outbox.put(alert, sinks)

    def _owned(self, alert: Alert) -> Alert:
        entry = self._registry.agents.get(alert.agent)
        return alert.owned(team=entry.team, owner=entry.owner) if entry else alert.owned()

    @property
    def _routes(self) -> Router:
        assert self._router is not None
        return self._router


def _carries(entry: Json) -> bool:
    return entry["kind"] in _OWN and "alert" in entry["payload"]
