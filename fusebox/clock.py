"""One source of time, so that tests inject it and ``fusebox drive`` can run it faster.

``FUSEBOX_CLOCK_SPEED=60`` makes every window of every process pass sixty times faster. All processes must agree on
where the fast clock started: ``FUSEBOX_CLOCK_ORIGIN`` (Unix seconds) says it, and without it the origin is midnight
UTC of the day the process starts. Signatures and leases of security matters use :meth:`Clock.wall`, which is never
scaled.
"""

from __future__ import annotations

import math
import os
import time
from typing import Protocol

from fusebox.errors import ConfigError

SPEED_ENV = "FUSEBOX_CLOCK_SPEED"
ORIGIN_ENV = "FUSEBOX_CLOCK_ORIGIN"
_DAY = 86_400


class Clock(Protocol):
    """Where code reads the time."""

    def now(self) -> float:
        """Seconds since the Unix epoch (scaled)."""

    def monotonic(self) -> float:
        """Seconds that never step back (scaled)."""

    def wall(self) -> float:
        """Seconds since the Unix epoch, never scaled: for signatures and other security matters."""

    def sleep(self, seconds: float) -> None:
        """Wait that many (scaled) seconds."""


class SystemClock:
    """The machine's clock, optionally sped up.

    Args:
        speed: how many seconds pass in one real second (> 0).
        origin: Unix seconds at which the scaled and the real clock agree.

    Raises:
        ConfigError: ``speed`` is not positive.
    """

    def __init__(self, speed: float = 1.0, origin: float | None = None) -> None:
        if not 0 < speed < math.inf:
            raise ConfigError(f"{SPEED_ENV} must be a number above 0, not {speed}")
        self.speed = speed
        self.origin = time.time() // _DAY * _DAY if origin is None else origin

    def now(self) -> float:
        return self.origin + (time.time() - self.origin) * self.speed

    def monotonic(self) -> float:
        return time.monotonic() * self.speed

    def wall(self) -> float:
        return time.time()

    def sleep(self, seconds: float) -> None:
        time.sleep(max(0.0, seconds) / self.speed)


class ManualClock:
    """A clock that moves only when told, for tests and for demonstrations on injected time."""

    def __init__(self, start: float = 1_760_000_000.0) -> None:
        self._now = self._monotonic = start

    def now(self) -> float:
        return self._now

    wall = now

    def monotonic(self) -> float:
        return self._monotonic

    def sleep(self, seconds: float) -> None:
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Move the clock forward (or, for tests of clock steps, backward; the monotonic time then stands still)."""
        self._now += seconds
        self._monotonic += max(0.0, seconds)


def system_clock() -> SystemClock:
    """The clock this process's environment asks for.

    Raises:
        ConfigError: one of the two variables is not a number.
    """
    try:
        speed = float(os.environ.get(SPEED_ENV, "1"))
        origin = os.environ.get(ORIGIN_ENV)
        return SystemClock(speed, float(origin) if origin else None)
    except ValueError as error:
        raise ConfigError(f"{SPEED_ENV} and {ORIGIN_ENV} must be numbers: {error}") from error
