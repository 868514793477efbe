"""``fusebox backtest``: events in the common form, and history from ClickHouse."""

from __future__ import annotations

import argparse
import gzip
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from clickhouse_connect.driver.client import Client

from breakers.panel import Panel
from breakers.rules import load_rules
from collector.backtest.common import HINDSIGHT, EventsError, event, read
from collector.backtest.history import facts, history
from collector.backtest.replay import Replay
from collector.backtest.window import moment
from collector.otlp import facts_of
from collector.verbs.backtest import verb
from fusebox import names
from fusebox.config import Config
from fusebox.errors import ConfigError
from fusebox.eventmap import event_of
from fusebox.records import ActionKind
from fusebox.registry import Registry
from tests.collector.keep_bench import Bench
from tests.collector.spans import NOW, Span, request

TRIP = {"stream", "session", "agent", "trace", "seq", "detector", "action", "reason"}


def row(seq: int, **changes: Any) -> dict[str, Any]:
    """One event that asks the same and gets the same."""
    return {
        "ts": 1e9 + 7 * seq + seq * seq / 9, "seq": seq, "agent": "bot", "operation": "search", "target": "fs",
        "payload": "a b", "payload_len": 3, "result_head": "no such file", "result_len": 12, "status": "ok",
        "input_tokens": 100 + 40 * seq, "output_tokens": 7, "cost_usd": 0.01, "latency_ms": 30,
    } | changes  # fmt: skip


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    text = "".join(json.dumps(each) + "\n" for each in rows)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return path


def backtest(folder: Path, *arguments: str) -> list[dict[str, Any]]:
    """Run the verb; the lines of the trips file."""
    parser = argparse.ArgumentParser()
    verb.configure(parser)
    out = folder / "trips.jsonl"
    assert verb.run(parser.parse_args([*arguments, "--trips", str(out)]), Config(data_dir=folder)) == 0
    return [json.loads(line) for line in out.read_text().splitlines()]


@pytest.mark.parametrize("name", ["events.jsonl", "events.jsonl.gz"])
def test_a_loop_trips_once_and_what_follows_is_denied(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(tmp_path / name, [row(n, stream="s1", session="x", trace="t") for n in range(10)])
    trips = backtest(tmp_path, "--events", str(file), "--json")
    assert [(t["action"], t["seq"]) for t in trips] == [("warn", 2), ("open", 3)]
    assert all(set(t) == TRIP for t in trips)
    assert {(t["stream"], t["session"], t["agent"], t["trace"], t["detector"]) for t in trips} == {
        ("s1", "x", "bot", "t", "repetition")
    }
    (summary,) = json.loads(capsys.readouterr().out).values()
    assert summary["saved"]["events"] == 6
    assert summary["saved"]["tokens"] == sum(100 + 40 * n + 7 for n in range(4, 10))
    assert summary["saved"]["usd"] == pytest.approx(0.06)
    assert (summary["events"], summary["opens"], summary["warnings"], summary["good_work_cut"]) == (10, 1, 1, 0)


def test_sessions_know_nothing_of_each_other_and_interleave(tmp_path: Path) -> None:
    rows = [row(n, session=name) for n in range(3) for name in "abcdef"]
    assert [t["action"] for t in backtest(tmp_path, "--events", str(written(tmp_path / "e", rows)))] == ["warn"] * 6
    rows += [row(3, session="d")]
    trips = backtest(tmp_path, "--events", str(written(tmp_path / "e", rows)))
    assert [(t["session"], t["seq"]) for t in trips if t["action"] == "open"] == [("d", 3)]


def test_hindsight_changes_nothing(tmp_path: Path) -> None:
    plain = [row(n) for n in range(6)]
    told = [each | dict.fromkeys(HINDSIGHT, "loop") for each in plain]
    assert backtest(tmp_path, "--events", str(written(tmp_path / "a", plain))) == backtest(
        tmp_path, "--events", str(written(tmp_path / "b", told))
    )


def test_two_fields_are_enough_and_a_bad_line_is_named(tmp_path: Path) -> None:
    (found,) = read(written(tmp_path / "a", [{"agent": "a", "operation": "op"}]))
    assert (found.event.agent, found.event.action, found.seq, found.stream) == ("a", ActionKind.TOOL_CALL, None, None)
    with pytest.raises(EventsError, match=r"a:2: the event has no 'agent'"):
        list(read(written(tmp_path / "a", [row(0), {"operation": "op"}])))
    (tmp_path / "a").write_text("[1]\n")
    with pytest.raises(EventsError, match="a:1: no event"):
        list(read(tmp_path / "a"))
    with pytest.raises(EventsError, match="nowhere"):
        list(read(tmp_path / "nowhere"))


def test_events_without_content_are_counted(tmp_path: Path) -> None:
    replay = Replay(load_rules(), Registry())
    for one in read(written(tmp_path / "e", [row(n) for n in range(2)])):
        replay.observe(replace(one, event=replace(one.event, request=0)))
    assert replay.summary()["without_content"] == 2


def test_declared_operations_are_not_judged_as_loops(tmp_path: Path) -> None:
    agents = tmp_path / "agents.toml"
    agents.write_text('[agents.bot]\nowner = "jo"\nperiodic = ["search"]\n')
    file = written(tmp_path / "e", [row(n) for n in range(30)])
    assert backtest(tmp_path, "--events", str(file))
    assert backtest(tmp_path, "--events", str(file), "--agents", str(agents)) == []


def test_two_rule_files_side_by_side_a_page_and_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lax = tmp_path / "lax.toml"
    lax.write_text("[repetition]\nopen = 8\nstale = 9\n")
    file = written(tmp_path / "e", [row(n, agent="<b>bot") for n in range(12)])
    page = tmp_path / "trips.html"
    backtest(tmp_path, "--events", str(file), "--compare", str(lax), "--html", str(page))
    table = capsys.readouterr().out
    assert "would have opened" in table
    assert str(lax) in table
    assert "8 events, " in table
    assert page.read_text().count("<svg") == 2
    assert "<b>bot" not in page.read_text()
    backtest(tmp_path, "--events", str(file), "--compare", str(lax), "--json")
    saved = [each["saved"]["events"] for each in json.loads(capsys.readouterr().out).values()]
    assert saved == [8, 4]


def test_files_and_times_exclude_each_other_and_times_are_checked(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="one or the other"):
        backtest(tmp_path, "--events", "x", "--since", "24h")
    assert moment("24h", 1e9) == 1e9 - 86400
    assert moment("2001-09-09T01:46:40Z", 0) == moment("2001-09-09T01:46:40", 0) == 1e9
    with pytest.raises(ConfigError, match="is no time"):
        moment("yesterday", 0)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"operation": "chat", "target": "peer", "result_len": 0, "result_head": ""}, (ActionKind.PUBLISH, False)),
        ({"operation": "llm_call", "target": "model"}, (ActionKind.MODEL_CALL, True)),
        ({"operation": "execute_bash", "result_len": 0, "result_head": ""}, (ActionKind.TOOL_CALL, True)),
    ],
)
def test_what_was_done_is_read_from_operation_and_result(
    changes: dict[str, Any], expected: tuple[object, bool]
) -> None:
    found = event(row(0, **changes))
    assert (found.action, found.result != 0) == expected


