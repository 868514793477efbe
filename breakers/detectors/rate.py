"""Rate: more actions a minute than any agent should take, whatever they are."""

from __future__ import annotations

from breakers.detectors.base import WARN, finding
from fusebox.records import ActionKind, Event, Finding

_CONSUME = ActionKind.CONSUME


class Sliding:
    """A sum over about the last ``window`` seconds, in three numbers.

    The share of the previous window that still lies in the current one is assumed to be spread evenly. Events that come
    late count as now.
    """

    __slots__ = ("_current", "_previous", "_start", "_window")

    def __init__(self, window: float) -> None:
        self._window = window
        self._start = 0.0
        self._current = self._previous = 0.0

    def add(self, time: float, amount: float) -> float:
        """Count ``amount`` at ``time`` (seconds) and return the sum."""
        passed = time - self._start
        if passed >= self._window:
            passed = self._roll(time, passed)
        current = self._current = self._current + amount
        if not self._previous:
            return current
        return current + self._previous * (1 - (passed / self._window if passed > 0 else 0.0))

    def _roll(self, time: float, passed: float) -> float:
        """Begin a window, ``passed`` seconds after the start of the one before; seconds since the start of the new."""
        lately = passed < 2 * self._window
        self._previous = self._current if lately else 0.0
        self._current = 0.0
        self._start = self._start + self._window if lately else time
        return time - self._start


class Rate:
    """Opens when an agent takes more than ``per_minute`` actions in a minute, warns at half of that."""

    __slots__ = (
        "_actions", "_limit", "_warned", "score",
    )  # fmt: skip

    name = "rate"

    def __init__(self, *, per_minute: float = 1000.0) -> None:
        self._limit = per_minute
        self._actions = Sliding(60.0)
        self._warned = False
        self.score = 0.0

    def observe(self, event: Event) -> Finding | None:
        """Count one event; what comes in is not the agent's doing."""
        if event.action is _CONSUME:
            self.score = 0.0
            return None
        count = self._actions.add(event.time, 1.0)
        score = self.score = count / self._limit
        if score <= 0.5:
            return None
        reason = f"{count:.0f} actions in a minute; {self._limit:.0f} are allowed"
        if score > 1:
            return finding(event, self.name, reason, score=score, threshold=1.0, repeated=f"actions × {count:.0f}")
        if self._warned:
            return None
        self._warned = True
        return finding(event, self.name, reason, action=WARN, score=score, threshold=0.5)
