"""Looks for what should have happened and did not: Receipts, spans. Called by watch's ticker."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Final

from collector.watch.leases import Receipts
from fusebox.clock import Clock
from fusebox.command import Command

RECEIPT_DUE_S: Final = 10.0
"""Two to three long polls in trouble; a process that has not confirmed by then may still act."""
_LOOK_EVERY_S: Final = 1.0


class Vigil:
    """Tells of each thing once while it lasts.

    Args:
        lost: spans that never arrived lately, by agent.
        unconfirmed: told of an order to stop and the processes that have not confirmed it.
        gap: told of an agent and its lost spans, once for each time that some are missing.
    """

    def __init__(
        self, receipts: Receipts, lost: Callable[[], Mapping[str, int]], clock: Clock, *,
        unconfirmed: Callable[[Command, list[str]], None], gap: Callable[[str, int], None],
    ) -> None:  # fmt: skip
        self._receipts, self._lost, self._clock = receipts, lost, clock
        self._unconfirmed, self._gap = unconfirmed, gap
        self._late: set[str] = set()
        self._gaps: set[str] = set()
        self._looked = -math.inf

    def look(self) -> None:
        """Once a second at most."""
        now = self._clock.monotonic()
        if now - self._looked < _LOOK_EVERY_S:
            return
        self._looked = now
        overdue = self._receipts.overdue(RECEIPT_DUE_S)
        for command, missing in overdue:
            if command.id not in self._late:
                self._unconfirmed(command, missing)
        self._late = {command.id for command, _ in overdue}
        lost = self._lost()
        for agent in lost.keys() - self._gaps:
            self._gap(agent, lost[agent])
        self._gaps = set(lost)
