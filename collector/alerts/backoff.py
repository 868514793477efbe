"""When to try again: pauses that double, jittered, per key."""

from __future__ import annotations

import random
from typing import Final

from fusebox.clock import Clock

FIRST_S: Final = 0.5
LAST_S: Final = 300.0


class Backoff:
    """Remembers which keys failed and until when they are left alone. For one thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._pauses: dict[str, tuple[float, float]] = {}

    def remaining(self, key: str) -> float:
        """Seconds until ``key`` may be tried; 0 when it may be tried now."""
        due, _ = self._pauses.get(key, (0.0, 0.0))
        return max(0.0, due - self._clock.monotonic())

    def failed(self, key: str, at_least: float = 0.0) -> None:
        """Leave ``key`` alone twice as long as before (jittered), and ``at_least`` seconds if somebody asked."""
        _, before = self._pauses.get(key, (0.0, 0.0))
        pause = min(LAST_S, before * 2 or FIRST_S)
        wait = max(min(at_least, LAST_S), pause * random.uniform(0.5, 1.0))
        self._pauses[key] = (self._clock.monotonic() + wait, pause)

    def done(self, key: str) -> None:
        """Forget the failures of ``key``."""
        self._pauses.pop(key, None)
