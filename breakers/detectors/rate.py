"""Rate: more actions a minute than any agent should take, whatever they are."""

from __future__ import annotations

from typing import Final

from breakers.detectors.base import finding
from fusebox.records import ActionKind, Event, Finding

_WINDOW_S: Final = 60.0


class SlidingMinute:
    """A sum over about the last minute, in three numbers.

    The share of the previous minute that still lies in the window is assumed to be spread evenly. Events that come
    late count as now.
    """

    __slots__ = ("_current", "_previous", "_start")

    def __init__(self) -> None:
        self._start = 0.0
        self._current = self._previous = 0.0

    def add(self, time: float, amount: float) -> float:
        """Count ``amount`` at ``time`` (seconds) and return the sum."""
        passed = time - self._start
        if passed >= _WINDOW_S:
            self._previous = self._current if passed < 2 * _WINDOW_S else 0.0
            self._current = 0.0
            self._start = self._start + _WINDOW_S if passed < 2 * _WINDOW_S else time
            passed = time - self._start
        self._current += amount
        return self._current + self._previous * (1 - max(0.0, passed) / _WINDOW_S)


class Rate:
    """Opens when an agent takes more than ``per_minute`` actions in a minute."""

    name = "rate"

    def __init__(self, *, per_minute: float = 1000.0) -> None:
        self._limit = per_minute
        self.score = 0.0
        self._actions = SlidingMinute()

    def observe(self, event: Event) -> Finding | None:
        """Count one event; what comes in is not the agent's doing."""
        if event.action is ActionKind.CONSUME:
            return None
        score = self._actions.add(event.time, 1.0)
        if score <= self._limit:
            return None
        reason = f"{score:.0f} actions in a minute; {self._limit:.0f} are allowed"
        return finding(event, self.name, reason, score=score, threshold=self._limit, repeated=f"actions × {score:.0f}")
