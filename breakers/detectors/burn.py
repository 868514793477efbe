"""Burn: tokens that run away.

Two signs. Against the agent's budget (``tokens_per_minute`` in the registry): more than ``over`` times of it in a
minute. And without any budget: a context that feeds on itself, where call after call brings at least ``growth`` times
the input of the call before, ``calls`` times running, and is past ``floor`` tokens. A context that merely gets longer
(by about as much each time) soon grows by less than that.
"""

from __future__ import annotations

from collections import deque

from breakers.detectors.base import finding, span_of
from breakers.detectors.rate import SlidingMinute
from fusebox.records import Event, Finding


class Burn:
    """See the module.

    Args:
        budget: the agent's tokens a minute, or None; comes from the registry.
        over: how many times the budget opens.
        growth: factor between the inputs of two calls that counts as growth.
        calls: growths running that open.
        floor: tokens of input below which growth is nobody's problem.
    """

    name = "burn"

    def __init__(
        self,
        *,
        budget: int | None = None,
        over: float = 1.5,
        growth: float = 1.12,
        calls: int = 6,
        floor: int = 24_000,
    ) -> None:
        self._limit = budget * over if budget else None
        self._growth = growth
        self._calls = calls
        self._floor = floor
        self.score = 0.0
        self._tokens = SlidingMinute()
        self._last = 0
        self._run: deque[tuple[float, str]] = deque(maxlen=calls + 1)

    def observe(self, event: Event) -> Finding | None:
        """Count one event's tokens."""
        if not event.input_tokens and not event.output_tokens:
            return None
        return self._over_budget(event) or self._growing(event)

    def _over_budget(self, event: Event) -> Finding | None:
        if self._limit is None:
            return None
        score = self._tokens.add(event.time, event.input_tokens + event.output_tokens)
        if score <= self._limit:
            return None
        reason = f"{score:.0f} tokens in a minute; the budget opens at {self._limit:.0f}"
        return finding(event, self.name, reason, score=score, threshold=self._limit)

    def _growing(self, event: Event) -> Finding | None:
        if event.input_tokens < self._last * self._growth:
            self._run.clear()
        self._run.append((event.time, span_of(event)))
        self._last = event.input_tokens
        if len(self._run) <= self._calls or event.input_tokens < self._floor:
            return None
        times, spans = zip(*self._run, strict=True)
        reason = f"input grew {self._calls} times running, to {event.input_tokens} tokens"
        return finding(
            event, self.name, reason, score=float(self._calls), threshold=float(self._calls),
            spans=spans, repeated=f"{event.action} {event.operation} × {len(spans)}", first_time=times[0],
        )  # fmt: skip
