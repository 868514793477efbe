"""Named queries, over the SQL port, on spans that went through the schema."""

from __future__ import annotations

import re
import traceback
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Final

import pytest
from clickhouse_connect.driver.client import Client

from collector import queries
from collector.verbs import sql
from fusebox import eventmap
from fusebox.config import Config
from fusebox.errors import FuseboxError
from tests.collector.keep_bench import Bench
from tests.collector.spans import NOW, Span, request

_CHAT = {
    "gen_ai.operation.name": "chat", "gen_ai.agent.id": "helper", "gen_ai.request.model": "gpt-5-mini",
    "gen_ai.usage.input_tokens": 100, "gen_ai.usage.output_tokens": 20, "fusebox.cost.usd": "0.000065",
    "fusebox.cost.price": "genai-prices 1 openai/gpt-5-mini", "fusebox.workflow": "w1",
}  # fmt: skip
_TOOL = {
    "fusebox.action": "tool_call", "gen_ai.operation.name": "execute_tool", "gen_ai.agent.id": "helper",
    "gen_ai.tool.name": "tickets.comment", "fusebox.target": "T-1", "fusebox.request.hash": "00000000000000ff",
    "fusebox.result.hash": "8000000000000001", "fusebox.lineage": "a/0000000000000001",
}  # fmt: skip
_OTHER = {"messaging.operation.type": "process", "gen_ai.agent.id": "bot", "messaging.destination.name": "q"}


EXAMPLES = {
    "since": int(NOW), "spans": ["x:y"], "agent": "a", "span_id": "a", "trace_id": "b", "message_id": "m",
    "since_ns": 0, "until_ns": int(NOW * 1e9), "row": "r", "traces": ["t"], "subjects": ["a"], "until": int(NOW) + 60,
    "emitter": "e", "writer": "watch", "first": 0, "below": 1, "approvals": ["apr_1"],
}  # fmt: skip


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with Bench(tmp_path_factory.mktemp("queries")) as bench:
        bench.store(
            request(
                Span(1, attributes=_CHAT),
                Span(2, attributes=_TOOL, start=NOW + 60, parent=1),
                Span(3, attributes=_TOOL, start=NOW + 61, status=2),
                Span(4, attributes=_OTHER, trace_id=2, start=NOW + 62, links=[(1, 2)]),
                Span(6, 3, attributes=_CHAT | {"fusebox.operation": "gpt-5-mini", "fusebox.usage.delegated": True}),
                Span(5, attributes={"gen_ai.operation.name": "invoke_agent", "gen_ai.usage.input_tokens": 120}),
            )
        )
        yield bench


@pytest.fixture
def client(bench: Bench) -> Client:
    return bench.engine.reader()


def test_every_query_runs_with_its_parameters(client: Client) -> None:
    for name, query in queries.QUERIES.items():
        wanted = query.parameters - set(query.defaults)
        assert isinstance(queries.run(client, name, **{key: EXAMPLES[key] for key in wanted}), list), name


def test_activity_counts_actions_tokens_cost_and_errors(client: Client) -> None:
    rows = {row["agent"]: row for row in queries.run(client, "agent_activity", since=NOW - 1)}
    assert set(rows) == {"helper", "bot"}  # invoke_agent repeats its children's usage and is no action
    helper = rows["helper"]
    assert (helper["actions"], helper["model_calls"], helper["tool_calls"], helper["errors"]) == (3, 1, 2, 1)
    assert (helper["input_tokens"], helper["output_tokens"]) == (100, 20)
    assert helper["cost_usd"] == Decimal("0.000065")
    later = {row["agent"]: row["actions"] for row in queries.run(client, "agent_activity", since=NOW + 62)}
    assert later == {"bot": 1, "helper": 2}, "from the beginning of that minute"
    assert queries.run(client, "agent_activity", since=NOW + 120) == []


def test_tokens_by_minute(client: Client) -> None:
    rows = queries.run(client, "tokens_by_agent_minute", since=NOW - 60)
    assert [(row["agent"], row["tokens"]) for row in rows] == [("helper", 120), ("bot", 0), ("helper", 0)]
    assert rows[0]["minute"] == NOW // 60 * 60


_MONTH: Final = """
INSERT INTO agent_events (tenant, agent, time, action, operation, ok, duration_s, trace_id, span_id)
SELECT 'default', 'busy', toDateTime64({until:UInt32} - 60 * number - 1, 6), 'model_call', 'chat', 1, 0.5,
    hex(number), hex(number) FROM numbers(43200)
"""


def test_the_course_of_a_month_of_minutes_is_short_and_ends_today(bench: Bench, client: Client) -> None:
    until = int(NOW) // 86_400 * 86_400
    bench.engine.writer().command(_MONTH, parameters={"until": until})
    since = until - 30 * 86_400
    days = queries.run(client, "agent_course", agent="busy", since=since, until=until, step=86_400)
    assert [(row["at"], row["actions"]) for row in days] == [(since + day * 86_400, 1_440) for day in range(30)]


