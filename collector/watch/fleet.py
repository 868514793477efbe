"""How much of the fleet detectors have opened: beyond a share, one more opening is a person's decision.

A rule that is wrong, or a failure that hits everybody, would otherwise stop everybody. The fleet is who has a live
lease, who spoke in the last minute and whose circuit is open. What persons opened or killed does not count as open.
After a restart of *watch* that is who was heard of again: leases come back with the next poll, speakers with the spool.
"""

from __future__ import annotations

from typing import Final

from breakers.circuit import Circuits
from breakers.settings import FleetSettings
from collector.watch.leases import Leases
from collector.watch.roll import Roll

_AUTOMATIC: Final = ("detector:", "circuit")
"""Actors of openings that no person ordered."""


class Fleet:
    """Counts agents when a detector wants to open one more."""

    def __init__(self, circuits: Circuits, leases: Leases, roll: Roll, settings: FleetSettings) -> None:
        self._circuits, self._leases, self._roll, self._settings = circuits, leases, roll, settings

    def refusal(self, agent: str) -> str:
        """Why detectors may not open this agent's circuit now; ``""`` when they may."""
        stopped = self._opened()
        size = len(stopped | self._present() | {agent})
        share, limit = (len(stopped) + 1) / size, self._settings.max_share
        if size < self._settings.min_fleet or share <= limit:
            return ""
        return f"{len(stopped)} of {size} agents are open already; one more would exceed max_share = {limit:g}"

    def _opened(self) -> set[str]:
        return {c.agent for c in self._circuits.all() if c.stops and c.opener.startswith(_AUTOMATIC)}

    def _present(self) -> set[str]:
        leased = {agent for lease in self._leases.live() for agent in lease.agents}
        return leased | {agent for agent in self._roll.agents() if self._roll.minute(agent).actions}
