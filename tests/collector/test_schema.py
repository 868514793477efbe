"""The schema: built once, drift named, retention kept, and a stock OpenTelemetry Collector's table read as it is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from collector import queries, schema
from collector.keep.engine import Engine
from collector.questions import ASKED
from collector.schema import drift, retention
from collector.schema.build import build
from collector.verbs.schema import verb
from fusebox.cli import main
from fusebox.config import Config
from fusebox.errors import ConfigError
from tests.collector.clickhouse_standin import StandIn
from tests.collector.keep_bench import Bench
from tests.collector.spans import Span, request

CONFIG = Config(spans_keep_days=30, audit_keep_days=400)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with Bench(tmp_path) as bench:
        build(bench.engine.writer(), CONFIG)
        yield bench


def names(bench: Bench) -> dict[str, str]:
    return {each.name: each.kind for each in drift.drift(bench.engine.reader())}


def test_a_fresh_database_has_no_drift_and_building_again_changes_nothing(bench: Bench) -> None:
    assert drift.drift(bench.engine.reader()) == []
    count = bench.one("SELECT count() FROM fusebox_schema_shapes")
    assert count == len(drift.objects()) == len(set(drift.objects()))
    build(bench.engine.writer(), CONFIG)
    assert bench.one("SELECT count() FROM fusebox_schema_shapes") == count


def test_drift_is_named_object_by_object_and_is_not_taken_for_ours(bench: Bench) -> None:
    writer = bench.engine.writer()
    writer.command("ALTER TABLE agent_events ADD COLUMN mine UInt8")
    writer.command("DROP VIEW token_costs")
    writer.command("ALTER TABLE fusebox_schema UPDATE sha256 = 'x' WHERE number = 3 SETTINGS mutations_sync = 1")
    writer.command("INSERT INTO fusebox_schema VALUES (9999, '9999_x.sql', 'y', now())")
    expected = {"agent_events": "changed", "token_costs": "missing", "0003_audit_log.sql": "step", "9999": "step"}
    assert names(bench) == expected
    changed = next(each for each in drift.drift(writer) if each.name == "agent_events")
    assert "+ " in changed.detail
    assert "mine" in changed.detail
    assert len(changed.detail) < 200
    drift.record(writer, leave={"agent_events"})
    assert names(bench) == expected


class Dying:
    """A client whose process dies before a statement."""

    def __init__(self, client: Client, last: str) -> None:
        self._client, self._last = client, last

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def command(self, statement: str, **more: Any) -> Any:
        if self._last in statement:
            raise ChildProcessError(statement)
        return self._client.command(statement, **more)


@pytest.mark.parametrize(
    ("last", "days"),
    [("agent_events MODIFY SETTING", 30), ("INSERT INTO fusebox_schema ", 30), ("token_ledger MODIFY TTL", 60)],
)
def test_what_a_start_that_died_has_altered_is_no_drift_and_what_a_person_did_still_is(
    bench: Bench, last: str, days: int
) -> None:
    writer, config = bench.engine.writer(), Config(spans_keep_days=days, audit_keep_days=400 + days)
    for table in ("otel_traces", "agent_events", "token_ledger"):
        writer.command(f"ALTER TABLE {table} RESET SETTING merge_selector_base")
    writer.command("DELETE FROM fusebox_schema WHERE number = 32")
    drift.record(writer)
    writer.command("ALTER TABLE otel_logs ADD COLUMN mine UInt8")
    with pytest.raises(ChildProcessError):
        build(Dying(writer, last), config)  # type: ignore[arg-type]
    build(writer, config)
    assert names(bench) == {"otel_logs": "changed"}


def test_a_step_of_this_release_that_is_not_applied_is_named(bench: Bench) -> None:
    bench.engine.writer().command("DELETE FROM fusebox_schema WHERE number = 7")
    assert names(bench) == {"0007_token_ledger.sql": "step"}


def test_old_rows_go_and_the_audit_stays_longer(bench: Bench) -> None:
    now = datetime.now(UTC)
    for days in (0, 35):
        received = (now - timedelta(days=days)).timestamp()
        bench.store(request(Span(days + 1, start=received), received=received))
        bench.engine.writer().insert("audit_log", [[days, now - timedelta(days=days)]], column_names=["seq", "time"])
    for table in ("otel_traces", "agent_events", "audit_log", "otel_traces_trace_id_ts"):
        bench.engine.writer().command(f"OPTIMIZE TABLE {table} FINAL")
    lengths = [bench.one(f"SELECT count() FROM {table}") for table in ("otel_traces", "agent_events", "audit_log")]
    assert lengths == [1, 1, 2]
    assert bench.one("SELECT count() FROM otel_traces_trace_id_ts") == 1
    assert bench.one("SELECT SpanId FROM otel_traces") == f"{1:016x}"


def test_old_spans_that_come_late_are_found_as_long_as_they_are_there(bench: Bench) -> None:
    now = datetime.now(UTC).timestamp()
    for times in ([0.0], [now - 200 * 86_400], [now - 100 * 86_400, now]):
        spans = (Span(n, trace_id=int(times[0]) + 1, start=start) for n, start in enumerate(times, 1))
        batch = bench.store(request(*spans, received=now))
        bench.inserter.write(replace(batch, retried=True))
    bench.engine.writer().command("OPTIMIZE TABLE otel_traces_trace_id_ts FINAL")
    for first, count in ((0.0, 1), (now - 200 * 86_400, 1), (now - 100 * 86_400, 2)):
        rows = queries.run(bench.engine.reader(), "trace_spans", trace_id=f"{int(first) + 1:032x}")
        assert len(rows) == count


def test_every_table_of_rows_has_its_retention(bench: Bench) -> None:
    rows = bench.rows("""SELECT name, engine_full FROM system.tables WHERE engine LIKE '%MergeTree'
        AND database = currentDatabase() AND NOT startsWith(name, 'fusebox_')""")
    assert {name for name, _ in rows} <= {*retention.SPANS, *retention.AUDIT, *retention.COPIES}
    for name, engine in rows:
        if name in retention.COPIES:
            assert "TTL" not in engine, "the journal says when its rows go"
        else:
            assert f"toIntervalDay({400 if name in retention.AUDIT else 30})" in engine, name


def test_for_ever_takes_the_retention_away(bench: Bench) -> None:
    build(bench.engine.writer(), Config(spans_keep_days=0, audit_keep_days=0))
    assert bench.one("SELECT countIf(position(engine_full, 'TTL') > 0) FROM system.tables") == 0
    assert drift.drift(bench.engine.reader()) == []


@pytest.mark.parametrize(("spans", "audit"), [(30, 30), (0, 30), (31, 30)])
def test_an_audit_that_goes_before_the_spans_is_refused(bench: Bench, spans: int, audit: int) -> None:
    with pytest.raises(ConfigError, match="must outlive"):
        build(bench.engine.writer(), Config(spans_keep_days=spans, audit_keep_days=audit))


STOCK_TABLE = """
CREATE TABLE otel_traces (Timestamp DateTime64(9), TraceId String, SpanId String, ParentSpanId String,
    TraceState String, SpanName LowCardinality(String), SpanKind LowCardinality(String),
    ServiceName LowCardinality(String), ResourceAttributes Map(LowCardinality(String), String), ScopeName String,
    ScopeVersion String, SpanAttributes Map(LowCardinality(String), String), Duration {duration},
    StatusCode LowCardinality(String), StatusMessage String,
    Events Nested(Timestamp DateTime64(9), Name LowCardinality(String), Attributes Map(LowCardinality(String), String)),
    Links Nested(TraceId String, SpanId String, TraceState String, Attributes Map(LowCardinality(String), String)))
