"""Watch's chores: one that fails hinders no other, is told once, and shows until it works again."""

import threading

import pytest

from collector.watch import ticker as ticker_module
from collector.watch.ticker import Ticker
from fusebox import happenings
from tests.collector.test_watch_control import raw
from tests.fixtures.agents import eventually
from tests.fixtures.watch import Harness


def test_a_chore_that_raises_hinders_no_other_and_shows_until_it_works() -> None:
    before, broken, done = happenings.counts()["watch_chore_failed"], ["yes"], list[int]()

    def breaks() -> None:
        if broken:
            raise OSError("the disk is gone")

    ticker = Ticker({"looking": breaks, "counting": lambda: done.append(1)})
    ticker.start()
    eventually(lambda: len(done) >= 3)
    assert ticker.failing == {"looking": "OSError('the disk is gone')"}
    assert happenings.counts()["watch_chore_failed"] == before + 1
    broken.clear()
    eventually(lambda: not ticker.failing)
    ticker.stop()
    ticker.stop()


def test_a_chore_that_does_not_end_shows_until_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ticker_module, "STUCK_S", 0.1)
    ends = threading.Event()
    ticker = Ticker({"asking": lambda: ends.wait(30)})
    ticker.start()
    eventually(lambda: "under way" in ticker.failing.get("asking", ""))
    ends.set()
    eventually(lambda: not ticker.failing)
    ticker.stop()


def test_health_says_which_chore_fails(harness: Harness) -> None:
    chores = harness.watch._ticker._chores
    assert isinstance(chores, dict)

    def breaks() -> None:
        raise OSError("the disk is gone")

    chores["damage"] = breaks
    eventually(lambda: raw(harness.watch.url, "GET", "/healthz")[0] == 503)
    assert "damage: OSError" in str(raw(harness.watch.url, "GET", "/healthz")[1])
