"""Budget: what an agent may use a minute, in two windows as burn-rate alerts have them.

More than ``over`` times of it in a minute opens, because it is steep; more than ``lasting`` times of it for a quarter
of an hour warns once, because it lasts.
"""

from __future__ import annotations

from collections.abc import Callable

from breakers.detectors.base import WARN, finding
from breakers.detectors.rate import Sliding
from fusebox.records import Event, Finding

_LASTING_S = 900.0


class Budget:
    """One measure of it.

    Args:
        detector: whose Findings these are.
        limit: units a minute.
        over, lasting: times of the limit.
        measure: units that an event used.
        shown: how a number of units is written.
    """

    __slots__ = (
        "_detector",
        "_lasting",
        "_limit",
        "_measure",
        "_minute",
        "_over",
        "_quarter",
        "_shown",
        "_warned",
        "score",
    )

    def __init__(
        self, detector: str, limit: float, over: float, lasting: float, measure: Callable[[Event], float], shown: str
    ) -> None:  # fmt: skip
        self._detector, self._limit, self._measure, self._shown = detector, limit, measure, shown
        self._over, self._lasting = limit * over, limit * lasting
        self._minute, self._quarter = Sliding(60.0), Sliding(_LASTING_S)
        self._warned = False
        self.score = 0.0

    def observe(self, event: Event) -> Finding | None:
        """Count what one event used."""
        self.score = 0.0
        used = self._measure(event)
        if not used:
            return None
        minute = self._minute.add(event.time, used)
        quarter = self._quarter.add(event.time, used) * 60.0 / _LASTING_S
        self.score = minute / self._over
        if self.score > 1:
            reason = f"{self._say(minute)} in a minute; the budget opens at {self._say(self._over)}"
            return finding(event, self._detector, reason, score=self.score, threshold=1.0)
        if quarter <= self._lasting or self._warned:
            return None
        self._warned = True
        reason = f"{self._say(quarter)} a minute for a quarter of an hour; the budget is {self._say(self._limit)}"
        score = quarter / self._lasting
        return finding(event, self._detector, reason, action=WARN, score=score, threshold=1.0)

    def _say(self, units: float) -> str:
        return self._shown.format(units)
