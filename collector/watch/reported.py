"""Reported: kills that hold in agent processes by their own word, and that *watch* does not know.

They come from before an older backup of *watch*, or from a damaged line of a latch file. An agent's word stops nobody:
they never enter the latch of *watch*, only the board and what a resume lifts. That names them by scope and id, so an
agent that lies has nothing lifted but what it claimed of itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from breakers.latch import Kill, Latch
from collector.watch.leases import Lease, Leases
from fusebox.command import ALL, canonical, covers

MAX_LIFTS: Final = 100
"""In one resume, beside those of *watch*; the others are reported afterwards still."""
_MAX_BYTES: Final = 20_000
"""Of all of these: agents choose their names, and may claim as many kills as they like."""


@dataclass(frozen=True, slots=True)
class Unknown:
    """What a process holds that *watch* neither ordered nor lifted; ``more`` of them it did not name."""

    lease: Lease
    kills: tuple[Kill, ...]

    @property
    def more(self) -> int:
        """It leaves out what comes after the last that it names; where *watch* knows that one, it knows the others."""
        last, unknown = tuple(self.lease.kills)[-1:], tuple(kill.id for kill in self.kills)[-1:]
        return self.lease.more if last == unknown else 0


class Reported:
    """What live leases say, less what *watch* knows itself.

    Args:
        tenant: of the agents.
    """

    def __init__(self, leases: Leases, latch: Latch, *, tenant: str) -> None:
        self._leases, self._latch, self._tenant = leases, latch, f"tenant:{tenant}"

    def unknown(self) -> list[Unknown]:
        """The processes that hold any."""
        found = [Unknown(lease, self.among(lease.kills)) for lease in self._leases.live() if lease.kills or lease.more]
        return [each for each in found if each.kills or each.more]

    def among(self, told: Mapping[str, str]) -> tuple[Kill, ...]:
        """Those of these kills (id to scope) that *watch* neither ordered nor lifted."""
        if not told:
            return ()
        known = {kill.exactly for kill in self._latch.kills().values()}
        return tuple(k for k in _kills(told) if k.exactly not in known and not self._latch.lift_of(k))

    def holding(self) -> dict[str, list[str]]:
        """The processes in which such a kill stops an agent, by agent."""
        holding: dict[str, list[str]] = {}
        for each in self.unknown():
            for agent in each.lease.agents:
                if any(covers(kill.scope, agent) or kill.scope == self._tenant for kill in each.kills):
                    holding.setdefault(agent, []).append(each.lease.process)
        return holding

    def lifts(self, scope: str) -> tuple[str, ...]:
        """What a resume of ``scope`` lifts of them, as :attr:`Kill.exactly`: of each token in turn, so that none crowds
        out the others."""
        by_token: dict[str, dict[str, None]] = {}
        for each in self.unknown():
            named = dict.fromkeys(kill.exactly for kill in each.kills if scope in (ALL, kill.scope))
            by_token.setdefault(each.lease.principal, {}).update(named)
        turns = sorted((turn, lift) for lifts in by_token.values() for turn, lift in enumerate(lifts))
        lifts = list(dict.fromkeys(lift for _, lift in turns))[:MAX_LIFTS]
        sizes = accumulate(len(canonical(lift)) + 1 for lift in lifts)
        return tuple(lift for lift, size in zip(lifts, sizes, strict=True) if size <= _MAX_BYTES)

    def lifted(self, process: str) -> list[str]:
        """What has lifted kills that the process still holds: it has not heard of it, or it was too long ago."""
        return [lift for kill in _kills(self._leases.kills(process)) if (lift := self._latch.lift_of(kill))]


def _kills(told: Mapping[str, str]) -> list[Kill]:
    return [Kill(id, scope) for id, scope in told.items()]
