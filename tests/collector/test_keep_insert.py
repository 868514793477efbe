"""Writing batches: what half-finished attempts left is completed, what is bad is put aside, dates do no harm."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from collector import queries, schema
from collector.keep import otlp_bytes
from collector.keep.engine import Engine
from collector.keep.errors import EngineDown, sorted_out
from collector.keep.targets import TARGETS
from fusebox.errors import ConfigError
from tests.collector.keep_bench import Bench
from tests.collector.spans import NOW, Span, Value, request

_COUNTS = "SELECT (SELECT count() FROM otel_traces), (SELECT count() FROM agent_events)"


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with Bench(tmp_path) as bench:
        yield bench


def test_the_released_layout_comes_first_then_ours(bench: Bench) -> None:
    columns = [row[0] for row in bench.rows("DESCRIBE TABLE otel_traces")]
    assert columns == [
        "Timestamp", "TraceId", "SpanId", "ParentSpanId", "TraceState", "SpanName", "SpanKind", "ServiceName",
        "ResourceAttributes", "ScopeName", "ScopeVersion", "SpanAttributes", "Duration", "StatusCode", "StatusMessage",
        "Events.Timestamp", "Events.Name", "Events.Attributes", "Links.TraceId", "Links.SpanId", "Links.TraceState",
        "Links.Attributes", "_batch", "_principal", "_received",
    ]  # fmt: skip


def test_a_span_is_stored_as_the_exporter_would(bench: Bench) -> None:
    attributes = {"s": "x", "i": 3, "d": 2.5, "b": True, "empty": "", "fusebox.action": "tool_call"}
    bench.store(request(Span(2, parent=1, kind=4, status=2, attributes=attributes, links=[(7, 8)]), received=NOW + 1))
    row = bench.rows("""SELECT TraceId, SpanId, ParentSpanId, SpanKind, StatusCode, Duration, ServiceName,
        SpanAttributes,
        ResourceAttributes, Links.TraceId, Links.SpanId, _batch, _principal, toUnixTimestamp64Micro(_received),
        toUnixTimestamp64Nano(Timestamp) FROM otel_traces""")[0]
    assert row == (
        f"{1:032x}", f"{2:016x}", f"{1:016x}", "Producer", "Error", 500_000_000, "helper",
        {"s": "x", "i": "3", "d": "2.5", "b": "true", "empty": "", "fusebox.action": "tool_call"},
        {"service.name": "helper"}, [f"{7:032x}"], [f"{8:016x}"], "batch-1", "local",
        int((NOW + 1) * 1e6), int(NOW * 1e9),
    )  # fmt: skip
    assert bench.rows("SELECT TraceId, Start <= End FROM otel_traces_trace_id_ts") == [(f"{1:032x}", True)]


def test_a_retry_within_the_window_changes_nothing(bench: Bench) -> None:
    batch = bench.store(request(Span(1), Span(2, start=NOW - 86_400)))
    bench.inserter.write(batch)
    bench.inserter.write(bench.batch(*batch.payloads, retried=True, id=batch.id))
    assert bench.rows(_COUNTS) == [(2, 2)]


def test_a_retry_beyond_the_window_changes_nothing(bench: Bench) -> None:
    batch = bench.store(request(Span(1), Span(2)))
    for table in ("otel_traces", "agent_events"):
        bench.engine.writer().command(f"ALTER TABLE {table} MODIFY SETTING non_replicated_deduplication_window = 0")
    bench.inserter.write(bench.batch(*batch.payloads, retried=True, id=batch.id))
    assert bench.rows(_COUNTS) == [(2, 2)]


def test_what_is_missing_in_the_source_is_written_and_nothing_else(bench: Bench) -> None:
    payloads = (request(Span(1), Span(2)), request(Span(3), Span(4)))
    bench.inserter.write(bench.batch(request(Span(1), Span(2)), request(Span(3)), id="b"))
    bench.inserter.write(bench.batch(*payloads, retried=True, id="b"))
    for table, column in (("otel_traces", "SpanId"), ("agent_events", "span_id")):
        assert [row[0] for row in bench.rows(f"SELECT {column} FROM {table} ORDER BY 1")] == [
            f"{n:016x}" for n in (1, 2, 3, 4)
        ]


def test_what_is_missing_in_a_views_target_is_written_and_nothing_else(bench: Bench) -> None:
    writer = bench.engine.writer()
    select = bench.one("SELECT as_select FROM system.tables WHERE name = 'agent_events_mv'")
    writer.command("DROP VIEW agent_events_mv")
    batch = bench.store(request(Span(1)), request(Span(2)))
    assert bench.rows(_COUNTS) == [(2, 0)]
    writer.command(f"CREATE MATERIALIZED VIEW agent_events_mv TO agent_events AS {select}")
    bench.store(request(Span(9)))
    bench.inserter.write(bench.batch(*batch.payloads, retried=True, id=batch.id))
    assert bench.rows("SELECT span_id, batch FROM agent_events ORDER BY span_id") == [
        (f"{1:016x}", batch.id), (f"{2:016x}", batch.id), (f"{9:016x}", "batch-2"),
    ]  # fmt: skip


@pytest.mark.parametrize("gone", [("otel_traces",), ("agent_events", "token_ledger"), ("otel_traces", "agent_events")])
def test_what_the_engine_remembers_and_does_not_have_is_written(bench: Bench, gone: tuple[str, ...]) -> None:
    """It notes a token before the part has its name: a disk that fails between leaves a token without rows."""
    call = {"gen_ai.operation.name": "chat", "gen_ai.usage.input_tokens": 7}
    batch = bench.store(request(Span(1, attributes=call), Span(2, attributes=call)), request(Span(3)))
    for _ in range(2):
        for table in gone:
            span = "SpanId" if table == "otel_traces" else "span_id"
            bench.engine.writer().command(
                f"ALTER TABLE {table} DELETE WHERE {span} != '{2:016x}' SETTINGS mutations_sync = 1"
            )
        bench.inserter.write(bench.batch(*batch.payloads, retried=True, id=batch.id))
        assert bench.rows(_COUNTS) == [(3, 3)]
        assert bench.rows("SELECT uniqExact(SpanId) FROM otel_traces") == [(3,)]
        assert bench.rows("SELECT uniqExact(span_id) FROM agent_events") == [(3,)]
        assert bench.rows("SELECT count(), uniqExact(span_id), sum(input_tokens) FROM token_ledger") == [(2, 2, 14)]
        assert bench.rows("SELECT sum(actions), sum(input_tokens) FROM agent_minutes") == [(3, 14)]


@pytest.mark.parametrize("code", [204, 1001])
def test_a_disk_that_fails_under_the_database_buries_nothing(code: int) -> None:
    """It cannot sync a part, or give it its name."""
    assert isinstance(sorted_out(DatabaseError("Input/output error", code=code)), EngineDown)


def test_a_view_of_somebody_else_that_fails_stops_nothing(bench: Bench) -> None:
    writer = bench.engine.writer()
    writer.command("CREATE TABLE broken (x UInt8) ENGINE = MergeTree ORDER BY x")
    writer.command("CREATE MATERIALIZED VIEW broken_mv TO broken AS SELECT throwIf(1) AS x FROM agent_events")
    bench.store(request(Span(1), Span(2)))
    assert bench.rows(_COUNTS) == [(2, 2)]
    assert bench.one("SELECT count() FROM dead_letters") == 0


def test_a_missing_table_is_the_engines_fault_and_buries_nothing(bench: Bench) -> None:
    bench.engine.writer().command("RENAME TABLE otlp_ingest TO away")
    batch = bench.batch(request(Span(1)))
    with pytest.raises(EngineDown, match="otlp_ingest"):
        bench.inserter.write(batch)
    bench.engine.writer().command("RENAME TABLE away TO otlp_ingest")
    bench.inserter.write(bench.batch(*batch.payloads, retried=True, id=batch.id))
    assert bench.rows(_COUNTS) == [(1, 1)]
    assert bench.one("SELECT count() FROM dead_letters") == 0


def test_of_a_large_batch_only_the_bad_record_is_put_aside(bench: Bench) -> None:
    good = [request(*(Span(100 * n + i) for i in range(20))) for n in range(1, 21)]
    bad = b"\x0a\x05\x0a\x03\xff\xff\xff"
    assert otlp_bytes.framed(bad)
    batch = bench.store(*good[:7], bad, *good[7:])
    assert bench.rows(_COUNTS) == [(400, 400)]
    assert bench.rows("SELECT batch, raw = unhex('0a050a03ffffff'), reason LIKE '%Code:%' FROM dead_letters") == [
        (batch.id, True, True)
    ]
    bench.inserter.write(bench.batch(*batch.payloads, retried=True, id=batch.id))
    assert bench.rows(_COUNTS) == [(400, 400)]
    assert bench.one("SELECT count() FROM dead_letters") == 1


def test_a_dead_letter_that_the_engine_remembers_and_does_not_have_is_written(bench: Bench) -> None:
    batch = bench.store(b"nonsense")
    bench.engine.writer().command("ALTER TABLE dead_letters DELETE WHERE 1 SETTINGS mutations_sync = 1")
    for _ in range(2):
        bench.inserter.write(bench.batch(*batch.payloads, retried=True, id=batch.id))
        assert bench.one("SELECT count() FROM dead_letters") == 1


def test_when_the_table_is_gone_a_dead_letter_becomes_a_file(bench: Bench) -> None:
    bench.engine.writer().command("DROP TABLE dead_letters")
    bench.store(b"nonsense")
    (file,) = bench.letters.iterdir()
    assert json.loads(file.read_text())["raw"] == "bm9uc2Vuc2U="
    assert file.stat().st_mode & 0o077 == 0


def test_a_truncated_record_does_not_swallow_its_neighbour(bench: Bench) -> None:
    whole = request(Span(1))
    bench.store(whole[:-3], request(Span(2)), request(Span(3)))
    assert [row[0] for row in bench.rows("SELECT SpanId FROM otel_traces ORDER BY SpanId")] == [
        f"{2:016x}",
        f"{3:016x}",
    ]


def test_a_thousand_dates_in_one_insert_make_few_partitions(bench: Bench) -> None:
    bench.store(request(*(Span(n, start=NOW - 86_400 * n) for n in range(1, 1001))))
    assert bench.rows(_COUNTS) == [(1000, 1000)]
    assert bench.one("SELECT uniqExact(partition) FROM system.parts WHERE table = 'otel_traces' AND active") <= 32
    assert bench.one("SELECT toUnixTimestamp64Nano(min(Timestamp)) FROM otel_traces") == int((NOW - 86_400_000) * 1e9)


@pytest.mark.parametrize("start_ns", [0, 1, 2**63 - 1, 2**63, 2**64 - 1])
def test_no_start_is_refused_and_the_original_is_kept(bench: Bench, start_ns: int) -> None:
    bench.store(request(Span(1, start_ns=start_ns, seconds=0)), request(Span(2)))
    stamp, original, seconds = bench.rows("""SELECT toUnixTimestamp64Nano(Timestamp),
        SpanAttributes['fusebox.start_time_unix_nano'], Duration FROM otel_traces WHERE SpanId = '0000000000000001'""")[
        0
    ]
    assert seconds == 0
    assert stamp == min(start_ns, 4_294_967_295_999_999_999)
    assert original == ("" if stamp == start_ns else str(start_ns))
    assert bench.rows(_COUNTS) == [(2, 2)]


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"gen_ai.usage.input_tokens": -5, "fusebox.cost.usd": "abc"}, (0, 0)),
        ({"gen_ai.usage.prompt_tokens": 7, "fusebox.cost.usd": "1e99"}, (7, 0)),
        ({"gen_ai.usage.input_tokens": "many", "fusebox.cost.usd": "-1"}, (0, 0)),
        ({"gen_ai.usage.input_tokens": 2.5, "fusebox.cost.usd": 0.25}, (0, 0.25)),
        ({"fusebox.request.hash": "zz", "fusebox.cost.usd": ""}, (0, 0)),
    ],
)
def test_attributes_of_wrong_types_cost_nothing_and_break_nothing(
    bench: Bench, attributes: dict[str, Value], expected: tuple[int, float]
) -> None:
    bench.store(request(Span(1, attributes={"gen_ai.operation.name": "chat", **attributes})))
    tokens, cost, hashed = bench.rows("SELECT input_tokens, cost_usd, request_hash FROM agent_events")[0]
    assert (tokens, float(cost), hashed) == (*expected, 0)


@pytest.mark.parametrize("mark", ["fusebox.usage.delegated", "fusebox.gateway.superseded"])
def test_a_call_that_two_spans_tell_is_one_action(bench: Bench, mark: str) -> None:
    chat = {"gen_ai.operation.name": "chat"}
    bench.store(request(Span(1, attributes={**chat, mark: True}), Span(2, attributes=chat)))
    assert bench.rows("SELECT span_id FROM agent_events") == [("0000000000000002",)]
    assert bench.rows("SELECT sum(actions) FROM agent_minutes") == [(1,)]
    assert bench.one("SELECT count() FROM otel_traces") == 2


def test_spans_that_were_just_stored_are_found_in_the_last_second_of_their_trace(bench: Bench) -> None:
    """The engine reads ``Timestamp < second`` as ``<= the second before`` and leaves out parts between the two."""
    trace, root = f"{1:032x}", f"{1:016x}"
    bench.engine.writer().command("SYSTEM STOP MERGES otel_traces")
    bench.store(request(Span(1, start=NOW + 0.1)))
    bench.store(request(Span(2, start=NOW + 0.4, parent=1)))
    client = bench.engine.reader()
    assert len(queries.run(client, "trace_spans", trace_id=trace)) == 2
    assert len(queries.run(client, "spans_below", spans=[f"{trace}:{root}"])) == 1
    assert len(queries.run(client, "span", trace_id=trace, span_id=f"{2:016x}")) == 1


@pytest.mark.parametrize(("kind", "code"), [("Client", "Error"), ("SPAN_KIND_CLIENT", "STATUS_CODE_ERROR")])
def test_rows_of_an_opentelemetry_collector_become_events_too(bench: Bench, kind: str, code: str) -> None:
    bench.engine.writer().command(f"""INSERT INTO otel_traces
        (Timestamp, TraceId, SpanId, SpanKind, ServiceName, SpanAttributes, Duration, StatusCode)
        VALUES ('2026-01-01', '0a', '0b', '{kind}', 'svc', map('gen_ai.operation.name', 'chat'), 5, '{code}')""")
    assert bench.rows("SELECT agent, action, ok FROM agent_events") == [("svc", "model_call", False)]


def test_the_schema_is_applied_once_and_strangers_are_refused(bench: Bench) -> None:
    writer = bench.engine.writer()
    schema.apply(writer)
    assert bench.one("SELECT count() FROM fusebox_schema") == len(schema.steps())
    writer.command("INSERT INTO fusebox_schema VALUES (9999, 'x', 'y', now())")
    with pytest.raises(ConfigError, match="upgrade"):
        schema.apply(writer)
    writer.command("DELETE FROM fusebox_schema WHERE number = 9999")
    writer.command("ALTER TABLE fusebox_schema UPDATE sha256 = 'x' WHERE number = 1 SETTINGS mutations_sync = 1")
    with pytest.raises(ConfigError, match=r"0001_otel_traces\.sql"):
        schema.apply(writer)


def test_an_engine_is_either_a_folder_or_a_server(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        Engine(None, None)
    with pytest.raises(EngineDown, match="clickhouse_url"):
        Engine(None, "http://127.0.0.1:9").writer()


def _break_the_view(bench: Bench, condition: str) -> str:
    """Make the view of events fail for some spans; the statement that it had."""
    select = str(bench.one("SELECT as_select FROM system.tables WHERE name = 'agent_events_mv'"))
    bench.engine.writer().command(f"ALTER TABLE agent_events_mv MODIFY QUERY {select} AND NOT throwIf({condition})")
    return select


def test_a_span_that_one_view_cannot_take_is_a_dead_letter_and_its_neighbours_are_not(bench: Bench) -> None:
    good = [request(*(Span(100 * n + i) for i in range(10))) for n in range(1, 11)]
    _break_the_view(bench, "SpanName = 'poison'")
    batch = bench.store(*good[:5], request(Span(7), Span(8, name="poison"), Span(9)), *good[5:])
    assert bench.rows(_COUNTS) == [(103, 102)]
    assert bench.rows("SELECT span_id FROM agent_events WHERE span_id = '0000000000000008'") == []
    ((id, reason, raw),) = bench.rows("SELECT batch, reason, hex(raw) FROM dead_letters")
    assert (id, reason.startswith("agent_events_mv: "), "395" in reason) == (batch.id, True, True)
    assert otlp_bytes.identities(bytes.fromhex(raw)) == [(f"{1:032x}", f"{8:016x}")]
    bench.inserter.write(bench.batch(*batch.payloads, retried=True, id=batch.id))
    assert bench.rows(_COUNTS) == [(103, 102)]
    assert bench.one("SELECT count() FROM dead_letters") == 1


@pytest.mark.parametrize(
    "damage",
    [
        "ALTER TABLE agent_events_mv MODIFY QUERY {} AND NOT throwIf(1)",
        "ALTER TABLE agent_events_mv MODIFY QUERY {} AND NOT throwIf(SpanName != '')",
        "RENAME TABLE agent_events TO away",
    ],
)
def test_a_view_that_fails_for_every_span_delays_the_batch_and_buries_nothing(
    bench: Bench, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("collector.keep.targets._MOST_REFUSED", 4)
    writer = bench.engine.writer()
    select = bench.one("SELECT as_select FROM system.tables WHERE name = 'agent_events_mv'")
    writer.command(damage.format(select))
    batch = bench.batch(*(request(*(Span(100 * n + i) for i in range(2))) for n in range(1, 4)))
    for retried in (False, True, True):
        with pytest.raises(EngineDown):
            bench.inserter.write(replace(batch, retried=retried))
    assert bench.one("SELECT count() FROM dead_letters") == 0
    if "RENAME" in damage:
        bench.engine.writer().command("RENAME TABLE away TO agent_events")
    else:
        bench.engine.writer().command(f"ALTER TABLE agent_events_mv MODIFY QUERY {select}")
    bench.inserter.write(replace(batch, retried=True))
    assert bench.rows(_COUNTS) == [(6, 6)]


def test_every_view_with_a_row_for_each_span_is_on_the_list(bench: Bench) -> None:
    views = bench.rows("""SELECT name, extract(create_table_query, ' TO [^.]+\\.([a-z_]+)') FROM system.tables
        WHERE engine = 'MaterializedView' AND create_table_query NOT LIKE '%FROM %otlp%ingest%'""")
    listed = {(target.view, target.rows.table) for target in TARGETS}
    united = {("otel_traces_trace_id_ts_mv", "otel_traces_trace_id_ts"), ("emitters_mv", "emitters")}
    summed = {("agent_minutes_mv", "agent_minutes")}
    from_the_journal = {("ledger_repricings_mv", "ledger_repricings")}
    assert set(views) - united - summed - from_the_journal == listed
