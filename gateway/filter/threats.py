"""What the filter found, and what follows from it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from fusebox.guard import allow
from fusebox.records import Decision, Verdict

GUARD: Final = "filter"


class Weight(StrEnum):
    """What a threat does to the action."""

    REPORT = "report"
    """It is counted and audited; the action goes on."""
    HOLD = "hold"
    """The action waits for a person."""
    DENY = "deny"


@dataclass(frozen=True, slots=True)
class Threat:
    """One thing that should not be there."""

    rule: str
    """``sql.table``, ``link.image``, ``shell.reverse``, ``canary``, ``injection.orders`` …"""
    what: str
    """A sentence for people; names tables, functions and hosts, never values."""
    weight: Weight = Weight.DENY


@dataclass(frozen=True, slots=True)
class Ruling:
    """What the filter says about one text."""

    threats: tuple[Threat, ...] = ()
    score: float = 0.0
    """Signals of an injection in content from outside, 0 to 1."""
    verdict: Verdict = field(default_factory=lambda: allow(GUARD))

    @property
    def counts(self) -> dict[str, int]:
        """How often each rule was broken: for spans and audit."""
        return dict(Counter(threat.rule for threat in self.threats))


def ruling(threats: list[Threat], score: float = 0.0) -> Ruling:
    """The heaviest threats decide."""
    for weight, decision in ((Weight.DENY, Decision.DENY), (Weight.HOLD, Decision.HOLD)):
        told = [f"{threat.rule}: {threat.what}" for threat in threats if threat.weight is weight]
        if told:
            reason = "; ".join(dict.fromkeys(told))
            return Ruling(tuple(threats), score, Verdict(decision, GUARD, reason, narrow=True))
    return Ruling(tuple(threats), score)
