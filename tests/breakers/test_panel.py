"""The shipped rules against loops and honest work; the panel's own promises."""

import pickle
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice, pairwise
from random import Random

import pytest

from breakers.panel import Panel
from breakers.rules import load_rules
from fusebox.records import ActionKind, Event, Finding, Hop
from fusebox.registry import AgentEntry, Registry
from tests.breakers.traffic import BENIGN, LOOPS, START, bare_comments, event, refused, rogue_comments, same_call

SEEDS = range(25)
REGISTRY = Registry(agents={"steady": AgentEntry(owner="jo", periodic=frozenset({"heartbeat"}))})


def opens(panel: Panel, events: Iterable[Event]) -> Iterator[tuple[int, Finding]]:
    """The findings that open, and after how many events."""
    for number, one in enumerate(events, 1):
        found = panel.observe(one)
        if found and found.action == "open":
            yield number, found


def first_open(panel: Panel, events: Iterable[Event]) -> tuple[int, Finding] | None:
    return next(opens(panel, events), None)


@pytest.mark.parametrize("name", LOOPS)
def test_each_loop_is_stopped_in_time(name: str) -> None:
    traffic, latest = LOOPS[name]
    for seed in SEEDS:
        caught = first_open(Panel(load_rules()), list(islice(traffic(Random(seed)), latest)))
        assert caught, f"seed {seed}: not seen within {latest} events"


@pytest.mark.parametrize("name", BENIGN)
def test_honest_work_is_left_alone(name: str) -> None:
    for seed in SEEDS:
        caught = first_open(Panel(load_rules(), REGISTRY), list(BENIGN[name](Random(seed))))
        assert caught is None, f"seed {seed}: {caught}"


def test_at_most_five_comments_are_written_however_they_are_worded() -> None:
    for seed in range(50):
        events = list(islice(rogue_comments(Random(seed)), 60))
        number, found = first_open(Panel(load_rules()), events) or (60, None)
        comments = [f"{e.trace_id}:{e.span_id}" for e in events[:number] if e.operation == "tickets.comment"]
        assert len(comments) <= 5, f"seed {seed}: {len(comments)} comments"
        assert found
        assert found.spans == tuple(comments), "what repeated, and nothing that the agent did in between"
        assert found.repeated.startswith("tool_call tickets.comment")


def test_a_finding_carries_its_evidence() -> None:
    events = list(islice(bare_comments(Random(1)), 5))
    caught = first_open(Panel(load_rules()), events)
    assert caught
    number, found = caught
    assert found.agent == "worker"
    assert found.spans == tuple(f"{e.trace_id}:{e.span_id}" for e in events[:number])
    assert found.first_time == events[0].time
    assert found.time == events[number - 1].time
    assert "TICK-12" in found.reason


def test_a_loop_that_starts_again_after_a_resume_trips_again() -> None:
    panel, events = Panel(load_rules()), list(islice(same_call(Random(3)), 40))
    numbers = [n for n, _ in opens(panel, events)]
    assert numbers[0] >= 4
    assert len(numbers) >= 6
    assert all(later - earlier >= 4 for earlier, later in pairwise(numbers))


def test_forget_starts_anew() -> None:
    panel, events = Panel(load_rules()), list(islice(same_call(Random(3)), 6))
    assert not first_open(panel, events[:3])
    panel.forget("worker")
    assert not first_open(panel, events[3:])


def test_refused_actions_are_not_judged() -> None:
    panel = Panel(load_rules())
    assert not any(panel.observe(refused(e)) for e in islice(same_call(Random(3)), 50))


def test_consumed_messages_are_not_the_agents_doing() -> None:
    panel = Panel(load_rules())
    events = (replace(e, action=ActionKind.CONSUME) for e in islice(same_call(Random(3)), 2000))
    assert not any(panel.observe(e) for e in events)


def test_only_the_declared_operation_of_a_periodic_agent_is_exempt() -> None:
    panel = Panel(load_rules(), REGISTRY)
    events = [replace(e, agent="steady") for e in islice(same_call(Random(3)), 6)]
    assert first_open(panel, events)


def test_an_agent_in_its_own_lineage_is_a_ring_at_the_third_lap() -> None:
    panel = Panel(load_rules())
    one = event(START, "ticket.suggested", "", "x y z", None, action=ActionKind.PUBLISH)
    lap = (Hop("worker", one.request), Hop("bot", 5))
    assert panel.observe(replace(one, lineage=lap)) is None
    found = panel.observe(replace(one, lineage=lap * 2))
    assert found
    assert found.detector == "cycle"


def test_own_hop_at_the_end_of_the_lineage_is_not_counted_twice() -> None:
    one = event(START, "ticket.suggested", "", "x y z", None, action=ActionKind.PUBLISH)
    own = Hop("worker", one.request)
    assert Panel(load_rules()).observe(replace(one, lineage=(own, Hop("bot", 5), own))) is None


def test_a_flood_of_new_work_meets_the_rate_limit() -> None:
    panel = Panel(load_rules())
    events = [event(START + n / 100, f"op{n}", f"t{n}", n, f"r{n}") for n in range(1500)]
    number, found = first_open(panel, events) or (0, None)
    assert found
    assert found.detector == "rate"
    assert number == 1001


def test_a_budget_from_the_registry_is_enforced() -> None:
    registry = Registry(agents={"worker": AgentEntry(owner="jo", tokens_per_minute=1000)})
    calls = [
        event(START + n, "m", "", f"word{n * 'x'}", None, tokens=400, action=ActionKind.MODEL_CALL) for n in range(9)
    ]
    caught = first_open(Panel(load_rules(), registry), calls)
    assert caught
    assert caught[0] == 4
    assert caught[1].detector == "burn"
    assert first_open(Panel(load_rules()), calls) is None
    money = Registry(agents={"worker": AgentEntry(owner="jo", usd_per_minute=1.0)})
    caught = first_open(Panel(load_rules(), money), [replace(each, cost=0.4) for each in calls])
    assert caught
    assert (caught[0], caught[1].detector) == (4, "burn")


def test_ten_thousand_agents_are_remembered_and_no_more() -> None:
    panel = Panel(load_rules(), max_agents=50)
    for number in range(5000):
        panel.observe(event(START, "op", "t", "x", "y", agent=f"agent-{number}", trace=f"{number:032x}"))
    assert len(panel._agents) == 50
    assert len(pickle.dumps(panel._agents)) < 3_000_000, "detectors of the fleet are bounded too"


def test_judging_is_cheap() -> None:
    """Far above what it takes (about 10 µs), so that only an accident fails."""
    panel, events = Panel(load_rules()), [e for seed in range(40) for e in BENIGN["batch"](Random(seed))]
    started = time.perf_counter()
    for one in events:
        panel.observe(one)
    assert (time.perf_counter() - started) / len(events) < 200e-6
