"""Has the board let go of circuits that have been closed for a month: it must not grow with all that ever ran.

What the journal has not seen close is kept: at the next start *watch* would open it again.
"""

from __future__ import annotations

import logging
import math
from typing import Final

from breakers.circuit import Circuits
from collector.watch.history import History
from fusebox import happenings
from fusebox.clock import Clock

_EVERY_S: Final = 60.0

FORGOTTEN: Final = happenings.declare(
    "circuits_forgotten", logging.INFO, "circuits that had been closed for a month were deleted from the board"
)


class Forgetting:
    """A chore of *watch*: some once a minute, so an earlier Fusebox that puts rows back is no endless work."""

    def __init__(self, circuits: Circuits, history: History, clock: Clock) -> None:
        self._circuits, self._history, self._clock = circuits, history, clock
        self._due = -math.inf

    def look(self) -> None:
        """Called again and again."""
        now = self._clock.monotonic()
        if now < self._due:
            return
        self._due = now + _EVERY_S
        gone = self._circuits.forget(self._history.opened())
        if gone:
            happenings.emit(FORGOTTEN, count=gone, circuits=gone)
