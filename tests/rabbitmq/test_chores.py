"""What the runtime does for its agents, over and over."""

from fusebox import happenings
from fusebox.clock import ManualClock
from rabbitmq.chores import Chores


def test_what_goes_on_failing_is_told_once_a_minute_and_hinders_no_other(clock: ManualClock) -> None:
    chores, done = Chores(clock), 0

    def fail() -> None:
        raise ConnectionError("no broker")

    def work() -> None:
        nonlocal done
        done += 1

    before = happenings.counts()["tick_failed"]
    for _ in range(1200):
        chores.do("a", fail)
        chores.do("b", work)
        clock.advance(0.1)
    assert done == 1200
    assert happenings.counts()["tick_failed"] == before + 2
    chores.do("c", fail)
    assert happenings.counts()["tick_failed"] == before + 3, "of each agent"


def test_another_failure_is_told_at_once(clock: ManualClock) -> None:
    chores, errors = Chores(clock), iter([OSError("one"), OSError("two"), OSError("two")])

    def fail() -> None:
        raise next(errors)

    before = happenings.counts()["tick_failed"]
    for _ in range(3):
        chores.do("a", fail)
    assert happenings.counts()["tick_failed"] == before + 2
