"""Numbers of spans: which are missing, in watch and in the database, against a model that knows what was sent."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector import queries
from collector.otlp import facts_of
from collector.watch.sequences import GRACE_S, MAX_EMITTERS, MAX_HOLES, MEMORY_S, Sequences
from tests.collector.keep_bench import Bench
from tests.collector.spans import NOW, Span, request


def test_a_hole_is_a_loss_after_the_grace_and_is_forgotten_in_the_end() -> None:
    sequences = Sequences()
    for number in (1, 2, 5, 4):
        sequences.note("e", number, "bot", 0.0)
    assert sequences.lost(GRACE_S) == {}
    assert sequences.lost(GRACE_S + 1) == {"bot": 1}
    assert sequences.lost(MEMORY_S) == {"bot": 1}
    assert sequences.lost(MEMORY_S + 1) == {}


def test_who_is_met_in_the_middle_has_lost_nothing() -> None:
    sequences = Sequences()
    sequences.note("e", 5000, "bot", 0.0)
    sequences.note("e", 5001, "bot", 0.0)
    assert sequences.lost(GRACE_S + 1) == {}


def test_what_emitters_gave_up_is_counted_once() -> None:
    sequences = Sequences()
    for number, dropped in enumerate((0, 3, 3, 7, 5), 1):
        sequences.note("e", number, "bot", 0.0, dropped)
    assert sequences.dropped == 7


def test_memory_is_bounded_and_a_large_gap_is_one_lump() -> None:
    sequences = Sequences()
    for n in range(MAX_EMITTERS + 10):
        sequences.note(f"e{n}", 1, "bot", 0.0)
    sequences.note("e0", 1 + 10**15, "bot", 0.0)  # forgotten: met anew
    sequences.note(f"e{MAX_EMITTERS}", 1 + 10**15, "bot", 0.0)
    assert sequences.lost(GRACE_S + 1) == {"bot": 10**15 - 1}
    assert len(sequences._emitters) == MAX_EMITTERS


def test_no_numbers_that_anybody_claims_take_memory_or_time() -> None:
    """Gaps wherever there may be some: widely apart, every second number, from one emitter and from all."""
    sequences = Sequences()
    tracemalloc.start()
    sequences.note("filled", 1, "bot", 0.0)
    sequences.note("filled", 1_000_000, "bot", 0.0)
    for number in range(1, 20_000):
        sequences.note("wide", number * 5000, "bot", number / 10)
        sequences.note("dense", number * 2, "bot", number / 10)
        sequences.note("filled", number * 2, "bot", number / 10)
    for emitter in range(2000):
        for number in range(1, 100, 2):
            sequences.note(f"{emitter}" * 1000, number * 1000, "bot", 2000.0)
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert taken < 2000 * MAX_HOLES * 300
    assert sequences.lost(2000.0 + GRACE_S + 1)["bot"] > 1_000_000


def test_what_is_lumped_together_is_counted_and_forgotten() -> None:
    sequences = Sequences()
    for number in range(0, 1000, 2):
        sequences.note("e", number, "bot", float(number))
    assert sequences.lost(1000.0 + GRACE_S) == {"bot": 499}
    assert sequences.lost(1000.0 + MEMORY_S) == {}


@settings(max_examples=200)
@given(st.lists(st.integers(1, 60), min_size=1), st.randoms())
def test_losses_agree_with_a_model_whatever_the_order(numbers: list[int], random: Any) -> None:
    """The model: everything between the first number that went by and the highest, and not among those that did."""
    sequences = Sequences()
    for number in numbers:
        sequences.note("e", number, "bot", 0.0)
    expected = set(range(numbers[0], max(numbers))) - set(numbers)
    assert sequences.lost(GRACE_S + 1).get("bot", 0) == len(expected)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with Bench(tmp_path) as bench:
        yield bench


def numbered(*numbers: int, emitter: str = "e1", dropped: int = 0, principal: str = "local") -> bytes:
    told = {"fusebox.dropped": dropped} if dropped else {}
    spans = (Span(n, attributes={"fusebox.action": "tool_call", "fusebox.seq": n, **told}) for n in numbers)
    return request(*spans, principal=principal, resource={"service.instance.id": emitter})


def gaps(bench: Bench) -> list[tuple[Any, ...]]:
    rows = queries.run(bench.engine.reader(), "span_gaps", since=NOW - 10)
    return [(row["emitter"], row["stored"], row["highest"], row["missing"], row["dropped"]) for row in rows]


def test_the_database_knows_which_numbers_are_missing(bench: Bench) -> None:
    bench.store(numbered(1, 2, 5), numbered(*range(1, 50), emitter="e2"), request(Span(99)))
    bench.store(numbered(9, 8, dropped=2))
    assert gaps(bench) == [("e1", 5, 9, 4, 2)]
    found = queries.run(bench.engine.reader(), "gap_numbers", emitter="e1")
    assert [(row["first"], row["last"]) for row in found] == [(3, 4), (6, 7)]
    bench.store(numbered(3, 4, 6, 7))
    assert gaps(bench) == [("e1", 9, 9, 0, 2)]


def test_nobody_makes_the_spans_of_another_sender_seem_missing(bench: Bench) -> None:
    forged = numbered(1_000_001, principal="mallory")
    bench.store(numbered(1, 2), forged, numbered(3))
    assert sorted(gaps(bench)) == [("e1", 1, 1_000_001, 1_000_000, 0)], "its own gap, not the other's"
    (told,) = queries.run(bench.engine.reader(), "span_gaps", since=NOW - 10)
    assert told["principal"] == "mallory"
    assert queries.run(bench.engine.reader(), "gap_numbers", emitter="e1", principal="local") == []
    sequences = Sequences()
    for payload in (numbered(1, 2), forged, numbered(3)):
        for span in facts_of(payload):
            sequences.note(span.emitter, int(span.attributes["fusebox.seq"]), "bot", 0.0)
    assert sequences.lost(GRACE_S + 1) == {}


def test_a_batch_that_is_stored_again_changes_no_gap(bench: Bench) -> None:
    writer = bench.engine.writer()
    batch = bench.store(numbered(1, 3))
    for table in ("emitters", "otel_traces", "agent_events"):
        writer.command(f"ALTER TABLE {table} MODIFY SETTING non_replicated_deduplication_window = 0")
    bench.inserter.write(bench.batch(*batch.payloads, retried=True, id=batch.id))
    writer.command("TRUNCATE TABLE emitters")  # a view's target that a failure left empty
    bench.inserter.write(bench.batch(*batch.payloads, retried=True, id=batch.id))
    assert gaps(bench) == [("e1", 2, 3, 1, 0)]


@settings(max_examples=10)
@given(st.sets(st.integers(1, 200), min_size=1))
def test_ranges_agree_with_a_model(bench_of_module: Bench, numbers: set[int]) -> None:
    name = f"e{hash(frozenset(numbers))}"
    bench_of_module.store(numbered(*numbers, emitter=name))
    found = queries.run(bench_of_module.engine.reader(), "gap_numbers", emitter=name)
    missing = {n for row in found for n in range(row["first"], row["last"] + 1)}
    assert missing == set(range(1, max(numbers))) - numbers


@pytest.fixture(scope="module")
def bench_of_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with Bench(tmp_path_factory.mktemp("gaps")) as bench:
        yield bench