ENGINE = MergeTree PARTITION BY toDate(Timestamp) ORDER BY (ServiceName, SpanName, toDateTime(Timestamp))
"""
STOCK_ROWS = """
INSERT INTO otel_traces (Timestamp, TraceId, SpanId, ParentSpanId, SpanKind, ServiceName, SpanAttributes, Duration,
    StatusCode) VALUES
('2026-01-01 00:00:00', 'a', '1', '', 'SPAN_KIND_CLIENT', 'svc', map('gen_ai.operation.name', 'chat',
    'gen_ai.system', 'openai', 'gen_ai.request.model', 'm', 'gen_ai.usage.prompt_tokens', '7',
    'gen_ai.usage.completion_tokens', '3'), 5, 'STATUS_CODE_ERROR'),
('2026-01-01 00:00:01', 'a', '2', '1', 'Client', 'svc', map('gen_ai.operation.name', 'chat',
    'gen_ai.provider.name', 'openai', 'gen_ai.request.model', 'm', 'gen_ai.usage.input_tokens', '7',
    'gen_ai.usage.output_tokens', '3'), 5, 'Ok')
"""


FOREIGN_ROWS = """
INSERT INTO otel_traces (Timestamp, TraceId, SpanId, SpanKind, ServiceName, SpanAttributes, Duration) VALUES
('2026-01-01 00:00:00', 'a', '1', 'Client', 'svc', map('openinference.span.kind', 'LLM', 'llm.model_name', 'm1',
    'llm.provider', 'openai', 'llm.token_count.prompt', '7', 'llm.token_count.completion', '3'), 5),
