"""The two guards every agent has: the kill latch, checked first, and its circuit. Neither does I/O."""

from __future__ import annotations

from typing import Final

from breakers.circuit import Circuits
from breakers.latch import Kill, Latch
from fusebox.command import narrow
from fusebox.guard import CIRCUIT, LATCH, allow, deny
from fusebox.records import Action, Verdict

_NOT_KILLED: Final = allow(LATCH)


class LatchGuard:
    """Denies everything to a killed agent, and whatever belongs to a killed workflow or tool."""

    name = LATCH

    def __init__(self, latch: Latch) -> None:
        self._latch = latch

    def check(self, action: Action) -> Verdict:
        """Deny when a kill covers the action."""
        kill = self._latch.stops(action)
        return _NOT_KILLED if kill is None else verdict_on(kill, f"by {kill.operator or 'unknown'}")


def verdict_on(kill: Kill, how: str) -> Verdict:
    """The verdict on what a kill covers."""
    whom = f"{kill.scope} was " if narrow(kill.scope) else ""
    return deny(LATCH, f"{whom}killed {how}: {kill.reason}", narrow=narrow(kill.scope))


class CircuitGuard:
    """Denies what an open circuit must stop; in half-open only the probe acts."""

    name = CIRCUIT

    def __init__(self, circuits: Circuits) -> None:
        self._circuits = circuits

    def check(self, action: Action) -> Verdict:
        """The circuit's verdict on the action's agent, from the local snapshot."""
        return self._circuits.verdict(action.agent, action.permit)
