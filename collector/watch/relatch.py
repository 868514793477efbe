"""Kills that the journal knows and the latch does not: *watch* died between the two, or the latch file is lost.

The latch is a join, so saying a kill again does no harm. Only kills are taken from the journal, never lifts: a resume
may have been journaled and then refused, and an id too few among the lifted ones fails closed.
"""

from __future__ import annotations

import logging
from typing import Any, Final

from breakers.latch import Latch
from collector.watch.orders import LATCH_BROKEN
from fusebox import happenings

Json = dict[str, Any]

RELATCHED: Final = happenings.declare(
    "kill_relatched", logging.CRITICAL, "a kill stood in the journal but not in the latch; it is in force again"
)


class Relatch:
    """Learns kills and resumes from the journal, then makes the latch complete."""

    def __init__(self, latch: Latch) -> None:
        self._latch = latch
        self._kills: dict[str, Json] = {}

    def learn(self, entry: Json) -> None:
        """Take in one entry of the journal; :meth:`apply` acts on them."""
        command = entry["payload"].get("command")
        if entry["kind"] == "kill" and command:
            self._kills[command["id"]] = entry
        elif entry["kind"] == "resume" and command:
            for lifted in command["lifts"]:
                self._kills.pop(lifted, None)

    def apply(self) -> None:
        """Put every kill that nobody resumed into the latch."""
        for id, entry in self._kills.items():
            try:
                new = self._latch.kill(
                    id, entry["subject"], reason=entry["reason"], operator=entry["payload"]["command"]["operator"],
                    time=entry["time"],
                )  # fmt: skip
            except OSError as error:
                happenings.emit(LATCH_BROKEN, kill=id, error=str(error))
                continue
            if new:
                happenings.emit(RELATCHED, kill=id, scope=entry["subject"])
        self._kills.clear()
