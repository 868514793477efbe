"""How long things take in the demonstration: delays that vary with the seed."""

from __future__ import annotations

import random
from threading import Lock
from typing import Final

from fusebox.clock import Clock

_MEAN_S: Final = (0.04, 0.16)


class Pace:
    """Seeded pauses around a mean that the seed picks, too.

    Args:
        seed: the same seed gives the same pauses.
        clock: sleeps.
    """

    def __init__(self, seed: int, clock: Clock) -> None:
        self._random = random.Random(f"pace:{seed}")
        self._clock = clock
        self._lock = Lock()
        self.mean = self._random.uniform(*_MEAN_S)
        self.speed = 1.0
        """The unprotected twin runs several times faster: nobody wants to watch the whole incident."""

    def pause(self) -> None:
        """Wait for the next pause, between half and twice the mean."""
        with self._lock:
            factor = self._random.triangular(0.5, 2.0, 0.8)
        self._clock.sleep(self.mean * factor / self.speed)
