"""Tells people of telemetry that was put aside: damaged segments of the spool, dead letters that became files."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from collector.keep.orders import LETTERS
from collector.spool import quarantined
from fusebox.clock import Clock

_LOOK_EVERY_S: Final = 5.0


class Damage:
    """Looks into the folders now and then.

    Args:
        tell: is given the path of each thing, again and again while it is there.
    """

    def __init__(self, data_dir: Path, clock: Clock, tell: Callable[[str], None]) -> None:
        self._data_dir, self._clock, self._tell = data_dir, clock, tell
        self._looked = -math.inf

    def look(self) -> None:
        """Tell of what is there, every five seconds."""
        now = self._clock.monotonic()
        if now - self._looked >= _LOOK_EVERY_S:
            self._looked = now
            for path in self._found():
                self._tell(str(path.relative_to(self._data_dir)))

    def _found(self) -> Iterator[Path]:
        yield from quarantined(self._data_dir / "spool")
        yield from sorted((self._data_dir / "dead_letters").glob(LETTERS))
