"""Untold: kills that hold in this process though *watch* has not told it of them.

They stand in the latch file from before: *watch* was restored from an older backup, or a line of the file is damaged.
Only a person can lift them, and *watch* is where persons look. So each poll names them, those that stop most first,
once a snapshot has said that *watch* wants to hear of them: an earlier one refuses what it does not know.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, Final

from breakers.latch import Kill, Latch
from fusebox.command import ALL, agent_scope, narrow

KILLS: Final = "kills"
"""What a snapshot asks for in ``asks``, and where a poll has it."""
MAX_KILLS: Final = 50
KILL_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,40}")
"""Ids that *watch* gives, and those of damaged lines."""


class Untold:
    """Compares the latch of this process with what snapshots say.

    Args:
        tenant: of the agents of this process.
    """

    def __init__(self, latch: Latch, tenant: str) -> None:
        self._latch, self._tenant = latch, tenant
        self._asked = False
        self._told: Collection[str] = ()

    def heard(self, snapshot: Mapping[str, Any]) -> None:
        """A snapshot was taken in: from now on that is what *watch* knows."""
        self._asked, self._told = KILLS in snapshot.get("asks", ()), set(snapshot["kills"])

    def words(self, agents: Collection[str]) -> dict[str, Any]:
        """What a poll says of them: ``kills`` (id to scope) and ``more``, the number of those left out; or nothing."""
        untold = self._untold(agents) if self._asked else []
        if not untold:
            return {}
        kills = [kill for kill in untold if KILL_ID.fullmatch(kill.id) and kill.scope.isprintable()][:MAX_KILLS]
        return {KILLS: {kill.id: kill.scope for kill in kills}, "more": len(untold) - len(kills)}

    def _untold(self, agents: Collection[str]) -> list[Kill]:
        """The widest first."""
        whole = {ALL, f"tenant:{self._tenant}", *map(agent_scope, agents)}
        kills = [kill for id, kill in self._latch.kills().items() if id not in self._told]
        return sorted((kill for kill in kills if kill.scope in whole or narrow(kill.scope)), key=_is_narrow)


def _is_narrow(kill: Kill) -> bool:
    return narrow(kill.scope)
