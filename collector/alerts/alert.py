"""What people are told: the payload of an alert, as Standard Webhooks shapes it (``type``, ``timestamp``, ``data``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final

from fusebox.fingerprint import hash64
from fusebox.records import Event, Transition

CIRCUIT_OPENED: Final = "circuit.opened"
AGENT_UNREGISTERED: Final = "agent.unregistered"
TELEMETRY_INCOMPLETE: Final = "telemetry.incomplete"
DATA_DAMAGED: Final = "data.damaged"
_MAX_SPANS: Final = 20
_MAX_TEXT: Final = 500


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


def opened(transition: Transition, dashboard: str | None) -> Alert:
    """A circuit opened: who, why, the evidence, and the commands that show more or let it run again."""
    finding, agent = transition.finding, transition.agent
    spans = list(finding.spans[-_MAX_SPANS:]) if finding else []
    data = {
        "agent": agent,
        "detector": finding.detector if finding else transition.actor,
        "reason": transition.reason[:_MAX_TEXT],
        "evidence": {"score": finding.score, "threshold": finding.threshold} if finding else {},
        "repeated": finding.repeated[:_MAX_TEXT] if finding else "",
        "spans": spans,
        "actions": len(finding.spans) if finding else 0,
        "finding": finding.id if finding else "",
        "transition": transition.id,
        "commands": _commands(agent, spans),
    }
    return Alert(alert_id(transition), CIRCUIT_OPENED, _iso(transition.time), _linked(data, dashboard))


def unregistered(event: Event, dashboard: str | None) -> Alert:
    """An agent nobody registered has spoken."""
    data = {
        "agent": event.agent,
        "reason": f"{event.agent} is not in the registry; it is watched like any other, and nobody owns it",
        "spans": [f"{event.trace_id}:{event.span_id}"],
        "commands": ["fusebox agents --unregistered", f"fusebox kill {event.agent} --reason '...'"],
    }
    return Alert(
        f"alert_stranger_{hash64(event.agent):016x}", AGENT_UNREGISTERED, _iso(event.time), _linked(data, dashboard)
    )


def damaged(path: str, time: float, dashboard: str | None) -> Alert:
    """Telemetry was put aside because it was damaged, or because the database could not take it."""
    data = {
        "path": path,
        "reason": f"{path} was put aside: it is damaged, or the database could not take it; everything else goes on",
        "commands": ["fusebox doctor", "fusebox collector replay-dead"],
    }
    return Alert(f"alert_damaged_{hash64(path):016x}", DATA_DAMAGED, _iso(time), _linked(data, dashboard))


def broken_path(reason: str, since: float, dashboard: str | None) -> Alert:
    """Telemetry does not come through: a quiet board may hide a loop."""
    data = {"reason": reason[:_MAX_TEXT], "commands": ["fusebox status", "fusebox doctor"]}
    return Alert(f"alert_path_{since:.0f}", TELEMETRY_INCOMPLETE, _iso(since), _linked(data, dashboard))


def alert_id(transition: Transition) -> str:
    """The id of the alert that belongs to an opening."""
    return f"alert_{transition.id}"


def _commands(agent: str, spans: Sequence[str]) -> list[str]:
    why = [f"fusebox why {spans[-1]}"] if spans else []
    return [*why, f"fusebox resume {agent} --reason '...'", f"fusebox kill {agent} --reason '...'"]


def _linked(data: dict[str, Any], dashboard: str | None) -> dict[str, Any]:
    return data | ({"dashboard": dashboard} if dashboard else {})


def _iso(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
