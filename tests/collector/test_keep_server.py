"""*keep* against a ClickHouse server (a stand-in): refusals, lost answers and cut connections cost no span."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from collector import schema
from collector.keep.batch import Batch
from collector.keep.deadletters import DeadLetters
from collector.keep.engine import Engine
from collector.keep.errors import EngineDown
from collector.keep.insert import Inserter
from fusebox.clock import ManualClock
from tests.collector.clickhouse_standin import StandIn
from tests.collector.spans import NOW, Span, request


@pytest.fixture
def server(tmp_path: Path) -> Iterator[StandIn]:
    server = StandIn(tmp_path / "server")
    yield server
    server.close()


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
