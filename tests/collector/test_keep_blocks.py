"""A batch of more spans than pass the views at a time: one part in each table, whole or not at all, once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.collector.keep_bench import Bench
from tests.collector.spans import Span, request
from tests.collector.test_keep_insert import _COUNTS, _break_the_view

MANY: Final = 20_000
TABLES: Final = ("otel_traces", "agent_events")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with Bench(tmp_path) as bench:
        yield bench


def many(*odd: Span) -> tuple[bytes, ...]:
    """Payloads of so many spans; ``odd`` stand in the middle."""
    payloads = [request(*(Span(first + n) for n in range(1_000))) for first in range(1, MANY, 1_000)]
    return (*payloads[:12], *([request(*odd)] if odd else []), *payloads[12:])


def test_it_is_one_part_and_a_retry_changes_nothing(bench: Bench) -> None:
    batch = bench.store(*many())
    for table in TABLES:
        assert bench.rows(f"SELECT rows FROM system.parts WHERE active AND table = '{table}'") == [(MANY,)]
    bench.inserter.write(batch)
    bench.inserter.write(bench.batch(*batch.payloads, retried=True, id=batch.id))
    assert bench.rows(_COUNTS) == [(MANY, MANY)]
    for table in TABLES:  # what the window has forgotten
        bench.engine.writer().command(f"ALTER TABLE {table} MODIFY SETTING non_replicated_deduplication_window = 0")
    bench.inserter.write(bench.batch(*batch.payloads, retried=True, id=batch.id))
    assert bench.rows(_COUNTS) == [(MANY, MANY)]


def test_a_span_that_one_view_cannot_take_costs_none_of_the_others(bench: Bench) -> None:
    _break_the_view(bench, "SpanName = 'poison'")
    bench.store(*many(Span(MANY + 1), Span(MANY + 2, name="poison")))
    assert bench.rows(_COUNTS) == [(MANY + 2, MANY + 1)]
    assert bench.rows("SELECT count(), uniqExact(span_id) FROM agent_events") == [(MANY + 1, MANY + 1)]
    assert bench.one("SELECT count() FROM dead_letters") == 1
