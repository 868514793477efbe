"""A parcel: what one sink gets in one delivery. One alert, or several of a group as a digest.

File format, one JSON object: ``{"id", "accepted", "alerts": [{"id", "type", "timestamp", "data"}]}``. The id is that of
the only alert, or one made of all their ids, so it is the same whenever the same parcel is made again. ``accepted`` is
unscaled Unix seconds.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Final

from collector.alerts.alert import Alert, Severity

DIGEST: Final = "alerts.digest"
LIST: Final = "fusebox alerts list"
_MAX_REASON: Final = 120


@dataclass(frozen=True, slots=True)
class Parcel:
    """Alerts that travel together; never changed once a sink may have seen it."""

    id: str
    accepted: float
    alerts: tuple[Alert, ...]

    @property
    def severity(self) -> Severity:
        """The worst of them."""
        ranks = list(Severity)
        return min((alert.severity for alert in self.alerts), key=ranks.index)

    @property
    def type(self) -> str:
        """That of the alert, or of a digest."""
        return self.alerts[0].type if len(self.alerts) == 1 else DIGEST

    def payload(self) -> dict[str, Any]:
        """What machines get: the alert as it is, or a list of all that is in the digest."""
        if len(self.alerts) == 1:
            return self.alerts[0].json()
        data = {
            "severity": self.severity.value,
            "count": len(self.alerts),
            "reason": f"{len(self.alerts)} alerts: {_counted(alert.type for alert in self.alerts)}",
            "alerts": [_line(alert) for alert in self.alerts],
            "commands": [LIST],
        }
        return {"type": DIGEST, "timestamp": max(alert.timestamp for alert in self.alerts), "data": data}

    def dump(self) -> str:
        """The file."""
        return json.dumps(
            {"id": self.id, "accepted": self.accepted, "alerts": [asdict(alert) for alert in self.alerts]}
        )


def single(alert: Alert, accepted: float) -> Parcel:
    """A parcel of one."""
    return Parcel(alert.id, accepted, (alert,))


def digest(parcels: Iterable[Parcel], accepted: float) -> Parcel:
    """One parcel of all that is in several."""
    alerts = tuple(alert for parcel in parcels for alert in parcel.alerts)
    name = hashlib.sha256("\n".join(alert.id for alert in alerts).encode()).hexdigest()[:32]
    return Parcel(f"digest_{name}", accepted, alerts)


def load(text: str) -> Parcel | None:
    """The parcel in a file; None when the file is damaged."""
    try:
        data: dict[str, Any] = json.loads(text)
        alerts = tuple(Alert(each["id"], each["type"], each["timestamp"], each["data"]) for each in data["alerts"])
        return Parcel(data["id"], float(data["accepted"]), alerts) if alerts else None
    except (ValueError, KeyError, TypeError):
        return None


def _line(alert: Alert) -> dict[str, str]:
    """What a digest says of one alert; its page and :data:`LIST` have the rest."""
    told = {"id": alert.id, "type": alert.type, "timestamp": alert.timestamp, "severity": alert.severity.value}
    told |= {"agent": alert.agent, "reason": alert.reason[:_MAX_REASON]}
    return told | ({"incident": alert.incident} if alert.incident else {})


def _counted(words: Iterable[str]) -> str:
    counts: dict[str, int] = {}
    for word in words:
        counts[word] = counts.get(word, 0) + 1
    return ", ".join(f"{number} {word}" for word, number in sorted(counts.items(), key=lambda each: -each[1]))
