"""Whether the journal that a start reads is one unbroken chain."""

from __future__ import annotations

from typing import Any

from collector.watch.journal import START


class Chain:
    """Follows the entries; remembers the first place that does not follow from the one before."""

    def __init__(self) -> None:
        self._next, self._prev = 0, START
        self.broken = ""
        """What is wrong, empty while nothing is."""
        self.where = ""

    def learn(self, entry: dict[str, Any]) -> None:
        """Take in one entry whose own hash holds."""
        seq = entry["seq"]
        if not self.broken and (seq != self._next or entry["prev"] != self._prev):
            missing = f"entry {self._next} is missing or damaged" if seq != self._next else "it was changed before it"
            self.broken, self.where = f"entry {seq} does not follow the one before: {missing}", f"seq {self._next}"
        self._next, self._prev = seq + 1, entry["hash"]