('2026-01-01 00:00:01', 'a', '2', 'Client', 'svc', map('traceloop.span.kind', 'workflow', 'llm.request.type',
    'completion', 'gen_ai.request.model', 'm2', 'gen_ai.usage.prompt_tokens', '5'), 5),
('2026-01-01 00:00:02', 'a', '3', 'Client', 'svc', map('openinference.span.kind', 'EMBEDDING',
    'gen_ai.request.model', 'm3', 'llm.model_name', 'other', 'llm.token_count.prompt', '2'), 5),
('2026-01-01 00:00:03', 'a', '4', 'Internal', 'svc', map('traceloop.span.kind', 'tool', 'traceloop.entity.name',
    'lookup'), 5),
('2026-01-01 00:00:04', 'a', '5', 'Internal', 'svc', map('openinference.span.kind', 'CHAIN'), 5),
('2026-01-01 00:00:05', 'a', '6', 'Client', 'svc', map('gen_ai.system', 'openai', 'gen_ai.request.model', 'm4',
    'gen_ai.usage.prompt_tokens', '6'), 5),
('2026-01-01 00:00:05', 'a', '8', 'Client', 'svc', map('gen_ai.operation.name', 'chat', 'gen_ai.request.model', 'm5',
    'gen_ai.usage.output_tokens', '6', 'gen_ai.usage.reasoning_tokens', '4'), 5),
('2026-01-01 00:00:06', 'a', '7', 'Internal', 'svc', map('gen_ai.system', 'openai', 'gen_ai.request.model', 'm4',
    'gen_ai.tool.name', 'lookup'), 5)
