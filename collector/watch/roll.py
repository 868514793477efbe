"""Rolling figures per agent over the last minute: actions, tokens, cost, denials; and its latest warning. Bounded.

Each agent has twelve buckets of five seconds, filled by event time; an event older than the window, or from more than
a window in the future, counts for nothing. Beyond :data:`MAX_AGENTS` agents the one that was quiet longest makes room.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from fusebox.clock import Clock
from fusebox.records import Event, Finding

MAX_AGENTS: Final = 5_000
WINDOW_S: Final = 60.0
WARNED_S: Final = 300.0
"""For so long a person sees that a detector warned."""
_BUCKET_S: Final = 5.0


@dataclass(slots=True)
class Figures:
    """Sums over a time."""

    actions: int = 0
    tokens: int = 0
    cost: float = 0.0
    unpriced: int = 0
    """Tokens that nobody knows the price of, which the cost lacks."""
    denied: int = 0

    def add(self, other: Figures) -> None:
        """Add other sums to these."""
        self.actions += other.actions
        self.tokens += other.tokens
        self.cost += other.cost
        self.unpriced += other.unpriced
        self.denied += other.denied


class Roll:
    """The last minute of every agent; thread-safe."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._agents: OrderedDict[str, dict[int, Figures]] = OrderedDict()
        self._warnings: dict[str, Finding] = {}
        self._lock = threading.Lock()

    def observe(self, event: Event) -> None:
        """Count one event."""
        with self._lock:
            bucket = self._bucket_of(event.agent, event.time)
            if bucket:
                bucket.actions += 1
                tokens = event.input_tokens + event.output_tokens
                bucket.tokens += tokens
                bucket.cost += event.cost
                if tokens and not event.priced:
                    bucket.unpriced += tokens

    def denied(self, agent: str, count: int) -> None:
        """Count denials, as of now."""
        with self._lock:
            bucket = self._bucket_of(agent, self._clock.now())
            if bucket:
                bucket.denied += count

    def warned(self, finding: Finding) -> None:
        """A detector warns of an agent."""
        with self._lock:
            if finding.agent in self._agents:
                self._warnings[finding.agent] = finding

    def warning(self, agent: str) -> Finding | None:
        """The latest warning, while it is news."""
        with self._lock:
            finding = self._warnings.get(agent)
        return finding if finding and self._clock.now() - finding.time <= WARNED_S else None

    def minute(self, agent: str) -> Figures:
        """Sums of the last minute."""
        total, oldest = Figures(), self._bucket(self._clock.now() - WINDOW_S)
        with self._lock:
            for number, figures in self._agents.get(agent, {}).items():
                if number > oldest:
                    total.add(figures)
        return total

    def course(self, agent: str) -> list[int]:
        """Its actions in each bucket of the last minute, oldest first."""
        newest = self._bucket(self._clock.now())
        with self._lock:
            buckets = self._agents.get(agent, {})
            numbers = range(newest - int(WINDOW_S / _BUCKET_S) + 1, newest + 1)
            return [buckets[number].actions if number in buckets else 0 for number in numbers]

    def agents(self) -> list[str]:
        """Every agent that is remembered."""
        with self._lock:
            return list(self._agents)

    def _bucket_of(self, agent: str, time: float) -> Figures | None:
        """Under the lock: where to count what the agent did at ``time``; None when that is no part of the window."""
        buckets = self._agents.get(agent)
        if buckets is None:
            buckets = self._agents[agent] = {}
            if len(self._agents) > MAX_AGENTS:
                forgotten, _ = self._agents.popitem(last=False)
                self._warnings.pop(forgotten, None)
        self._agents.move_to_end(agent)
        now = self._clock.now()
        if abs(now - time) > WINDOW_S:
            return None
        number = self._bucket(time)
        return buckets.get(number) or self._new_bucket(buckets, number, self._bucket(now - WINDOW_S))

    @staticmethod
    def _new_bucket(buckets: dict[int, Figures], number: int, oldest: int) -> Figures:
        for old in [n for n in buckets if n < oldest]:
            del buckets[old]
        return buckets.setdefault(number, Figures())

    @staticmethod
    def _bucket(time: float) -> int:
        return int(time // _BUCKET_S)
