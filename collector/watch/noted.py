"""Kills that processes report and *watch* does not know, in the log: the first at once, then a line a minute at most.

After a restart on an older backup every process reports some, and one that lies may report others with each poll.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Sequence
from typing import Final

from fusebox import happenings
from fusebox.clock import Clock

_EVERY_S: Final = 60.0
_SHOWN: Final = 5

KILLS_REPORTED: Final = happenings.declare(
    "kills_reported", logging.ERROR, "kills hold in processes by orders that watch does not know; a resume lifts them"
)


class Noted:
    """Thread-safe."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._told = clock, -math.inf
        self._count = 0
        self._processes: list[str] = []
        self._kills: list[str] = []
        self._lock = threading.Lock()

    def add(self, process: str, kills: Sequence[str]) -> None:
        """A process reports kills that it did not before; they are counted, and some are named."""
        with self._lock:
            self._count += len(kills)
            self._processes = [*self._processes, process][:_SHOWN]
            self._kills = [*self._kills, *kills][:_SHOWN]
        self.tell()

    def tell(self) -> None:
        """Say what has come, when it is time; called again and again."""
        with self._lock:
            now = self._clock.monotonic()
            if not self._count or now - self._told < _EVERY_S:
                return
            self._told = now
            count, processes, kills = self._count, self._processes, self._kills
            self._count, self._processes, self._kills = 0, [], []
        happenings.emit(KILLS_REPORTED, count=count, reported=count, processes=processes, kills=kills)
