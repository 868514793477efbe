"""The age cap: a spool that *keep* does not empty refuses in time, instead of storing last month's telemetry one day.

Only *keep* counts. *watch* holds on to what it has judged until newer spans come, however long that takes: a cap on
that would refuse the very spans it waits for.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Final

from collector.spool.cursor import read_cursor
from collector.spool.errors import SpoolFull
from collector.spool.segment import segments
from fusebox.clock import Clock

_LOOK_EVERY_S: Final = 1.0
_STEPS: Final = 16
_STORES: Final = "keep"


class AgeCap:
    """Knows how old the oldest record is that waits to be stored.

    A record carries no time; its segment's last write does. Segments are therefore begun anew after a sixteenth of the
    cap, which is how exactly the age is known.

    Args:
        max_age_s: seconds; ``inf`` for no cap.
    """

    def __init__(self, folder: Path, max_age_s: float, clock: Clock) -> None:
        self._folder, self._max_age_s, self._clock = folder, max_age_s, clock
        self._looked = -math.inf
        self._age = 0.0

    def check(self, last: int) -> None:
        """Refuse when the oldest waiting record is too old. Looks at the disk once a second.

        Args:
            last: the highest record number given.

        Raises:
            SpoolFull: it is.
        """
        now = self._clock.monotonic()
        if now - self._looked >= _LOOK_EVERY_S:
            self._looked, self._age = now, self.oldest(last)
        if self._age > self._max_age_s:
            raise SpoolFull(
                f"the spool holds records that wait to be stored for {self._age:.0f} s; "
                "see that keep runs and its database takes them, or raise spool_max_age_s"
            )

    def oldest(self, last: int) -> float:
        """Seconds for which the oldest record waits, to within a sixteenth of the cap; 0 when all are stored."""
        passed = read_cursor(self._folder, _STORES)
        existing = segments(self._folder)
        bounds = [segment.base - 1 for segment in existing[1:]] + [last]
        waiting = (segment for segment, bound in zip(existing, bounds, strict=False) if bound > passed)
        first = next(waiting, None)
        return max(0.0, self._clock.wall() - first.written()) if first else 0.0

    def ends(self, begun: float) -> bool:
        """True when a segment begun at ``begun`` (Unix seconds) is to be closed."""
        return self._clock.wall() - begun > self._max_age_s / _STEPS
