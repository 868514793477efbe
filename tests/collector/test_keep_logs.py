"""Log records in the database: the exporter's table, and each record once whatever an attempt left behind."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from collector.keep import otlp_bytes
from collector.keep.batch import Batch
from collector.keep.deadletters import DeadLetters
from collector.keep.engine import Engine
from collector.keep.errors import EngineDown
from collector.keep.insert import Inserter
from collector.otlp import facts_of, logs_of, logs_payload
from collector.receive.repeats import hash_of, sealed
from collector.receive.stamp_logs import number, stamp_logs
from collector.tokens import Principal
from fusebox.clock import ManualClock
from tests.collector.clickhouse_standin import StandIn
from tests.collector.keep_bench import Bench
from tests.collector.otlp_samples import START_NS, log, logs_request
from tests.collector.prebuilt import database
from tests.collector.spans import Span, request

ANYBODY = Principal("local", "default", frozenset({"*"}))
COUNTS = "SELECT (SELECT count() FROM otel_logs), (SELECT count() FROM otel_traces)"
OF_AN_EARLIER_RELEASE = bytes.fromhex(
    "0ae0010a5e0a150a0c736572766963652e6e616d6512050a037376630a1c0a1166757365626f782e7072696e636970616c12070a056c6f63"
    "616c0a270a1066757365626f782e726563656976656412130a11313736303030303030302e303030303030127e127c0a1001010101010101"
    "010101010101010101120802020202020202022a04776f726b390000f323845bd7184100ca8d5f845bd7184a160a0f67656e5f61692e6167"
    "656e742e696412030a01614a110a046c69737412090a075b312c2278225d4a1b0a0e66757365626f782e74656e616e7412090a0764656661"
    "756c74d23e1052277998664476a3b4fa67c87ad45941"
)
"""A spool record written before there were logs."""


def record(*bodies: str, days_ago: int = 0) -> bytes:
    """A record as *receive* writes it."""
    start = START_NS - days_ago * 86_400 * 10**9
    message = logs_request(*(log(body, {"n": place}, time_unix_nano=start) for place, body in enumerate(bodies)))
    key = hash_of("local", message.SerializeToString(), 1)
    stamp_logs(message, ANYBODY, START_NS / 1e9)
    number(message, key)
    return sealed(logs_payload(message), key)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with Bench(tmp_path) as bench:
        yield bench


def test_the_exporters_columns_come_first_then_ours(bench: Bench) -> None:
    assert [row[0] for row in bench.rows("DESCRIBE TABLE otel_logs")] == [
        "Timestamp", "TimestampTime", "TraceId", "SpanId", "TraceFlags", "SeverityText", "SeverityNumber",
        "ServiceName", "Body", "ResourceSchemaUrl", "ResourceAttributes", "ScopeSchemaUrl", "ScopeName", "ScopeVersion",
        "ScopeAttributes", "LogAttributes", "EventName", "_batch", "_principal", "_received", "_id",
    ]  # fmt: skip


def test_spans_logs_and_records_of_an_earlier_release_go_in_together(bench: Bench) -> None:
    bench.store(record("a", "b"), OF_AN_EARLIER_RELEASE, request(Span(1)), record("c"))
    assert bench.rows(COUNTS) == [(3, 2)]
    assert bench.rows("SELECT Body, LogAttributes['n'], ServiceName, _principal FROM otel_logs ORDER BY Body") == [
        ("a", "0", "svc", "local"), ("b", "1", "svc", "local"), ("c", "0", "svc", "local"),
    ]  # fmt: skip
    assert bench.one("SELECT countIf(_id = '' OR mapContains(LogAttributes, 'fusebox.log.id')) FROM otel_logs") == 0
    assert bench.one("SELECT SpanAttributes['list'] FROM otel_traces WHERE SpanId = '0202020202020202'") == '[1,"x"]'


def test_watch_sees_no_spans_in_a_record_of_logs() -> None:
    assert list(facts_of(record("a"))) == []
    assert logs_of(OF_AN_EARLIER_RELEASE) == []
    assert [item.service for item in facts_of(OF_AN_EARLIER_RELEASE)] == ["svc"]


def test_equal_log_lines_are_kept_apart_and_a_retry_beyond_the_window_changes_nothing(bench: Bench) -> None:
    batch = bench.store(record("same", "same"), request(Span(1)))
    for table in ("otel_traces", "otel_logs", "agent_events"):
        bench.engine.writer().command(f"ALTER TABLE {table} MODIFY SETTING non_replicated_deduplication_window = 0")
    bench.inserter.write(bench.batch(*batch.payloads, retried=True, id=batch.id))
    assert bench.rows(COUNTS) == [(2, 1)]


def test_what_is_missing_is_written_and_nothing_else(bench: Bench) -> None:
    whole = (record("a", "b"), request(Span(1)), record("c", "d", days_ago=3))
    writer = bench.engine.writer()
    bench.inserter.write(bench.batch(*whole, id="b"))
    writer.command("ALTER TABLE otel_logs DELETE WHERE Body IN ('b', 'c') SETTINGS mutations_sync = 1")
    bench.inserter.write(bench.batch(*whole, retried=True, id="b"))
    assert [row[0] for row in bench.rows("SELECT Body FROM otel_logs ORDER BY Body")] == ["a", "b", "c", "d"]
    assert bench.rows(COUNTS) == [(4, 1)]


def test_only_the_bad_record_is_put_aside(bench: Bench) -> None:
    bad = b"\x12\x05\x12\x03\xff\xff\xff"
    assert otlp_bytes.framed(bad)
    bench.store(*(record(*(f"{n}-{i}" for i in range(5))) for n in range(6)), bad, request(Span(1)))
    assert bench.rows(COUNTS) == [(30, 1)]
    assert bench.rows("SELECT raw = unhex('12051203ffffff') FROM dead_letters") == [(True,)]


def test_halves_hold_the_same_records() -> None:
    parts = otlp_bytes.halves([record("a", "b", "c")])
    assert parts is not None
    scopes = [scope for half in parts for payload in half for rl in logs_of(payload) for scope in rl.scope_logs]
    assert [item.body.string_value for scope in scopes for item in scope.log_records] == ["a", "b", "c"]


@pytest.mark.parametrize("fault", ["refuse", "exception", "reset before", "reset after"])
def test_a_fault_of_the_server_loses_and_repeats_no_log(tmp_path: Path, fault: str) -> None:
    server = StandIn(database(tmp_path / "server"))
    engine = Engine(None, server.url)
    try:
        inserter = Inserter(engine, DeadLetters(engine, tmp_path / "dead", ManualClock()))
        batch = Batch("b1", 1, 2, START_NS, (record("a", "b"), request(Span(1))))
        server.fault = lambda statement: fault if "otlp_ingest" in statement else ""
        for _ in range(2):
            with contextlib.suppress(EngineDown):
                inserter.write(batch)
            batch = replace(batch, retried=True)
        server.fault = lambda statement: ""
        inserter.write(batch)
        assert [tuple(row) for row in engine.writer().query(COUNTS).result_rows] == [(2, 1)]
    finally:
        engine.close()
        server.close()
