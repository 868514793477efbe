"""Alerts in words for people: a subject and a text, by templates that an operator may replace.

A template is one of :class:`string.Template`: ``$name`` stands for a value of :data:`NAMES`, ``$$`` for a dollar. What
agents wrote gets in as data only: control characters become spaces, and nothing is read as a template twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from string import Template
from typing import Any, Final

from collector.alerts.alert import Alert
from collector.alerts.parcel import LIST, Parcel
from fusebox.errors import ConfigError

NAMES: Final = (
    "id", "type", "severity", "time", "agent", "team", "owner", "reason", "repeated", "evidence", "incident",
    "commands", "count",
)  # fmt: skip
"""What a template may name."""
SUBJECT: Final = "[$severity] $type $agent: $reason"
TEXT: Final = """$reason

agent:    $agent
repeated: $repeated
evidence: $evidence
incident: $incident
time:     $time

$commands
"""
_MAX_SUBJECT: Final = 180
_MAX_LINES: Final = 200
_MAX_REASON: Final = 200
"""Of each alert of a digest: sixty of them fit into what Slack takes, whatever is in them."""


@dataclass(frozen=True, slots=True)
class Templates:
    """How alerts read.

    Raises:
        ConfigError: a template names what there is not, or is none.
    """

    subject: str = SUBJECT
    text: str = TEXT

    def __post_init__(self) -> None:
        for name in ("subject", "text"):
            template = Template(getattr(self, name))
            unknown = set(template.get_identifiers()) - set(NAMES)
            if unknown or not template.is_valid():
                what = f"names {', '.join(sorted(unknown))}" if unknown else "has a lone $ (write $$)"
                raise ConfigError(f"templates.{name} {what}; it may name {', '.join(f'${each}' for each in NAMES)}")

    def subject_of(self, parcel: Parcel) -> str:
        """One line."""
        line = Template(self.subject).substitute(_values(parcel))
        return " ".join(line.split())[:_MAX_SUBJECT]

    def text_of(self, parcel: Parcel) -> str:
        """Plain text; a digest lists each of its alerts on a line."""
        if len(parcel.alerts) == 1:
            return Template(self.text).substitute(_values(parcel))
        lines = [
            plain(f"{each.timestamp}  {each.type}  {each.agent}  {_short(each.reason)}  {each.incident}").rstrip()
            for each in parcel.alerts[:_MAX_LINES]
        ]
        return "\n".join([f"{parcel.payload()['data']['reason']}", "", *lines, "", LIST, ""])


def _short(text: str) -> str:
    return text if len(text) <= _MAX_REASON else f"{text[:_MAX_REASON]}…"


def _values(parcel: Parcel) -> dict[str, str]:
    payload = parcel.payload()
    data: dict[str, Any] = payload["data"]
    values = {name: plain(str(data.get(name, "") or "")) for name in NAMES}
    commands = "\n".join(plain(str(command)) for command in data.get("commands", ()))
    return values | {
        "id": parcel.id, "type": payload["type"], "time": payload["timestamp"], "severity": parcel.severity.value,
        "count": str(len(parcel.alerts)), "evidence": evidence(parcel.alerts[0]), "commands": commands,
    }  # fmt: skip


def evidence(alert: Alert) -> str:
    """Score against threshold and the newest span, in a few words; of an approval, the action's arguments."""
    if "arguments" in alert.data:
        return plain(str(alert.data["arguments"]))
    score: dict[str, Any] = alert.data.get("evidence") or {}
    spans = alert.data.get("spans") or []
    told = [f"{name} {value:g}" for name, value in score.items() if isinstance(value, int | float)]
    return plain(", ".join([*told, *([f"{len(spans)} spans, the newest {spans[-1]}"] if spans else [])]))


def plain(text: str) -> str:
    """Text without control characters, line breaks included, and without marks that turn the direction of writing."""
    return "".join(char if char.isprintable() or char == " " else " " for char in text)
