"""Real seconds that only move forward: a machine's clock that is put back must not hide for an hour what is missing."""

from __future__ import annotations

import threading

from fusebox.clock import Clock


class Steady:
    """Counts what the wall clock moves forward and passes over its steps back; never scaled. Thread-safe."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._last, self._passed = clock.wall(), 0.0

    def now(self) -> float:
        """Seconds since the start."""
        with self._lock:
            wall = self._clock.wall()
            self._passed += max(0.0, wall - self._last)
            self._last = wall
            return self._passed
