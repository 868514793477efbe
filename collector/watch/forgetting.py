"""Has the board let go of circuits that have been closed for a month: it must not grow with all that ever ran."""

from __future__ import annotations

import logging
import math
from typing import Final

from breakers.circuit import Circuits
from fusebox import happenings
from fusebox.clock import Clock

_EVERY_S: Final = 3_600.0

FORGOTTEN: Final = happenings.declare(
    "circuits_forgotten", logging.INFO, "circuits that had been closed for a month were deleted from the board"
)


class Forgetting:
    """A chore of *watch*: some at a time, and an hour of rest once there are no more."""

    def __init__(self, circuits: Circuits, clock: Clock) -> None:
        self._circuits, self._clock = circuits, clock
        self._due = -math.inf

    def look(self) -> None:
        """Called again and again."""
        now = self._clock.monotonic()
        if now < self._due:
            return
        gone = self._circuits.forget()
        if gone:
            happenings.emit(FORGOTTEN, count=gone, circuits=gone)
        else:
            self._due = now + _EVERY_S
