"""What was told and what became of it: alerts, acknowledgements, silences. The answer of ``GET /v1/alerts``.

Nothing here is a file: each change is an entry of the journal first, and a start learns them again from there
(:mod:`collector.watch.telling`, :mod:`collector.watch.desk`).

Invariants
    * An alert ends once for each of its sinks; what was said of an end stays.
    * An acknowledgement is never undone, and the first one counts.
    * A silence ends by itself, at ``until`` at the latest; ending it twice is legal.
    * An alert that reached nobody stays in :meth:`Register.undelivered` until it does, or somebody acknowledges it.
      The log reaches people only where it is the only sink.

Bounded by :data:`MAX_ALERTS`: the oldest that have ended for all of their sinks go first. Times are unscaled Unix
seconds.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from collector.alerts.alert import Alert
from collector.alerts.matching import Match
from collector.alerts.sinks import Fate
from collector.alerts.sinks.log import LOG

MAX_ALERTS: Final = 5_000
LATE_S: Final = 60.0
"""After so long, an alert that is still on its way to everybody counts as delivered nowhere."""
_SHOWN: Final = 500
_KEEP: Final = MAX_ALERTS * 4 // 5
PENDING: Final = "pending"

Json = dict[str, Any]


@dataclass(slots=True)
class Entry:
    """One alert."""

    alert: Alert
    time: float
    sinks: dict[str, str]
    """Each sink that it goes to, and ``pending`` or how it ended there."""
    muted: str = ""
    acknowledged: Json = field(default_factory=dict)

    @property
    def settled(self) -> bool:
        """True when it has ended for every sink."""
        return PENDING not in self.sinks.values()

    def reached_nobody(self, now: float) -> bool:
        """True when it is time that somebody is told that it arrived nowhere."""
        if self.muted or self.acknowledged:
            return False
        people = [name for name in self.sinks if name != LOG] or [LOG]
        fates = {self.sinks.get(name, PENDING) for name in people}
        return Fate.DELIVERED not in fates and (PENDING not in fates or now - self.time > LATE_S)

    def json(self, now: float) -> Json:
        """For people and programs."""
        return {
            "id": self.alert.id, "type": self.alert.type, "timestamp": self.alert.timestamp,
            "severity": self.alert.severity.value, "agent": self.alert.agent, "team": self.alert.team,
            "reason": self.alert.reason, "sinks": dict(self.sinks), "muted": self.muted,
            "acknowledged": dict(self.acknowledged), "undelivered": self.reached_nobody(now), "data": self.alert.data,
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Silence:
    """Alerts that ``match`` takes are not told until then, except to the log."""

    id: str
    match: Match
    until: float
    operator: str
    reason: str

    def json(self) -> Json:
        """As the journal keeps it."""
        match = {name: list(values) for name, values in self.match.model_dump(mode="json").items() if values}
        return {"id": self.id, "match": match, "until": self.until, "operator": self.operator, "reason": self.reason}

    @classmethod
    def of(cls, data: Json) -> Silence:
        """Read what :meth:`json` wrote."""
        return cls(**{**data, "match": Match.model_validate(data["match"])})


class Register:
    """See the module; thread-safe."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._silences: dict[str, Silence] = {}
        self._lock = threading.Lock()

    # --- alerts -----------------------------------------------------------------------------------------------------
    def add(self, alert: Alert, sinks: Iterable[str], time: float, muted: str = "") -> bool:
        """An alert is to be told; False when it is known."""
        with self._lock:
            if alert.id in self._entries:
                return False
            self._entries[alert.id] = Entry(alert, time, dict.fromkeys(sinks, PENDING), muted)
            if len(self._entries) > MAX_ALERTS:
                self._make_room()
            return True

    def mute(self, id: str, why: str) -> None:
        """An alert goes to nobody but the log."""
        with self._lock:
            entry = self._entries.get(id)
            if entry is not None:
                entry.muted = why
                entry.sinks = {name: fate for name, fate in entry.sinks.items() if name == LOG}

    def ended(self, id: str, sink: str, fate: str) -> None:
        """An alert was delivered to a sink, given up or withdrawn."""
        with self._lock:
            entry = self._entries.get(id)
            if entry is not None:
                entry.sinks[sink] = fate

    def never_sent(self, id: str, sinks: Collection[str]) -> None:
        """An alert does not go to these after all."""
        with self._lock:
            entry = self._entries.get(id)
            if entry is not None:
                entry.sinks = {name: fate for name, fate in entry.sinks.items() if name not in sinks}

    def acknowledge(self, id: str, by: str, reason: str, time: float) -> bool:
        """Somebody takes care of it; False when there is no such alert, or somebody does already."""
        with self._lock:
            entry = self._entries.get(id)
            if entry is None or entry.acknowledged:
                return False
            entry.acknowledged = {"by": by, "reason": reason, "time": time}
            return True

    def entry(self, id: str) -> Entry | None:
        """What is known of an alert."""
        with self._lock:
            return self._entries.get(id)

    def pending(self) -> list[tuple[Alert, list[str], bool]]:
        """Alerts, the sinks for which they have not ended, and whether somebody takes care of them already."""
        with self._lock:
            return [
                (entry.alert, [name for name, fate in entry.sinks.items() if fate == PENDING], bool(entry.acknowledged))
                for entry in self._entries.values()
                if not entry.settled
            ]

    def undelivered(self, now: float) -> list[Alert]:
        """Alerts that reached nobody, oldest first."""
        with self._lock:
            return [entry.alert for entry in self._entries.values() if entry.reached_nobody(now)]

    # --- silences ---------------------------------------------------------------------------------------------------
    def silence(self, silence: Silence) -> None:
        """Begin one."""
        with self._lock:
            self._silences[silence.id] = silence

    def unsilence(self, id: str) -> bool:
        """End one; False when there is none."""
        with self._lock:
            return self._silences.pop(id, None) is not None

    def silences(self, now: float) -> list[Silence]:
        """Those in force."""
        with self._lock:
            return [silence for silence in self._silences.values() if silence.until > now]

    def silenced(self, alert: Alert, now: float) -> str:
        """Which silence keeps an alert back; empty when none does."""
        with self._lock:
            self._silences = {id: each for id, each in self._silences.items() if each.until > now}
            found = next((each for each in self._silences.values() if each.match.takes(alert)), None)
        return f"silenced by {found.operator} ({found.id}): {found.reason}" if found else ""

    # --- showing ----------------------------------------------------------------------------------------------------
    def json(self, now: float) -> Json:
        """The newest alerts, newest first, and the silences in force."""
        with self._lock:
            entries = list(self._entries.values())[::-1]
        return {
            "alerts": [entry.json(now) for entry in entries[:_SHOWN]],
            "undelivered": [entry.alert.id for entry in entries if entry.reached_nobody(now)],
            "silences": [silence.json() for silence in self.silences(now)],
        }

    def _make_room(self) -> None:
        """Under the lock: what has ended goes first, the oldest of it before the rest."""
        for id in [id for id, entry in self._entries.items() if entry.settled][: len(self._entries) - _KEEP]:
            del self._entries[id]
        for id in list(self._entries)[: max(0, len(self._entries) - MAX_ALERTS)]:
            del self._entries[id]
