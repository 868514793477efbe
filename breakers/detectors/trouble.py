"""Trouble: too many failures, or too many slow calls, in the last few (resilience4j's count-based sliding window).

Of the last ``window`` tool and model calls, once there are ``enough``, the share that failed is held against
``failures``, and the share that took ``slow_s`` seconds or longer against ``slow``. With fewer it does not judge.
Refusals by our own guards are no calls. It only says that something is wrong, not that the agent is what is wrong: the
shipped rules let it warn.
"""

from __future__ import annotations

from typing import Final

from breakers.detectors.base import finding
from breakers.detectors.words import is_outage
from fusebox.records import ActionKind, Event, Finding

_LANE: Final = 65
"""Bit from which on it is written which calls were slow; below it, which failed. The latest call is the lowest bit."""
_LATE: Final = 1 << _LANE
_TOOL, _MODEL = ActionKind.TOOL_CALL, ActionKind.MODEL_CALL


class Trouble:
    """See the module.

    Args:
        window: calls that are looked at (at most 64).
        enough: calls without which nothing is said.
        failures, slow: shares (0 … 1) that open.
        slow_s: seconds from which a call is slow.
    """

    __slots__ = (
        "_bad", "_both", "_enough", "_failures", "_mask", "_seen", "_slow", "_slow_s", "_told", "_window", "score",
    )  # fmt: skip

    name = "trouble"
    mode = "warn"

    def __init__(
        self, *, window: int = 50, enough: int = 30, failures: float = 0.8, slow: float = 0.9, slow_s: float = 60.0
    ) -> None:
        self._window, self._enough = min(window, 64), enough
        self._failures, self._slow, self._slow_s = failures, slow, slow_s
        self._mask = (1 << self._window) - 1
        self._both = self._mask << _LANE | self._mask
        self._bad = 0
        self._seen = 0
        self._told = False
        self.score = 0.0

    def observe(self, event: Event) -> Finding | None:
        """Count one call."""
        self.score = 0.0
        action = event.action
        if action is not _TOOL and action is not _MODEL:
            return None
        if self._seen < self._window:
            self._seen += 1
        if event.ok and event.duration < self._slow_s:
            if not self._bad:
                return None
            self._bad = self._bad << 1 & self._both
        else:
            late = _LATE if event.duration >= self._slow_s else 0
            self._bad = self._bad << 1 & self._both | late | (not event.ok)
        return self._judge(event) if self._seen >= self._enough else None

    def _judge(self, event: Event) -> Finding | None:
        """One of the calls that are looked at failed or was slow."""
        failures = (self._bad & self._mask).bit_count() / self._seen
        slow = (self._bad >> _LANE).bit_count() / self._seen
        self.score = max(failures / self._failures, slow / self._slow)
        if self.score < 1:
            self._told = False
            return None
        if self._told:
            return None
        self._told = True
        what = f"{failures:.0%} failed" if failures / self._failures >= slow / self._slow else f"{slow:.0%} were slow"
        reason = f"of the last {self._seen} calls {what}"
        if is_outage(event):
            reason += f"; the latest because the provider of {event.operation} fails ({event.error_type})"
        return finding(event, self.name, reason, score=self.score, threshold=1.0, repeated=event.operation)
