"""What people are told: the payload of an alert, as Standard Webhooks shapes it (``type``, ``timestamp``, ``data``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final


class Severity(StrEnum):
    """How bad it is; the order is that of the names here, worst first."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


CIRCUIT_OPENED: Final = "circuit.opened"
CIRCUIT_MOVED: Final = "circuit.moved"
OPENING_WITHHELD: Final = "circuit.withheld"
AGENT_KILLED: Final = "agent.killed"
AGENT_RESUMED: Final = "agent.resumed"
AGENT_UNREGISTERED: Final = "agent.unregistered"
RECEIPTS_MISSING: Final = "receipts.missing"
APPROVAL_ASKED: Final = "approval.asked"
BUDGET_BURNING: Final = "budget.burning"
PROVIDER_FAILING: Final = "provider.failing"
MESSAGES_DEAD: Final = "messages.dead"
DATA_DAMAGED: Final = "data.damaged"
SPANS_MISSING: Final = "spans.missing"
TELEMETRY_INCOMPLETE: Final = "telemetry.incomplete"
AUDIT_FAILED: Final = "audit.failed"
POLICY_FAILED: Final = "policy.failed"
WATCH_APART: Final = "watch.apart"
TEST: Final = "alerts.test"

MEANINGS: Final[Mapping[str, tuple[Severity, str]]] = {
    CIRCUIT_OPENED: (Severity.CRITICAL, "a circuit opened; the agent is stopped"),
    OPENING_WITHHELD: (Severity.CRITICAL, "a detector wants a circuit open and may not, too many are; people decide"),
    AGENT_KILLED: (Severity.CRITICAL, "a rule with kill = true cut an agent (`info` when a person did)"),
    RECEIPTS_MISSING: (Severity.CRITICAL, "a process has not confirmed a Command: it may still act"),
    TELEMETRY_INCOMPLETE: (Severity.CRITICAL, "no canary comes through: a quiet board may hide a loop"),
    AUDIT_FAILED: (Severity.CRITICAL, "the audit journal does not verify"),
    POLICY_FAILED: (
        Severity.CRITICAL,
        "the policy cannot be loaded or asked: the last good one stays, or all is denied",
    ),
    WATCH_APART: (Severity.CRITICAL, "shared state, or a way by which Commands leave, does not answer"),
    APPROVAL_ASKED: (Severity.WARNING, "an agent waits for a person's yes or no"),
    BUDGET_BURNING: (Severity.WARNING, "an agent uses more than its budget for a quarter of an hour"),
    PROVIDER_FAILING: (Severity.WARNING, "agents cannot ask a model: its provider fails, is busy or does not answer"),
    MESSAGES_DEAD: (Severity.WARNING, "messages wait in an agent's dead letters"),
    DATA_DAMAGED: (Severity.WARNING, "telemetry was put aside: damaged, or refused by the database"),
    SPANS_MISSING: (Severity.WARNING, "spans of an agent never arrived"),
    AGENT_UNREGISTERED: (Severity.WARNING, "an agent nobody registered has spoken"),
    CIRCUIT_MOVED: (Severity.INFO, "a circuit closed, probes, or changed its mode"),
    AGENT_RESUMED: (Severity.INFO, "a person let agents run again"),
    TEST: (Severity.INFO, "`fusebox alerts test`"),
}
"""Every type, how severe it is unless it says so itself, and what it means."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One thing to tell. ``id`` is the same whoever makes the alert again, so nothing is told twice."""

    id: str
    type: str
    timestamp: str
    """ISO 8601, UTC: when it happened."""
    data: dict[str, Any]

    def json(self) -> dict[str, Any]:
        """The payload."""
        return {name: value for name, value in asdict(self).items() if name != "id"}

    def owned(self, **who: str) -> Alert:
        """The same with ``team`` and ``owner``, as far as they are known."""
        return replace(self, data={"severity": self.severity.value, **self.data, **{k: v for k, v in who.items() if v}})

    @property
    def severity(self) -> Severity:
        """How bad it is."""
        return Severity(self.data.get("severity") or MEANINGS.get(self.type, (Severity.WARNING,))[0])

    @property
    def agent(self) -> str:
        """Whom it is about; empty when it is about nobody in particular."""
        return str(self.data.get("agent", ""))

    @property
    def team(self) -> str:
        """Whose agent it is, as the registry says."""
        return str(self.data.get("team", ""))

    @property
    def incident(self) -> str:
        """The page that tells all of it; empty when there is none."""
        return str(self.data.get("incident", ""))

    @property
    def reason(self) -> str:
        """What happened, in one sentence."""
        return str(self.data.get("reason", ""))


def iso(time: float) -> str:
    """A time (Unix seconds) as alerts write it."""
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
