"""Burn: tokens and money that run away.

* Against the agent's budgets (``tokens_per_minute`` and ``usd_per_minute`` in the registry), each in two windows; see
  :mod:`breakers.detectors.budget`. Money is judged where calls have a price, which is in the collector.
  A call whose price nobody knows counts for nothing there, which warns once.
* Without any budget, a context that feeds on itself: ``calls`` calls running each bring at least ``growth`` times the
  input of the call before, evenly, and by ever more tokens (the second half of the run adds ``swell`` times what the
  first half did), past ``floor`` tokens. A context that merely gets longer, by about as much each time, does not swell.
* A context that only grows: ``ceiling`` tokens reached without ever having shrunk for ``rising`` calls warns.

Without token counts there is nothing to judge.
"""

from __future__ import annotations

from itertools import pairwise

from breakers.detectors.base import OPEN, WARN, finding
from breakers.detectors.budget import Budget
from fusebox.records import Event, Finding

_EVEN = 1.4


class Burn:
    """See the module.

    Args:
        budget, usd: the agent's tokens and US dollars a minute, or None; they come from the registry.
        over, lasting: times of a budget that open within a minute and warn over a quarter of an hour.
        growth: factor between the inputs of two calls that counts as growth.
        calls: growths running that open (at least 2).
        swell: factor between what the first and the second half of them add.
        floor: tokens of input below which growth is nobody's problem.
        ceiling, rising: tokens of input, and calls without a shorter one, that warn.
    """

    __slots__ = (
        "_budgets", "_calls", "_ceiling", "_floor", "_growth", "_last", "_rising", "_rose", "_run", "_since", "_swell",
        "_unpriced", "_warned", "score",
    )  # fmt: skip

    name = "burn"

    def __init__(
        self,
        *,
        budget: int | None = None,
        usd: float | None = None,
        over: float = 1.5,
        lasting: float = 1.0,
        growth: float = 1.14,
        calls: int = 4,
        swell: float = 1.25,
        floor: int = 16_000,
        ceiling: int = 120_000,
        rising: int = 20,
    ) -> None:
        self._growth, self._calls, self._swell, self._floor = growth, calls, swell, floor
        self._ceiling, self._rising = ceiling, rising
        self._budgets: tuple[Budget, ...] = ()
        if budget:
            self._budgets += (Budget(self.name, budget, over, lasting, _tokens, "{:.0f} tokens"),)
        if usd:
            self._budgets += (Budget(self.name, usd, over, lasting, _usd, "{:.2f} US dollars"),)
        self._unpriced = bool(usd)
        """True while such a call is news."""
        self._run: tuple[int, ...] = ()
        self._last = 0
        self._since = 0.0
        self._rose = 0
        self._warned = False
        self.score = 0.0

    def observe(self, event: Event) -> Finding | None:
        """Count one event's tokens, and its price."""
        self.score = 0.0
        tokens = event.input_tokens
        over = self._over_budget(event) if self._budgets else None
        if not tokens:
            return over
        growing = self._growing(event, tokens)
        return growing if over is None or (over.action == WARN and growing is not None) else over

    def _over_budget(self, event: Event) -> Finding | None:
        found = [said for budget in self._budgets if (said := budget.observe(event)) is not None]
        self.score = max(budget.score for budget in self._budgets)
        if self._unpriced and not event.priced and _tokens(event):
            self._unpriced = False
            found.append(self._not_counted(event))
        return max(found, key=lambda said: said.action == OPEN, default=None)

    def _not_counted(self, event: Event) -> Finding:
        reason = f"{event.operation} has no known price: its calls count for nothing in the budget in US dollars"
        return finding(event, self.name, reason, action=WARN, score=1.0, threshold=1.0)

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


def _tokens(event: Event) -> float:
    return event.input_tokens + event.output_tokens


def _usd(event: Event) -> float:
    return event.cost
