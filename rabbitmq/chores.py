"""Chores: what a runtime does for its agents several times a second. One that fails hinders no other.

What goes on failing is told once a minute: a broker that is away for a night would fill the log.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Final

from fusebox import happenings
from fusebox.clock import Clock

_AGAIN_S: Final = 60.0

TICK_FAILED: Final = happenings.declare(
    "tick_failed", logging.WARNING,
    "broker, store or latch did not answer while looking after an agent; tried again, and told once a minute",
)  # fmt: skip


class Chores:
    """For one thread that does them; others may :meth:`forget`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._told: dict[str, tuple[str, float]] = {}

    def do(self, agent: str, work: Callable[[], None]) -> None:
        """Do it for the agent; empty: for all."""
        try:
            work()
        except Exception as error:  # nothing may end the thread that shuts valves; what failed is tried again
            self._tell(agent, repr(error))

    def forget(self, agent: str) -> None:
        """It is looked after no more."""
        self._told.pop(agent, None)

    def _tell(self, agent: str, error: str) -> None:
        now = self._clock.monotonic()
        told, at = self._told.get(agent, ("", -math.inf))
        if told != error or now - at >= _AGAIN_S:
            self._told[agent] = error, now
            happenings.emit(TICK_FAILED, agent=agent, error=error)