"""


def test_a_stock_table_in_other_words_answers_as_one_in_the_conventions(tmp_path: Path) -> None:
    engine = Engine(tmp_path / "clickhouse")
    engine.writer().command(STOCK_TABLE.format(duration="UInt64"))
    engine.writer().command(FOREIGN_ROWS)
    rows = queries.run(engine.reader(), "ledger_rows", since=0.0)
    told = ("operation", "provider", "model", "input_tokens", "output_tokens")
    assert [tuple(row[name] for name in told) for row in rows] == [
        ("chat", "openai", "m1", 7, 3), ("text_completion", "", "m2", 5, 0), ("embeddings", "", "m3", 2, 0),
        ("chat", "openai", "m4", 6, 0), ("chat", "", "m5", 0, 6),
    ]  # fmt: skip
    assert [row["reasoning_tokens"] for row in rows] == [0, 0, 0, 0, 4]
    activity = queries.run(engine.reader(), "agent_activity", since=0.0)[0]
    assert (activity["actions"], activity["input_tokens"]) == (6, 20)
    engine.close()


@pytest.mark.parametrize("duration", ["UInt64", "Int64"])
def test_a_stock_table_answers_the_named_queries_and_is_only_read(tmp_path: Path, duration: str) -> None:
    engine = Engine(tmp_path / "clickhouse")
    engine.writer().command(STOCK_TABLE.format(duration=duration))
    engine.writer().command(STOCK_ROWS)
    client = engine.reader()
    rows = queries.run(client, "ledger_rows", since=0.0)
    told = ("model", "provider", "outcome", "input_tokens", "output_tokens")
    assert [[row[name] for name in told] for row in rows] == [["m", "openai", state, 7, 3] for state in ("error", "ok")]
    assert {row["price"] for row in rows} == {"unpriced"}
    assert queries.run(client, "ledger_totals", since=0.0)[0]["unpriced_tokens"] == 20
    activity = queries.run(client, "agent_activity", since=0.0)[0]
    assert (activity["agent"], activity["actions"], activity["errors"], activity["input_tokens"]) == ("svc", 2, 1, 14)
    examples = {"since": 0.0, "spans": ["x:y"], "agent": "a", "span_id": "a", "trace_id": "b", "message_id": "m",
                "emitter": "e", "since_ns": 0, "until_ns": 1, "row": "r", "traces": ["t"], "subjects": ["s"],
                "until": 1.0, "writer": "w", "first": 0, "below": 1, "approvals": ["apr_1"]}  # fmt: skip
    missing = set()
    for name, query in queries.QUERIES.items():
        try:
            queries.run(client, name, **{key: examples[key] for key in query.parameters - set(query.defaults)})
        except queries.KeepUnavailable:
            missing.add(name)
    of_ours = {"agent_scores", "dead_letters_by_reason", "span_gaps", "gap_numbers", "freshness", "canary",
               "policy_decisions"}  # fmt: skip
    assert {name for name in missing if not name.startswith("audit")} == of_ours | set(ASKED)
    assert [row[0] for row in client.query("SHOW TABLES").result_rows] == ["otel_traces"]
    assert drift.exporter_columns(client) == []
    engine.close()


class TestVerb:
    @pytest.fixture(autouse=True)
    def here(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("FUSEBOX_DATA_DIR", str(tmp_path / "data"))

    def test_print_shows_every_statement(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["schema", "print"]) == 0
        text = capsys.readouterr().out
        assert all(f"CREATE {kind} IF NOT EXISTS" in text for kind in ("TABLE", "VIEW", "MATERIALIZED VIEW"))
        assert all(step.sha256 in text for step in schema.steps())
        assert main(["schema", "print", "--step", "77"]) == 2
        assert "there is no step 77" in capsys.readouterr().err

    def test_apply_then_check_on_this_folder(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["schema", "check"]) == 2
        assert "there is no database" in capsys.readouterr().err
        assert main(["schema", "apply"]) == 0
        assert "applied 0007_token_ledger.sql" in capsys.readouterr().out
        assert main(["schema", "apply"]) == 0
        assert "nothing to do" in capsys.readouterr().out
        assert main(["schema", "check", "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == {"database": "fusebox", "missing_columns": [], "drift": []}

    def test_check_over_http_tells_stock_from_ours_and_names_what_lacks(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        server = StandIn(tmp_path / "server")
        try:
            assert main(["schema", "check", "--url", server.url, "--json"]) == 1
            found = json.loads(capsys.readouterr().out)
            assert (found["database"], len(found["missing_columns"])) == ("neither", 22)
            server.client.command(STOCK_TABLE.format(duration="UInt64"))
            assert main(["schema", "check", "--url", server.url]) == 0
            assert "reads it, and writes nothing" in capsys.readouterr().out
            server.client.command("ALTER TABLE otel_traces DROP COLUMN StatusCode")
            assert main(["schema", "check", "--url", server.url]) == 1
            assert ": StatusCode\n" in capsys.readouterr().out
            server.client.command("ALTER TABLE otel_traces ADD COLUMN StatusCode Int32")
            assert main(["schema", "check", "--url", server.url]) == 1
            assert ": StatusCode (Int32)\n" in capsys.readouterr().out
        finally:
            server.close()

    def test_nothing_is_built_into_a_database_of_others(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        server = StandIn(tmp_path / "server")
        try:
            server.client.command(STOCK_TABLE.format(duration="UInt64"))
            monkeypatch.setenv("FUSEBOX_CLICKHOUSE_URL", server.url)
            assert main(["schema", "apply"]) == 2
            assert "that Fusebox has not built" in capsys.readouterr().err
            assert [row[0] for row in server.client.query("SHOW TABLES").result_rows] == ["otel_traces"]
        finally:
            server.close()

    def test_the_stock_view_can_be_printed(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["schema", "print", "--view", "agent_events"]) == 0
        assert "FROM otel_traces) AS otel_traces" in capsys.readouterr().out
        assert verb.help
