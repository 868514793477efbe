"""What watch knows about circuits beside the board: which opening is recorded, since when each circuit stands, trips.

Everything here is rebuilt from the journal at start, so an opening that was journaled is never taken for a new one.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import asdict
from typing import Any, Final

from fusebox.records import Finding, State, Transition

TRIPS: Final = 50
_MAX_SEEN: Final = 20_000
_MAX_AGENTS: Final = 20_000
_RECENT: Final = 16


class History:
    """Transitions as recorded; thread-safe, bounded."""

    def __init__(self) -> None:
        self._recent: dict[str, deque[Transition]] = {}
        self._trips: deque[Transition] = deque(maxlen=TRIPS)
        self._seen: dict[str, None] = {}
        self._lock = threading.Lock()

    def record(self, transition: Transition) -> None:
        """A transition is in the journal."""
        with self._lock:
            self._remember(transition.id)
            self._recent.setdefault(transition.agent, deque(maxlen=_RECENT)).append(transition)
            if len(self._recent) > _MAX_AGENTS:
                del self._recent[next(iter(self._recent))]
            if transition.after is State.OPEN and transition.before in (State.CLOSED, State.HALF_OPEN):
                self._trips.appendleft(transition)

    def knows(self, id: str) -> bool:
        """True when this transition (or repeated Finding) was recorded."""
        with self._lock:
            return id in self._seen

    def remember(self, id: str) -> None:
        """Note an id that must not be recorded twice."""
        with self._lock:
            self._remember(id)

    def is_open(self, agent: str) -> bool:
        """True while the last recorded transition of the agent's circuit opened it."""
        with self._lock:
            last = self._recent.get(agent)
            return last is not None and last[-1].after is State.OPEN

    def since(self, agent: str) -> float:
        """Time of the circuit's last recorded transition; 0 when there is none."""
        with self._lock:
            last = self._recent.get(agent)
            return last[-1].time if last else 0.0

    def opened(self) -> set[str]:
        """Agents whose circuits the last recorded transition opened."""
        with self._lock:
            return {agent for agent, recent in self._recent.items() if recent[-1].after is State.OPEN}

    def last(self) -> list[Transition]:
        """The newest transition of every circuit."""
        with self._lock:
            return [recent[-1] for recent in self._recent.values()]

    def recent(self, before: float) -> list[Transition]:
        """The newest transitions of every circuit, in order of each; none of a circuit that has been closed since
        ``before``, which the board may have let go of."""
        with self._lock:
            standing = [r for r in self._recent.values() if r[-1].after is not State.CLOSED or r[-1].time >= before]
            return [transition for recent in standing for transition in recent]

    def trips(self) -> list[dict[str, Any]]:
        """The newest openings, newest first, as plain data."""
        with self._lock:
            return [asdict(trip) for trip in self._trips]

    def learn(self, entry: dict[str, Any]) -> None:
        """Take in one entry of the journal."""
        data = entry["payload"].get("transition")
        if data:
            self.record(transition_of(data))
        elif "repeats" in entry["payload"]:
            self.remember(entry["payload"]["repeats"])

    def _remember(self, id: str) -> None:
        self._seen[id] = None
        if len(self._seen) > _MAX_SEEN:
            del self._seen[next(iter(self._seen))]


def transition_of(data: dict[str, Any]) -> Transition:
    """Read what ``asdict`` made of a Transition."""
    found = data["finding"]
    finding = Finding(**{**found, "spans": tuple(found["spans"])}) if found else None
    states = {"before": State(data["before"]), "after": State(data["after"])}
    return Transition(**{**data, **states, "finding": finding})
