"""Room: whether all segments together, and their disk, can take another record. The writer's lock guards it.

What every reader has passed is deleted segment by segment: when one is finished, and when room is wanted.
"""

from __future__ import annotations

from pathlib import Path

from collector.spool.cursor import cursors
from collector.spool.errors import SpoolFull
from collector.spool.reserve import Reserve
from collector.spool.segment import segments


class Room:
    """See the module.

    Args:
        folder: the spool's.
        max_bytes: what all segments together may hold.

    Attributes:
        used: bytes that they hold.
    """

    def __init__(self, folder: Path, max_bytes: int, reserve: Reserve) -> None:
        self._folder, self._max_bytes, self._reserve = folder, max_bytes, reserve
        self.used = 0

    def make(self, need: int, next: int, *, keep_newest: bool) -> None:
        """Have ``need`` bytes free; the arguments are those of :meth:`delete_passed`.

        Raises:
            SpoolFull: readers are behind, or the disk is at its reserve.
        """
        if self.used + need <= self._max_bytes and not self._reserve.reached():
            return
        self.delete_passed(next, keep_newest=keep_newest)
        if self.used + need > self._max_bytes:
            raise SpoolFull(
                f"the spool holds {self.used} of {self._max_bytes} bytes and its readers are behind; "
                "see that keep and watch run, or raise spool_max_bytes"
            )
        if self._reserve.reached():
            self._reserve.check()

    def delete_passed(self, next: int, *, keep_newest: bool) -> None:
        """Delete the segments that no reader needs, and count what is left.

        Args:
            next: the number of the record to come.
            keep_newest: it is written to, or says which number comes next.
        """
        existing = segments(self._folder)
        passed = min(cursors(self._folder).values(), default=0)
        bounds = [s.base for s in existing[1:]] + ([] if keep_newest else [next])
        for segment, upper in zip(existing, bounds, strict=False):
            if upper - 1 > passed:
                break
            segment.path.unlink(missing_ok=True)
        self.used = sum(s.size() for s in segments(self._folder))
