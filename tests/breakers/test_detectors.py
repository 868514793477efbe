"""The contract of detectors, on every shipped one; and what the examiner itself catches."""

import time

import pytest

from breakers.detectors.burn import Burn
from breakers.detectors.rate import Sliding
from breakers.rules import DETECTORS, load_rules
from breakers.testing import check_detector
from fusebox.records import Event, Finding


@pytest.mark.parametrize("name", DETECTORS)
def test_shipped_detectors_keep_the_contract(name: str) -> None:
    check_detector(lambda: load_rules().build(name))


def test_burn_with_a_budget_keeps_it_too() -> None:
    check_detector(lambda: Burn(budget=100_000, usd=1.0))


class _Hoards:
    name = "hoards"

    def __init__(self) -> None:
        self.events: list[Event] = []

    def observe(self, event: Event) -> Finding | None:
        self.events.append(event)
        return None


class _LooksAtTheClock:
    name = "clock"

    def observe(self, event: Event) -> Finding | None:
        return Finding(event.agent, self.name, time.perf_counter(), "late", "open", 1.0, 1.0, spans=("a:b",))


class _Unpicklable:
    name = "unpicklable"

    def __init__(self) -> None:
        self.rule = lambda event: event.ok

    def observe(self, event: Event) -> Finding | None:
        return None


class _Chokes:
    name = "chokes"

    def observe(self, event: Event) -> Finding | None:
        event.operation.encode()
        event.target.encode()
        return None


@pytest.mark.parametrize("broken", [_Hoards, _LooksAtTheClock, _Unpicklable, _Chokes])
def test_the_examiner_refuses_what_breaks_the_contract(broken: type) -> None:
    with pytest.raises((AssertionError, AttributeError, UnicodeEncodeError, Exception)):
        check_detector(broken)


def test_the_sliding_minute_counts_about_the_last_minute() -> None:
    window = Sliding(60.0)
    sums = [window.add(1_000_000.0 + second, 1.0) for second in range(600)]
    assert all(58 <= s <= 62 for s in sums[120:])
    assert window.add(1_009_999.0, 1.0) == 1.0
