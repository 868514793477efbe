"""The reserve: what the spool leaves free on its disk, because getting out of a full one needs some.

Readers move cursors and *keep* writes promises by making a file and renaming it, the journal and the latches of kills
grow, and the database writes parts, often on the same disk. A spool that took the last byte would stop them all, and
with them the only ones who can empty it.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Final

from collector.spool.errors import SpoolFull
from fusebox.clock import Clock

RESERVE: Final = 32 << 20
"""Bytes."""
_LOOK_EVERY_S: Final = 1.0


class Reserve:
    """Tells when less than ``reserve`` bytes are free on the disk of ``folder``."""

    def __init__(self, folder: Path, reserve: int, clock: Clock) -> None:
        self._folder, self._reserve, self._clock = folder, reserve, clock
        self._looked = -math.inf
        self._free = 0

    def reached(self) -> bool:
        """True when too little is free. Asks the disk once a second."""
        if self._clock.monotonic() - self._looked >= _LOOK_EVERY_S:
            self._look()
        return self._free < self._reserve

    def check(self) -> None:
        """Ask the disk now.

        Raises:
            SpoolFull: the reserve is reached.
        """
        self._look()
        if self._free < self._reserve:
            raise SpoolFull(
                f"the disk of the spool has {self._free} bytes left, and {self._reserve} are reserved for what "
                "empties it; make room on it"
            )

    def _look(self) -> None:
        disk = os.statvfs(self._folder)
        self._looked, self._free = self._clock.monotonic(), disk.f_bavail * disk.f_frsize
