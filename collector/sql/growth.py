"""How much a process has grown: the engine that only reads never lets go of parts that others have merged away.

They are out of its tables and pinned in its memory, some kilobytes each. With a batch stored every second that makes
hundreds of megabytes an hour, up to the limit of the process; no setting of the engine helps. So the process, which may
be ended at any time, is replaced by a fresh one now and then.
"""

from __future__ import annotations

import time
from typing import Final

WORN_BYTES: Final = 256 << 20
"""A process that has grown by so much is worn."""
YOUNG_S: Final = 600.0
"""One that is younger is not: what it holds may be a large statement's, and is let go of."""


class Growth:
    """Of a process, from now on."""

    def __init__(self, pid: int) -> None:
        self._pid, self._since, self._first = pid, time.monotonic(), _anonymous(pid)

    def worn(self) -> bool:
        """True when it is time for another one."""
        return time.monotonic() - self._since >= YOUNG_S and _anonymous(self._pid) - self._first >= WORN_BYTES


def _anonymous(pid: int) -> int:
    """Bytes of its own that it has in memory; 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
            return next((int(line.split()[1]) << 10 for line in file if line.startswith("RssAnon:")), 0)
    except OSError:
        return 0
