"""What a process says of kills that watch has not told it."""

import pytest

from breakers.latch import Latch
from rabbitmq.untold import MAX_KILLS, Untold


@pytest.fixture
def latch() -> Latch:
    latch = Latch()
    latch.kill("k1", "agent:bot")
    return latch


def test_a_watch_that_does_not_ask_is_told_nothing(latch: Latch) -> None:
    untold = Untold(latch, "default")
    assert untold.words(["bot"]) == {}
    untold.heard({"kills": {}})
    assert untold.words(["bot"]) == {}, "one of an earlier release would refuse the poll"
    untold.heard({"kills": {}, "asks": ["kills"]})
    assert untold.words(["bot"]) == {"kills": {"k1": "agent:bot"}, "more": 0}


def test_what_the_snapshot_names_and_what_stops_others_is_not_said(latch: Latch) -> None:
    for id, scope in {"k2": "agent:other", "k3": "tenant:another", "k4": "all", "k5": "tool:erp.pay"}.items():
        latch.kill(id, scope)
    untold = Untold(latch, "default")
    untold.heard({"kills": {"k4": "all"}, "asks": ["kills"]})
    assert untold.words(["bot"])["kills"] == {"k1": "agent:bot", "k5": "tool:erp.pay"}


def test_of_many_the_widest_and_oldest_are_named_and_the_others_counted() -> None:
    latch = Latch()
    for number in range(MAX_KILLS):
        latch.kill(f"n{number}", f"workflow:{number}")
    latch.kill("wide", "all")
    latch.kill("no id of ours", "all")
    untold = Untold(latch, "default")
    untold.heard({"kills": {}, "asks": ["kills"]})
    said = untold.words(["bot"])
    assert list(said["kills"]) == ["wide", *(f"n{number}" for number in range(MAX_KILLS - 1))]
    assert said["more"] == 2
