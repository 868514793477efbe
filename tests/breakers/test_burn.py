"""Burn and trouble: tokens that run away; failures and slow calls."""

from __future__ import annotations

from dataclasses import replace

import pytest

from breakers.detectors.burn import Burn
from breakers.detectors.trouble import Trouble
from fusebox.records import ActionKind, Event


def call(number: int, tokens: int, *, every: float = 20.0, ok: bool = True, seconds: float = 1.0) -> Event:
    return Event(
        time=1_760_000_000.0 + number * every, agent="a", action=ActionKind.MODEL_CALL, operation="m", ok=ok,
        input_tokens=tokens, duration=seconds, trace_id="t", span_id=str(number),
    )  # fmt: skip


def actions(detector: Burn | Trouble, events: list[Event]) -> list[str]:
    return [found.action if (found := detector.observe(one)) else "" for one in events]


@pytest.mark.parametrize("factor", [1.18, 1.4, 2.0])
def test_a_context_that_feeds_on_itself_opens_once_it_is_large(factor: float) -> None:
    grown = [call(n, int(8000 * factor**n)) for n in range(9)]
    assert "open" in actions(Burn(), grown)[4:7]


@pytest.mark.parametrize("first", [2_000, 30_000])
def test_a_context_that_gets_longer_by_as_much_each_time_does_not(first: int) -> None:
    assert set(actions(Burn(), [call(n, first + 2_500 * n) for n in range(30)])) == {""}


def test_one_long_document_is_no_explosion() -> None:
    assert set(actions(Burn(), [call(n, t) for n, t in enumerate([100, 130, 180, 240, 25_000, 25_100])])) == {""}


def test_a_budget_opens_when_it_is_steep_and_warns_when_it_lasts() -> None:
    steep = actions(Burn(budget=1000), [call(n, 400, every=1.0) for n in range(6)])
    assert steep[:4] == ["", "", "", "open"]
    lasting = actions(Burn(budget=1000), [call(n, 350) for n in range(80)])
    assert lasting.count("warn") == 1
    assert "open" not in lasting


def test_a_budget_in_money_opens_and_warns_as_one_in_tokens_does() -> None:
    steep = [replace(call(n, 0, every=1.0), cost=0.4) for n in range(6)]
    burn = Burn(usd=1.0, budget=1000)
    found = [burn.observe(each) for each in steep]
    assert [each.action if each else "" for each in found] == ["", "", "", "open", "open", "open"]
    assert found[3] is not None
    assert found[3].reason == "1.60 US dollars in a minute; the budget opens at 1.50 US dollars"
    lasting = actions(Burn(usd=1.0), [replace(call(n, 0), cost=0.35) for n in range(80)])
    assert (lasting.count("warn"), lasting.count("open")) == (1, 0)


def test_what_has_no_price_is_not_taken_for_free_by_a_budget_in_money() -> None:
    unpriced = [replace(call(n, 5_000), priced=False) for n in range(3)]
    burn = Burn(usd=1.0)
    first = burn.observe(unpriced[0])
    assert first is not None
    assert (first.action, first.reason.partition(":")[0]) == ("warn", "m has no known price")
    assert actions(burn, unpriced[1:]) == ["", ""], "once is enough"
    assert actions(Burn(budget=1_000_000), unpriced) == ["", "", ""], "there is nothing to count in money"
    assert actions(Burn(usd=1.0), [replace(call(n, 0), priced=False) for n in range(3)]) == ["", "", ""]


def test_of_two_budgets_the_one_that_is_broken_says_so() -> None:
    burn = Burn(usd=100.0, budget=1000)
    found = [burn.observe(replace(call(n, 400, every=1.0), cost=0.4)) for n in range(4)]
    assert found[3] is not None
    assert "tokens in a minute" in found[3].reason


def test_a_context_that_only_grows_warns() -> None:
    told = actions(Burn(), [call(n, 100_000 + 2_000 * n) for n in range(40)])
    assert told.count("warn") == 1
    assert "open" not in told


def test_failures_and_slow_calls_are_told_once_there_are_enough() -> None:
    assert actions(Trouble(), [call(n, 1, ok=False) for n in range(40)]) == [""] * 29 + ["open"] + [""] * 10
    assert "open" in actions(Trouble(), [call(n, 1, seconds=90.0) for n in range(40)])
    mixed = [replace(call(n, 1), ok=n % 2 == 0) for n in range(100)]
    assert set(actions(Trouble(), mixed)) == {""}