def test_the_course_of_money_names_those_that_are_asked_for_and_sums_up_the_others(client: Client) -> None:
    asked = {"since": NOW - 60, "until": NOW + 3_600, "step": 3_600}
    (mine,) = queries.run(client, "spend_course", agents=["helper"], **asked)
    (all_others,) = queries.run(client, "spend_course", agents=["bot"], **asked)
    assert (mine["who"], all_others["who"]) == ("helper", "")
    assert mine["cost_usd"] == all_others["cost_usd"] == Decimal("0.000065")
    assert mine["at"] == int(NOW) // 3_600 * 3_600


def test_evidence_is_found_by_span(client: Client) -> None:
    spans = [f"{1:032x}:{3:016x}", f"{1:032x}:{2:016x}", f"{9:032x}:{1:016x}"]
    rows = queries.run(client, "trip_evidence", spans=spans)
    assert [row["span_id"] for row in rows] == [f"{2:016x}", f"{3:016x}"]


def test_a_call_through_the_gateway_is_evidence_by_the_agents_own_span(client: Client) -> None:
    spans = [f"{1:032x}:{2:016x}", f"{3:032x}:{6:016x}"]
    own, tool = queries.run(client, "trip_evidence", spans=spans)
    assert tool["span_id"] == f"{2:016x}"
    assert (own["span_id"], own["agent"], own["action"], own["operation"]) == (
        f"{6:016x}", "helper", "model_call", "gpt-5-mini"
    )  # fmt: skip
    assert (own["ok"], own["input_tokens"], own["cost_usd"]) == (True, 100, None)


def test_an_event_in_the_table_is_the_event_the_detectors_saw(client: Client) -> None:
    row = queries.run(client, "last_tool_call", agent="helper", operation="tickets.comment")[0]
    facts = eventmap.SpanFacts(f"{1:032x}", f"{3:016x}", "", NOW + 61, NOW + 61.5, True, "helper", _TOOL)
    event = eventmap.event_of(facts)
    assert event is not None
    assert row["time"] == pytest.approx(event.time, abs=1e-5)
    assert (row["agent"], row["action"], row["operation"], row["target"]) == (
        event.agent, event.action, event.operation, event.target
    )  # fmt: skip
    assert (row["request_hash"], row["result_hash"], row["ok"]) == (event.request, event.result, event.ok)
    assert row["lineage"] == eventmap.format_lineage(event.lineage)
    assert row["duration_s"] == pytest.approx(event.duration)


def test_spans_children_and_links(client: Client) -> None:
    for found in (
        queries.run(client, "span_of_any_trace", span_id=f"{2:016x}"),
        queries.run(client, "span", trace_id=f"{1:032x}", span_id=f"{2:016x}"),
        queries.run(client, "spans_at", spans=[f"{1:032x}:{2:016x}"]),
    ):
        assert [(row["parent_id"], row["attributes"]["fusebox.target"]) for row in found] == [(f"{1:016x}", "T-1")]
    assert queries.run(client, "span", trace_id=f"{2:032x}", span_id=f"{2:016x}") == []
    below = queries.run(client, "spans_below", spans=[f"{1:032x}:{1:016x}"])
    assert [row["span_id"] for row in below] == [f"{2:016x}"]
    linking = queries.run(client, "spans_linking", spans=[f"{1:032x}:{2:016x}"])
    assert [row["span_id"] for row in linking] == [f"{4:016x}"]
    tree = queries.run(client, "trace_spans", trace_id=f"{1:032x}")
    assert [row["span_id"] for row in tree] == [f"{number:016x}" for number in (1, 5, 2, 3)]
    assert "attributes" not in tree[0]
    assert queries.run(client, "trace_spans", trace_id=f"{2:032x}")[0]["links"] == [(f"{1:032x}", f"{2:016x}")]


def test_values_are_never_text_of_a_statement(client: Client) -> None:
    for hostile in ("' OR 1=1 --", "\\' OR 1=1 --", "x'; DROP TABLE agent_events", "{limit:UInt32}", "a\tb\nc\\N"):
        assert queries.run(client, "recent_events", agent=hostile) == []
    assert queries.run(client, "totals")[0]["tokens"] == 120


def test_a_wrong_parameter_is_a_mistake_of_the_caller(client: Client) -> None:
    with pytest.raises(TypeError, match=re.escape("['since', 'tenant']")):
        queries.run(client, "agent_activity", sincee=1.0)
    with pytest.raises(KeyError):
        queries.run(client, "nothing")


def test_no_keep_is_said_with_the_fix(tmp_path: Path) -> None:
    with pytest.raises(queries.KeepUnavailable, match="fusebox up"):
        queries.connect(Config(data_dir=tmp_path))
    with pytest.raises(queries.KeepUnavailable, match="does not answer"):
        queries.connect(Config(data_dir=tmp_path, sql_url="http://127.0.0.1:9"))


@pytest.mark.parametrize("url", ["http://jo:hunter2@127.0.0.1:9", "http://jo:hunt/er2@127.0.0.1:9", "http://[::1"])
def test_an_error_of_the_sql_port_names_no_password(tmp_path: Path, url: str) -> None:
    config = Config(data_dir=tmp_path, sql_url=url)
    for call in (queries.connect, lambda config: sql.ask(config, "SELECT 1", "TSV")):
        with pytest.raises(FuseboxError) as error:
            call(config)
        assert "hunt" not in "".join(traceback.format_exception(error.value))
