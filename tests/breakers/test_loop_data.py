"""The loops benchmark: generators, scores, baselines; and the public data, where it lies beside the project."""

from __future__ import annotations

import pytest

from benchmarks.loop_data import later, loops, more, public, work
from benchmarks.loop_data.baselines import BASELINES, Cap, Identical, OpenHands
from benchmarks.loop_data.made import Generator, Kind, Maker
from benchmarks.loop_data.scoring import Share, baseline, ours, quantile, score_made, score_real, score_streams, total
from breakers.rules import load_rules
from collector.backtest.common import Happened, happened
from collector.backtest.replay import Replay
from fusebox.registry import AgentEntry, Registry

NOBODY = Registry()


def judged(events: list[Happened]) -> dict[tuple[str, str], Happened]:
    return ours(events, load_rules(), NOBODY)


@pytest.mark.parametrize("kind", [*loops.LOOPS, *more.LOOPS, *later.LOOPS], ids=lambda kind: kind.name)
def test_generated_loops_are_seen(kind: Kind) -> None:
    hard = {
        "stuck_browser": 0,
        "edit_and_test": 0,
        "paraphrase": 2,
        "critic": 4,
        "lost_ring": 4,
    }  # what cannot be told is not promised
    found = score_made([kind], 6, judged)[kind.name]
    assert sum(map(bool, found)) >= hard.get(kind.name, 5), found


def declared(events: list[Happened], kind: Kind) -> dict[tuple[str, str], Happened]:
    """Judged after the owners have said which operations repeat on purpose."""
    entry = AgentEntry(owner="jo", periodic=frozenset(kind.periodic))
    return ours(events, load_rules(), Registry(agents={one.event.agent: entry for one in events}))


@pytest.mark.parametrize("kind", [*work.WORK, *more.WORK, *later.WORK], ids=lambda kind: kind.name)
def test_generated_work_is_mostly_left_alone(kind: Kind) -> None:
    found = score_made([kind], 6, lambda events: declared(events, kind))[kind.name]
    assert sum(map(bool, found)) <= 1, found


@pytest.mark.parametrize("make", [loops.paraphrase, more.rephrased_search, later.edit_and_test])
def test_who_gets_no_further_in_other_words_or_with_other_edits_is_at_least_warned_of(make: Generator) -> None:
    for case in range(10):
        replay = Replay(load_rules(), NOBODY)
        assert any(map(replay.observe, map(happened, make(Maker(f"{make.__name__}/{case}"))))), case


def test_a_case_is_drawn_anew_and_can_be_drawn_again() -> None:
    one, again, other = (list(loops.long_ring(Maker(seed))) for seed in ("a", "a", "b"))
    assert one == again != other


def test_wilson_intervals_are_those_of_the_book() -> None:
    low, high = Share(9, 10).interval
    assert (round(low, 4), round(high, 4)) == (0.5958, 0.9821)
    assert Share(0, 0).value == 0
    assert total([Share(1, 2), Share(3, 4)]) == Share(4, 6)
    assert quantile([3, 1, 2], 0.5) == 2


def repeats(count: int, result: str, status: str = "ok") -> list[Happened]:
    row = {"agent": "a", "operation": "op", "payload": "same", "result_head": result, "status": status}
    return [happened(row | {"seq": n}) for n in range(count)]


@pytest.mark.parametrize(("times", "status"), [(4, "ok"), (3, "error")])
def test_openhands_rules(times: int, status: str) -> None:
    opened = baseline(repeats(9, "same", status), OpenHands)
    assert [one.seq for one in opened.values()] == [times - 1]


def test_identical_and_caps() -> None:
    assert [one.seq for one in baseline(repeats(9, "x"), lambda: Identical(3)).values()] == [2]
    assert [one.seq for one in baseline(repeats(9, "x"), lambda: Cap(5)).values()] == [5]
    assert set(BASELINES) == {"openhands", "identical-3", "identical-4", "cap-10", "cap-20", "cap-25"}


@pytest.mark.faults
def test_the_public_data_is_judged_as_the_figures_say() -> None:
    where = public.folder()
    if where is None:
        pytest.skip("the public loop data does not lie beside the project")
    data = public.load(where)
    real, streams = score_real(data, judged(data.real)), score_streams(data, judged(data.streams))
    assert real.recall["all"].value >= 0.95
    assert real.precision.value >= 0.98
    assert 1000 * real.false.value <= 1
    assert total(streams.recall.values()).value >= 0.98
    assert 1000 * streams.false.value <= 1
