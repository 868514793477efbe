"""Burn: tokens that run away.

* Against the agent's budget (``tokens_per_minute`` in the registry), in two windows as burn-rate alerts have them: more
  than ``over`` times of it in a minute opens, because it is steep; more than ``lasting`` times of it for a quarter of
  an hour warns, because it lasts.
* Without any budget, a context that feeds on itself: ``calls`` calls running each bring at least ``growth`` times the
  input of the call before, evenly, and by ever more tokens (the second half of the run adds ``swell`` times what the
  first half did), past ``floor`` tokens. A context that merely gets longer, by about as much each time, does not swell.
* A context that only grows: ``ceiling`` tokens reached without ever having shrunk for ``rising`` calls warns.

Without token counts there is nothing to judge.
"""

from __future__ import annotations

from itertools import pairwise

from breakers.detectors.base import WARN, finding
from breakers.detectors.rate import Sliding
from fusebox.records import Event, Finding

_LASTING_S = 900.0
_EVEN = 1.4


class Burn:
    """See the module.

    Args:
        budget: the agent's tokens a minute, or None; comes from the registry.
        over, lasting: times of the budget that open within a minute and warn over a quarter of an hour.
        growth: factor between the inputs of two calls that counts as growth.
        calls: growths running that open (at least 2).
        swell: factor between what the first and the second half of them add.
        floor: tokens of input below which growth is nobody's problem.
        ceiling, rising: tokens of input, and calls without a shorter one, that warn.
    """

    __slots__ = (
        "_budget", "_calls", "_ceiling", "_floor", "_growth", "_last", "_lasting", "_minute", "_over", "_quarter",
        "_rising", "_rose", "_run", "_since", "_swell", "_warned", "score",
    )  # fmt: skip

    name = "burn"

    def __init__(
        self,
        *,
        budget: int | None = None,
        over: float = 1.5,
        lasting: float = 1.0,
        growth: float = 1.14,
        calls: int = 4,
        swell: float = 1.25,
        floor: int = 16_000,
        ceiling: int = 120_000,
        rising: int = 20,
    ) -> None:
        self._budget, self._over, self._lasting = budget or 0, over, lasting
        self._growth, self._calls, self._swell, self._floor = growth, calls, swell, floor
        self._ceiling, self._rising = ceiling, rising
        if budget:
            self._minute, self._quarter = Sliding(60.0), Sliding(_LASTING_S)
        self._run: tuple[int, ...] = ()
        self._last = 0
        self._since = 0.0
        self._rose = 0
        self._warned = False
        self.score = 0.0

    def observe(self, event: Event) -> Finding | None:
        """Count one event's tokens."""
        self.score = 0.0
        tokens = event.input_tokens
        over = self._over_budget(event) if self._budget else None
        if not tokens:
            return over
        growing = self._growing(event, tokens)
        return growing if over is None or (over.action == WARN and growing is not None) else over

    def _over_budget(self, event: Event) -> Finding | None:
        tokens = event.input_tokens + event.output_tokens
        if not tokens:
            return None
        minute = self._minute.add(event.time, tokens)
        quarter = self._quarter.add(event.time, tokens) * 60.0 / _LASTING_S
        self.score = minute / (self._budget * self._over)
        if self.score > 1:
            reason = f"{minute:.0f} tokens in a minute; the budget opens at {self._budget * self._over:.0f}"
            return finding(event, self.name, reason, score=self.score, threshold=1.0)
        if quarter <= self._budget * self._lasting or self._warned:
            return None
        self._warned = True
        reason = f"{quarter:.0f} tokens a minute for a quarter of an hour; the budget is {self._budget}"
        score = quarter / (self._budget * self._lasting)
        return finding(event, self.name, reason, action=WARN, score=score, threshold=1.0)

    def _growing(self, event: Event, tokens: int) -> Finding | None:
        last, self._last = self._last, tokens
        self._rose = self._rose + 1 if tokens >= last else 0
        if tokens < last * self._growth or not last:
            self._run, self._since = (), event.time
        elif self._grew(last, tokens):
            return self._feeds_on_itself(event)
        return self._ever_longer(event) if tokens >= self._ceiling else None

    def _grew(self, last: int, tokens: int) -> bool:
        """Another call that brings more; true when there were enough of them, and by ever more."""
        self._run = (*(self._run[-self._calls :] or (last,)), tokens)
        return tokens >= self._floor and len(self._run) > self._calls and self._swells()

    def _feeds_on_itself(self, event: Event) -> Finding:
        self.score = max(self.score, 1.0)
        run = self._run
        reason = f"input grew {self._calls} times running, by ever more: {', '.join(map(str, run))} tokens"
        return finding(
            event, self.name, reason,
            score=self.score, threshold=1.0, repeated=f"{event.action} {event.operation} × {len(run)}",
            first_time=self._since,
        )  # fmt: skip

    def _swells(self) -> bool:
        """Ever more is added, by about the same factor each time: no single long document."""
        inputs = self._run
        half = self._calls // 2
        factors = [after / before for before, after in pairwise(inputs)]
        added_first, added_last = inputs[half] - inputs[0], inputs[-1] - inputs[-1 - half]
        return added_last >= self._swell * added_first and max(factors) <= _EVEN * min(factors)

    def _ever_longer(self, event: Event) -> Finding | None:
        if self._rose < self._rising or self._warned:
            return None
        self._warned = True
        reason = f"the context has only grown for {self._rose} calls, to {event.input_tokens} tokens"
        score = event.input_tokens / self._ceiling
        return finding(event, self.name, reason, action=WARN, score=score, threshold=1.0)
