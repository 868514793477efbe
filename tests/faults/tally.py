"""Tally: how often each fault struck, how often it was seen to have struck, and the table for people."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping

from tests.faults.oracle import ALLOWANCE_S


class Tally:
    """Of one run."""

    def __init__(self) -> None:
        self._struck: Counter[str] = Counter()
        self._seen: Counter[str] = Counter()
        self._seconds: defaultdict[str, float] = defaultdict(float)

    @property
    def cycles(self) -> int:
        """Strikes, seen or not."""
        return self._struck.total()

    def struck(self, fault: str) -> None:
        """A fault was struck."""
        self._struck[fault] += 1

    def played(self, fault: str, *, seen: bool, seconds: float) -> None:
        """Its cycle is over; ``seen``: by evidence of what it did, not by our having called it."""
        self._seen[fault] += seen
        self._seconds[fault] += seconds

    def unseen(self) -> list[str]:
        """Faults that were struck and did nothing."""
        return sorted((self._struck - self._seen).keys())

    def table(self, counts: Mapping[str, int], slowest: float, deadline: float) -> str:
        """Everything, for people."""
        rows = [f"{'fault':40} {'struck':>6} {'seen':>6} {'s/cycle':>8}"]
        for name, struck in sorted(self._struck.items()):
            rows.append(f"{name:40} {struck:6} {self._seen[name]:6} {self._seconds[name] / struck:8.1f}")
        rows += [f"{name:40} {count:6}" for name, count in counts.items()]
        rows.append(f"{'slowest publish':40} {slowest:6.2f} s (deadline {deadline:g} s, allowance {ALLOWANCE_S:g} s)")
        return "\n".join(rows)
