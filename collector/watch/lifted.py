"""What a snapshot tells of lifted kills."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any, Final

from breakers.latch import Latch

Json = dict[str, Any]
_MAX: Final = 1_000


class Lifted:
    """The newest lifted kill ids, in order: what a snapshot can still carry of a set that only grows."""

    def __init__(self, latch: Latch) -> None:
        self._latch = latch
        self._order: deque[str] = deque(maxlen=_MAX)

    def learn(self, entry: Json) -> None:
        """Take in one entry of the journal."""
        self._order.extend(entry["payload"].get("command", {}).get("lifts", ()))

    def add(self, ids: Iterable[str]) -> None:
        """These were lifted just now."""
        self._order.extend(ids)

    def newest(self) -> list[str]:
        """Lifted ids, at most a thousand; those of unknown age first to go."""
        lifted = self._latch.lifted()
        known = [id for id in dict.fromkeys(self._order) if id in lifted]
        others = sorted(lifted.difference(known))
        return others[: _MAX - len(known)] + known
