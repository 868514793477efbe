"""Rolling figures per agent over the last minute: actions, tokens, cost, denials. Bounded by agents and buckets.

Each agent has twelve buckets of five seconds, filled by event time; an event older than the window, or from more than
a window in the future, counts for nothing. Beyond :data:`MAX_AGENTS` agents the one that was quiet longest makes room.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from fusebox.clock import Clock
from fusebox.records import Event

MAX_AGENTS: Final = 5_000
WINDOW_S: Final = 60.0
_BUCKET_S: Final = 5.0


@dataclass(slots=True)
class Figures:
    """Sums over a time."""

    actions: int = 0
    tokens: int = 0
    cost: float = 0.0
    denied: int = 0

    def add(self, other: Figures) -> None:
        """Add other sums to these."""
        self.actions += other.actions
        self.tokens += other.tokens
        self.cost += other.cost
        self.denied += other.denied


class Roll:
    """The last minute of every agent; thread-safe."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._agents: OrderedDict[str, dict[int, Figures]] = OrderedDict()
        self._lock = threading.Lock()

    def observe(self, event: Event) -> None:
        """Count one event."""
        self._add(event.agent, event.time, Figures(1, event.input_tokens + event.output_tokens, event.cost))

    def denied(self, agent: str, count: int) -> None:
        """Count denials, as of now."""
        self._add(agent, self._clock.now(), Figures(denied=count))

    def minute(self, agent: str) -> Figures:
        """Sums of the last minute."""
        total, oldest = Figures(), self._bucket(self._clock.now() - WINDOW_S)
        with self._lock:
            for number, figures in self._agents.get(agent, {}).items():
                if number > oldest:
                    total.add(figures)
        return total

    def agents(self) -> list[str]:
        """Every agent that is remembered."""
        with self._lock:
            return list(self._agents)

    def _add(self, agent: str, time: float, figures: Figures) -> None:
        with self._lock:
            buckets = self._agents.setdefault(agent, {})
            self._agents.move_to_end(agent)
            if abs(self._clock.now() - time) <= WINDOW_S:
                buckets.setdefault(self._bucket(time), Figures()).add(figures)
            self._trim(buckets)

    def _trim(self, buckets: dict[int, Figures]) -> None:
        oldest = self._bucket(self._clock.now() - WINDOW_S)
        for number in [n for n in buckets if n < oldest]:
            del buckets[number]
        if len(self._agents) > MAX_AGENTS:
            self._agents.popitem(last=False)

    @staticmethod
    def _bucket(time: float) -> int:
        return int(time // _BUCKET_S)
