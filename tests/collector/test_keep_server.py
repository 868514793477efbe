"""*keep* against a ClickHouse server (a stand-in): refusals, lost answers and cut connections cost no span."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from collector import schema
from collector.keep.batch import Batch
from collector.keep.deadletters import DeadLetters
from collector.keep.engine import Engine
from collector.keep.errors import EngineDown
from collector.keep.insert import Inserter
from collector.keep.orders import answer_to, order_of
from fusebox.clock import ManualClock
from fusebox.rundir import write_atomic
from tests.collector.clickhouse_standin import StandIn
from tests.collector.keep_bench import Bench, replay_of
from tests.collector.prebuilt import database
from tests.collector.spans import NOW, Span, request


@pytest.fixture
def server(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[StandIn]:
    folder = tmp_path / "server"
    server = StandIn(folder if getattr(request, "param", "") == "empty" else database(folder))
    yield server
    server.close()


@pytest.fixture
def bench(server: StandIn, tmp_path: Path) -> Iterator[Bench]:
    with Bench(tmp_path, server.url) as bench:
        yield bench


@pytest.fixture
def inserter(server: StandIn, tmp_path: Path) -> Iterator[Inserter]:
    engine = Engine(None, server.url)
    schema.apply(engine.writer())
    yield Inserter(engine, DeadLetters(engine, tmp_path / "dead", ManualClock()))
    engine.close()


def _batch(retried: bool) -> Batch:
    payloads = (request(Span(1), Span(2, start=NOW - 86_400)), request(Span(3)))
    return Batch("b1", 1, 2, int(NOW * 1e9), payloads, retried)


def _counts(server: StandIn) -> tuple[int, ...]:
    return tuple(server.client.command(f"SELECT count() FROM {table}") for table in ("otel_traces", "agent_events"))


@pytest.mark.parametrize("server", ["empty"], indirect=True)
def test_the_same_statements_work_over_http(server: StandIn, inserter: Inserter) -> None:
    inserter.write(_batch(retried=False))
    assert _counts(server) == (3, 3)
    inserter.write(_batch(retried=True))
    assert _counts(server) == (3, 3)
    assert server.client.command("SELECT count() FROM dead_letters") == 0


@pytest.mark.parametrize("fault", ["refuse", "exception", "reset before", "reset after"])
def test_a_fault_of_the_server_loses_and_repeats_nothing(server: StandIn, inserter: Inserter, fault: str) -> None:
    server.fault = lambda statement: fault if "otlp_ingest" in statement else ""
    retried = False
    for _ in range(3):
        try:
            inserter.write(_batch(retried))
        except EngineDown:
            retried = True
    assert retried or _counts(server) == (3, 3)
    server.fault = lambda statement: ""
    inserter.write(_batch(retried))
    assert _counts(server) == (3, 3)
    assert server.client.command("SELECT count() FROM dead_letters") == 0


def test_a_server_that_is_away_is_told_apart_from_bad_data(server: StandIn, inserter: Inserter) -> None:
    server.fault = lambda statement: "refuse"
    with pytest.raises(EngineDown):
        inserter.write(_batch(retried=False))
    with pytest.raises(EngineDown):
        inserter.write(_batch(retried=True))
    server.fault = lambda statement: ""
    inserter.write(_batch(retried=True))
    assert _counts(server) == (3, 3)


def test_150_dates_in_a_batch_are_one_insert(server: StandIn, bench: Bench) -> None:
    inserts = []
    server.fault = lambda statement: inserts.append(statement) or "" if "otlp_ingest" in statement else ""  # type: ignore[func-returns-value]
    bench.store(request(*(Span(n, start=NOW - 86_400 * n) for n in range(1, 151))))
    assert len(inserts) == 1
    assert _counts(server) == (150, 150)


def test_poison_among_ten_thousand_spans_is_found_and_replayed_once_it_is_none(server: StandIn, bench: Bench) -> None:
    good = [request(*(Span(1000 * n + i) for i in range(500))) for n in range(1, 21)]
    nonsense, poison = b"\x0a\x05\x0a\x03\xff\xff\xff", request(Span(7, name="poison"))
    select = bench.one("SELECT as_select FROM system.tables WHERE name = 'agent_events_mv'")
    server.run(f"ALTER TABLE agent_events_mv MODIFY QUERY {select} AND NOT throwIf(SpanName = 'poison')")
    bench.store(*good[:7], nonsense, *good[7:15], poison, *good[15:])
    assert _counts(server) == (10_001, 10_000)
    assert bench.rows("SELECT count(), countIf(reason LIKE 'agent_events_mv: %') FROM dead_letters") == [(2, 1)]
    server.run(f"ALTER TABLE agent_events_mv MODIFY QUERY {select}")
    write_atomic(order_of(bench.letters, "1"), json.dumps({"reason": ""}))
    replay_of(bench).step()
    answer = json.loads(answer_to(bench.letters, "1").read_text())
    assert (answer["replayed"], answer["refused"]) == (1, 1)
    assert _counts(server) == (10_001, 10_001)
