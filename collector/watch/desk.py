"""What operators say about alerts: silence, acknowledge, test. Each is journaled before it has an effect.

========== ========================================================================= ===================================
entry      payload                                                                   a start learns
========== ========================================================================= ===================================
silence    ``{"silence": {"id", "match", "until", "operator", "reason"}}``           a silence that is not over
unsilence  (its subject is the silence)                                              that it is over
ack        ``{"time"}`` (its subject is the alert, its actor who takes care of it)   who takes care
========== ========================================================================= ===================================

An acknowledged alert is sent nowhere any more: what still waited for a sink is withdrawn.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from collector.alerts.outbox import Outbox
from collector.alerts.register import Register, Silence
from collector.alerts.writer import OPERATOR, Writer
from collector.audit.entry import Note
from collector.audit.journal import Journal
from collector.watch.journal_first import journal_first
from collector.watch.people_bodies import AckBody, AuditBody, SilenceBody, TestBody, UnsilenceBody
from collector.watch.refusal import CONFLICT, NOT_FOUND, Refusal
from collector.watch.telling import Telling
from fusebox.clock import Clock
from fusebox.records import new_id

Json = dict[str, Any]
_SHOWN: Final = 5


class Desk:
    """Orders about alerts, by authenticated operators.

    Every order raises:
        Refusal: 503, it could not be journaled; nothing was done.
    """

    def __init__(
        self, register: Register, outbox: Outbox, journal: Journal, writer: Writer, telling: Telling, clock: Clock
    ) -> None:
        self._register, self._outbox, self._journal = register, outbox, journal
        self._writer, self._telling, self._clock = writer, telling, clock

    def show(self) -> Json:
        """The answer of ``GET /v1/alerts``."""
        return self._register.json(self._clock.wall()) | {"sinks": dict(self._outbox.states())}

    def counts(self) -> dict[str, int]:
        """For the board and ``/metrics``."""
        return self._outbox.counts() | {"undelivered": len(self._register.undelivered(self._clock.wall()))}

    def unreached(self) -> list[Json]:
        """The newest alerts that reached nobody, for the board."""
        newest = self._register.undelivered(self._clock.wall())[: -_SHOWN - 1 : -1]
        return [
            {"id": alert.id, "type": alert.type, "timestamp": alert.timestamp, "reason": alert.reason}
            for alert in newest
        ]

    def silence(self, operator: str, body: SilenceBody) -> Json:
        """Keep alerts from people for a while."""
        until = self._clock.wall() + body.seconds
        silence = Silence(new_id("sil"), body.match, until, operator, body.reason)
        journal_first(
            self._journal,
            Note("silence", f"{OPERATOR}{operator}", silence.id, body.reason, payload={"silence": silence.json()}),
        )
        self._register.silence(silence)
        return {"silence": silence.id, "until": until}

    def unsilence(self, operator: str, body: UnsilenceBody) -> Json:
        """End a silence.

        Raises:
            Refusal: 404, there is none.
        """
        if body.silence not in {silence.id for silence in self._register.silences(self._clock.wall())}:
            raise Refusal(NOT_FOUND, f"there is no silence {body.silence}; see 'fusebox alerts list'")
        journal_first(self._journal, Note("unsilence", f"{OPERATOR}{operator}", body.silence, body.reason))
        self._register.unsilence(body.silence)
        return {"silence": body.silence}

    def acknowledge(self, operator: str, body: AckBody) -> Json:
        """Take care of an alert.

        Raises:
            Refusal: 404, there is none; 409, somebody does already.
        """
        entry = self._register.entry(body.alert)
        if entry is None:
            raise Refusal(NOT_FOUND, f"there is no alert {body.alert}; see 'fusebox alerts list'")
        if entry.acknowledged:
            raise Refusal(CONFLICT, f"{entry.acknowledged['by']} takes care of {body.alert} already")
        now = self._clock.wall()
        journal_first(
            self._journal, Note("ack", f"{OPERATOR}{operator}", body.alert, body.reason, payload={"time": now})
        )
        self._register.acknowledge(body.alert, operator, body.reason, now)
        return {"alert": body.alert, "withdrawn": self._outbox.withdraw(body.alert)}

    def test(self, operator: str, body: TestBody) -> Json:
        """Send an alert past all rules, to one sink or all, and say what became of it.

        Raises:
            Refusal: 404, there is no such sink.
        """
        names = [body.sink] if body.sink else list(self._outbox.sinks)
        if not set(names) <= set(self._outbox.sinks):
            raise Refusal(NOT_FOUND, f"there is no sink {body.sink!r}; there are {', '.join(self._outbox.sinks)}")
        alert = self._writer.test(operator, self._clock.now()).owned()
        journal_first(self._journal, Note("alert_test", f"{OPERATOR}{operator}", alert.id, ", ".join(names)))
        with ThreadPoolExecutor(len(names), "alert-test") as pool:  # one that hangs delays no other's answer
            outcomes = dict(zip(names, pool.map(lambda name: self._outbox.probe(alert, name), names), strict=True))
        return {
            "alert": alert.id,
            "sinks": {name: {"fate": each.fate.value, "detail": each.detail} for name, each in outcomes.items()},
        }

    def audit_failed(self, _operator: str, body: AuditBody) -> Json:
        """Somebody verified the journal, and it does not hold."""
        return {"alert": self._telling.audit_failed(body.reason, body.where)}

    def learn(self, entry: Json) -> None:
        """Take in one entry of the journal."""
        kind, subject = entry["kind"], entry["subject"]
        if kind == "silence":
            self._register.silence(Silence.of(entry["payload"]["silence"]))
        elif kind == "unsilence":
            self._register.unsilence(subject)
        elif kind == "ack":
            by, time = entry["actor"].removeprefix(OPERATOR), entry["payload"]["time"]
            self._register.acknowledge(subject, by, entry["reason"], time)
