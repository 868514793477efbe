"""The Guard protocol: one verb, ``check(action) → Verdict``; and the chain that asks several.

A guard that cannot answer denies: :class:`Guards` turns an exception of a guard into a deny verdict and counts it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Protocol

from fusebox import happenings
from fusebox.errors import AgentKilled, AgentTripped, AgentUnverified, LoopDetected, Refused
from fusebox.records import Action, Decision, Verdict

LATCH = "latch"
CIRCUIT = "circuit"
UNVERIFIED = "snapshot"
LINEAGE = "lineage"
APPROVAL = "approval"
POLICY = "policy"

_ERRORS: dict[str, type[Refused]] = {
    LATCH: AgentKilled,
    CIRCUIT: AgentTripped,
    UNVERIFIED: AgentUnverified,
    LINEAGE: LoopDetected,
}


class Guard(Protocol):
    """Anything that may stop an action: latch, circuit, policy, quota, approval."""

    @property
    def name(self) -> str:
        """Short name, shown in verdicts, audit rows and errors."""

    def check(self, action: Action) -> Verdict:
        """Rule on ``action`` at once, without I/O on the hot path."""


def allow(guard: str) -> Verdict:
    """The verdict of a guard with nothing against it."""
    return Verdict(Decision.ALLOW, guard)


def deny(
    guard: str, reason: str, *, finding: str = "", retry_after: float | None = None, narrow: bool = False
) -> Verdict:
    """The verdict of a guard that says no."""
    return Verdict(Decision.DENY, guard, reason, finding, retry_after, narrow)


def hold(guard: str, reason: str, *, revision: str = "") -> Verdict:
    """The verdict of a guard that wants a person to agree; ``revision`` is that of the rules it went by."""
    return Verdict(Decision.HOLD, guard, reason, revision=revision)


_NOBODY_MINDS: Final = allow("guards")
_ALLOW: Final = Decision.ALLOW


class Guards:
    """Asks guards in order; the first that denies decides, else the first that holds: nobody is asked to agree to what
    would be denied."""

    name = _NOBODY_MINDS.guard

    def __init__(self, guards: Iterable[Guard]) -> None:
        self._guards = tuple(guards)

    def check(self, action: Action) -> Verdict:
        held = _NOBODY_MINDS
        for guard in self._guards:
            try:
                verdict = guard.check(action)
            except Exception as error:  # a guard that cannot answer denies, loudly
                verdict = _failed(guard, action, error)
            if verdict.decision is not _ALLOW:
                if verdict.decision is Decision.DENY:
                    return verdict
                held = verdict if held is _NOBODY_MINDS else held
        return held

    def enforce(self, action: Action) -> None:
        """Like :meth:`check`, but raises.

        Raises:
            Refused: the subclass that belongs to the guard that said no.
        """
        verdict = self.check(action)
        if not verdict.allowed:
            raise refusal(action, verdict)


def refusal(action: Action, verdict: Verdict) -> Refused:
    """The error that says what this guard ruled."""
    return _ERRORS.get(verdict.guard, Refused)(action, verdict)


def _failed(guard: Guard, action: Action, error: Exception) -> Verdict:
    happenings.emit(happenings.GUARD_FAILED, guard=guard.name, agent=action.agent, error=repr(error))
    return deny(guard.name, f"guard failed: {error!r}")
