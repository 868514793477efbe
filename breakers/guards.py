"""The two guards every agent has: the kill latch, checked first, and its circuit. Neither does I/O."""

from __future__ import annotations

from typing import Final

from breakers.circuit import Circuits
from breakers.latch import Latch
from fusebox.guard import CIRCUIT, LATCH, allow, deny
from fusebox.records import Action, Verdict

_NOT_KILLED: Final = allow(LATCH)


class LatchGuard:
    """Denies everything to a killed agent."""

    name = LATCH

    def __init__(self, latch: Latch) -> None:
        self._latch = latch

    def check(self, action: Action) -> Verdict:
        """Deny when a kill covers the action's agent."""
        kill = self._latch.killed(action.agent)
        return deny(LATCH, f"killed by {kill.operator or 'unknown'}: {kill.reason}") if kill else _NOT_KILLED


class CircuitGuard:
    """Denies what an open circuit must stop; in half-open only the probe acts."""

    name = CIRCUIT

    def __init__(self, circuits: Circuits) -> None:
        self._circuits = circuits

    def check(self, action: Action) -> Verdict:
        """The circuit's verdict on the action's agent, from the local snapshot."""
        return self._circuits.verdict(action.agent)
