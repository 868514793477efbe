"""Catching up: what became of circuits on a shared board while *watch* was away, once after each start.

*Watch* knows from its journal how each circuit stands. Where somebody else has moved one since and is gone, nobody
would ever say so: a closed circuit would count as open, no Finding would open it again, and once the board had let go
of it the next start would.
"""

from __future__ import annotations

import math

from breakers.circuit import Circuits
from collector.watch.history import History
from collector.watch.trips import Trips


class CatchingUp:
    """A chore of *watch*."""

    def __init__(self, circuits: Circuits, history: History, trips: Trips) -> None:
        self._circuits, self._history, self._trips = circuits, history, trips
        self._is_due = True

    def look(self) -> None:
        """Called again and again; waits until the board has told everything it knows."""
        if self._is_due and self._circuits.since_agreed() < math.inf:
            self._trips.noticed(filter(None, map(self._circuits.since, self._history.last())))
            self._is_due = False
