"""The database is down for an hour of simulated time: the spool keeps what comes, and all is stored afterwards."""

from __future__ import annotations

import itertools
import resource
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from collector.keep.batch import Batches, BatchSettings, Promises
from collector.keep.deadletters import DeadLetters
from collector.keep.engine import Engine
from collector.keep.insert import Inserter
from collector.keep.keeper import Keeper
from collector.spool import Reader, Writer
from fusebox import happenings
from fusebox.clock import ManualClock
from tests.collector.clickhouse_standin import StandIn
from tests.collector.prebuilt import database
from tests.collector.spans import Span, request

_OUTAGE_S: Final = 3600
_SPANS_A_SECOND: Final = 5
_SPANS_A_SECOND_BY_MAKE_FAULTS: Final = 500


class Traffic:
    """One request a second, into the spool, as the simulated seconds go by."""

    def __init__(self, writer: Writer, clock: ManualClock, spans: int) -> None:
        self._writer, self._clock, self._spans = writer, clock, spans
        self._numbers = itertools.count(1)
        self._next = clock.now()
        self.sent = 0

    def wait(self, seconds: float) -> None:
        """What the keeper does instead of sleeping."""
        self._clock.advance(seconds)
        while self._next <= self._clock.now():
            self._next += 1
            numbers = itertools.islice(self._numbers, self._spans)
            self._writer.append(request(*(Span(n, start=self._clock.now()) for n in numbers)))
            self.sent += self._spans


@pytest.fixture
def server(tmp_path: Path) -> Iterator[StandIn]:
    server = StandIn(database(tmp_path / "server"))
    yield server
    server.close()


@pytest.mark.faults
@pytest.mark.timeout(1200)
def test_an_hour_without_a_database_costs_no_span(
    server: StandIn, tmp_path: Path, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    long = bool(request.config.getoption("--fault-cycles"))
    clock, engine = ManualClock(), Engine(None, server.url)
    writer = Writer(tmp_path / "spool", 4 << 30)
    traffic = Traffic(writer, clock, _SPANS_A_SECOND_BY_MAKE_FAULTS if long else _SPANS_A_SECOND)
    settings = BatchSettings()
    batches = Batches(Reader(tmp_path / "spool", "keep"), Promises(tmp_path), settings, clock)
    inserter = Inserter(engine, DeadLetters(engine, tmp_path / "dead", clock))
    keeper = Keeper(batches, inserter, clock, settings.linger, wait=traffic.wait)
    while traffic.sent == 0 or keeper.flow.last_stored == 0:
        keeper.turn()
    refused = itertools.count()
    server.fault = lambda statement: "refuse" if next(refused) >= 0 else ""
    delayed, down = happenings.counts()["keep_delayed"], clock.now()
    while clock.now() < down + _OUTAGE_S:
        keeper.turn()
    attempts = happenings.counts()["keep_delayed"] - delayed
    assert attempts == next(refused) > 100, "it never gave up"
    assert "does not answer" in keeper.trouble() or "503" in keeper.trouble(), "and said so"
    assert batches.lag() > traffic.sent * 100, "the spool holds the hour"
    server.fault = lambda statement: ""
    backlog, began = traffic.sent, time.monotonic()
    while batches.lag():
        keeper.turn()
    took = time.monotonic() - began
    for table, column in (("otel_traces", "SpanId"), ("agent_events", "span_id")):
        rows = engine.writer().query(f"SELECT count(), uniqExact({column}), max({column}) FROM {table}").result_rows
        assert rows == [(traffic.sent, traffic.sent, f"{traffic.sent:016x}")], table
    assert server.client.command("SELECT count() FROM dead_letters") == 0
    assert keeper.trouble() == ""
    with capsys.disabled():
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        print(
            f"\n{backlog} spans waited; {backlog / took:.0f} a second drained; {attempts} attempts; {memory} MiB here"
        )
    engine.close()
    writer.close()