def test_of_a_cut_payload_the_rest_counts_too() -> None:
    one, other = (event(row(0, payload="x" * 240, payload_len=n, payload_sha=str(n))) for n in (900, 2000))
    assert one.request != other.request
    assert one.request_exact != other.request_exact


# --- history ----------------------------------------------------------------------------------------------------------
def _spans() -> list[Span]:
    """A loop of one agent, captured as other people's instrumentation does, and a model call with tokens."""
    asked = {
        "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search", "gen_ai.agent.id": "bot",
        "gen_ai.tool.call.arguments": '{"q": "late parcels"}', "gen_ai.tool.call.result": "no such table",
    }  # fmt: skip
    model = {"gen_ai.operation.name": "chat", "gen_ai.agent.id": "bot", "gen_ai.usage.input_tokens": 900}
    loop = [Span(10 + n, 1 + n, start=NOW + 9 * n + n * n, attributes=asked) for n in range(8)]
    return [*loop, Span(50, 20, start=NOW + 900, attributes=model | {"fusebox.cost.usd": "0.25"})]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with Bench(tmp_path_factory.mktemp("backtest")) as bench:
        bench.store(request(*_spans()))
        yield bench.engine.reader()


@pytest.mark.parametrize("page", [2, 3, 5_000])
def test_history_is_what_live_detection_saw(client: Client, page: int) -> None:
    stored = [one.event for one in history(client, since=NOW, until=NOW + 3600, page=page)]
    live = [event_of(facts) for facts in facts_of(request(*_spans()))]
    assert stored == live


def test_a_backtest_over_history_says_when_and_what_it_would_have_saved(client: Client) -> None:
    replay = Replay(load_rules(), Registry())
    trips = [t for t in replay.feed(history(client, since=NOW, until=NOW + 3600)) if t.action == "open"]
    assert [t.seq for t in trips] == [3]
    assert trips[0].time == pytest.approx(NOW + 9 * 3 + 9 + 0.5)
    assert replay.summary()["saved"] == {"events": 5, "tokens": 900, "usd": 0.25}
    assert replay.summary()["without_content"] == 0
    panel = Panel(load_rules())
    findings = [panel.observe(e) for facts in facts_of(request(*_spans())) if (e := event_of(facts))]
    assert trips[0].finding.reason == next(f.reason for f in findings if f and f.action == "open")


def test_history_can_be_narrowed(client: Client) -> None:
    assert len(list(history(client, since=NOW, until=NOW + 20))) == 2
    assert list(history(client, since=NOW, until=NOW + 3600, agent="nobody")) == []
    assert len(list(history(client, since=NOW, until=NOW + 3600, agent="bot"))) == 9


def test_what_a_library_sent_again_is_read_back_from_the_table() -> None:
    stored = dict.fromkeys(("trace_id", "span_id", "parent_id", "service", "status_message"), "x")
    told = {names.ACTION: "model_call", names.RESENT: "2"}
    event = event_of(facts({**stored, "start": 1.0, "duration_s": 0.5, "status": "Error", "attributes": told}))
    assert event is not None
    assert event.resent == 2
