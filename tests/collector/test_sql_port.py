"""The SQL port: ordinary clients work unchanged, and nothing gets out of the sandbox."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import clickhouse_connect
import pytest
import requests
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from collector import queries
from collector.sql.process import SLOTS
from collector.tokens import Tokens
from tests.collector.sql_bench import Port, serving
from tests.collector.test_queries import EXAMPLES
from tests.fixtures.collector import until


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Port]:
    with serving(tmp_path_factory.mktemp("port")) as port:
        yield port


@pytest.fixture
def client(port: Port) -> Iterator[Client]:
    with clickhouse_connect.get_client(host=port.host, port=port.port) as client:
        yield client


ORDINARY = [
    ("SELECT 1", "1"),
    ("SELECT 1;", "1"),
    ("select count() from agent_events -- how many", "2000"),
    ("SELECT count() FROM default.otel_traces WHERE SpanAttributes['gen_ai.tool.name'] = 'tickets.comment'", "2000"),
    ("SELECT agent FROM agent_events WHERE agent LIKE '%''%' LIMIT 1", "ann\\'s"),
    ("SELECT uniqExact(span_id), countIf(ok), sumIf(input_tokens, ok) FROM agent_events", "2000\t2000\t0"),
    ("SELECT quantile(0.9)(duration_s) FROM agent_events", "0.5"),
    ("SELECT 'a; DROP TABLE agent_events'", "a; DROP TABLE agent_events"),
    ("SELECT $$it's; fine$$", "it\\'s; fine"),
    ("WITH t AS (SELECT agent, count() AS c FROM agent_events GROUP BY agent) SELECT max(c) FROM t", "2000"),
    ("SELECT a FROM (SELECT 1 AS a UNION ALL SELECT 2) ORDER BY a LIMIT 1", "1"),
    ("SELECT arrayMap(x -> x + 1, [1, 2])", "[2,3]"),
    ("SELECT sum(number) FROM numbers(10)", "45"),
    ("SELECT row_number() OVER (PARTITION BY agent ORDER BY time, span_id) FROM agent_events LIMIT 1", "1"),
    ("SELECT count() FROM otel_traces AS t INNER JOIN agent_events AS e ON t.SpanId = e.span_id", "2000"),
    ("SELECT CASE WHEN 1 THEN 'a' ELSE 'b' END, 3 BETWEEN 1 AND 5, NOT 0, -1, NULL IS NULL", "a\t1\t1\t-1\t1"),
    ("SELECT CAST('3' AS UInt8), '3'::UInt8, toDate('2026-01-01') + INTERVAL 1 DAY", "3\t3\t2026-01-02"),
    ("SELECT JSONExtractString('{\"a\": \"b\"}', 'a'), upper('a'), COUNT(*) FROM agent_events", "b\tA\t2000"),
    ("SELECT DISTINCT action FROM agent_events ARRAY JOIN [1, 2] AS x", "tool_call"),
    ("SELECT count() FROM agent_events WHERE time > now() - INTERVAL 99 YEAR", "2000"),
    ("SELECT count() FROM agent_events WHERE span_id IN (SELECT SpanId FROM otel_traces)", "2000"),
    ("SELECT version() != '', timezone() != '', currentDatabase()", "1\t1\tdefault"),
    ("EXISTS TABLE agent_events", "1"),
    ("SHOW TABLES LIKE 'agent_events'", "agent_events"),
    ("SELECT name FROM system.tables WHERE database = 'default' AND name = 'audit_log'", "audit_log"),
    ("SELECT table_name FROM information_schema.tables WHERE table_name = 'audit_log' LIMIT 1", "audit_log"),
    ("SELECT * REPLACE (1 AS a) FROM (SELECT 2 AS a)", "1"),
    ("SELECT groupArray(x) FROM (SELECT 1 AS x INTERSECT SELECT 1 AS x)", "[1]"),
]  # fmt: skip


@pytest.mark.parametrize(("statement", "answer"), ORDINARY)
def test_ordinary_statements_work(port: Port, statement: str, answer: str) -> None:
    reply = port.ask(statement)
    assert (reply.status_code, reply.text) == (200, f"{answer}\n")


FORMS = [
    "TSV; SELECT file('{secret}') FORMAT TSV",
    "TSV\n; SELECT file('{secret}')",
    "TSV; SELECT 1 INTO OUTFILE '{canary}' FORMAT TSV",
    "TSV SETTINGS max_execution_time = 0",
    "TSV INTO OUTFILE '{canary}'",
    "TSV\r\nX-Forged: 1",
    "Template",
    "Protobuf",
]


@pytest.mark.parametrize("form", FORMS)
def test_a_default_format_is_a_name_and_never_becomes_part_of_the_statement(
    port: Port, tmp_path: Path, form: str
) -> None:
    secret, canary = tmp_path / "secret", tmp_path / "canary"
    secret.write_text("hunter2")
    text = form.replace("{secret}", str(secret)).replace("{canary}", str(canary))
    replies = [port.ask("SELECT 1", default_format=text)]
    if "\n" not in text:
        replies.append(requests.post(port.url, data=b"SELECT 1", headers={"X-ClickHouse-Format": text}, timeout=30))
    for reply in replies:
        assert (reply.status_code, reply.headers["X-ClickHouse-Exception-Code"]) == (404, "73")
        assert "X-Forged" not in reply.headers
    assert not canary.exists()


@pytest.mark.parametrize("host", ["[::1", "127.0.0.1@evil.example", "evil.example", "]"])
def test_a_host_that_is_not_ours_is_refused(port: Port, host: str) -> None:
    reply = requests.get(port.url, params={"query": "SELECT 1"}, headers={"Host": host}, timeout=30)
    assert reply.status_code == 403


def test_health_answers_while_every_worker_is_busy(port: Port) -> None:
    heavy = "SELECT sum(sipHash64(number)) FROM numbers(1000000000000)"
    operators = Tokens(port.folder / "operators.json")
    second = operators.add("jo")  # one reader alone does not get every place
    with ThreadPoolExecutor(SLOTS) as askers:
        asked = [askers.submit(port.ask, heavy, password=key) for key in (*[""] * (SLOTS - 1), second)]
        until(lambda: port.is_full, "every place is taken")
        assert requests.get(f"{port.url}/ping", timeout=30).text == "Ok.\n"
        assert port.is_full, "it did not wait for a statement to end"
    assert [reply.result().status_code for reply in asked] == [408] * SLOTS
    operators.remove("jo")


@pytest.mark.parametrize(
    "statement", ["SELECT '{', '%(x)s'", "SELECT %(x)s", "SELECT '{y:String} %(x)s'", "SELECT {x:String}"]
)
def test_a_parameter_never_becomes_text(port: Port, tmp_path: Path, statement: str) -> None:
    canary = tmp_path / "canary"
    reply = port.ask(statement, param_x=f"1; SELECT 1 INTO OUTFILE '{canary}'", param_y="y")
    assert not canary.exists()
    assert reply.status_code >= 400 or "%(x)s" in reply.text or "INTO OUTFILE" in reply.text


def test_what_a_failed_statement_left_is_not_given_to_the_next(port: Port) -> None:
    for _ in range(6):
        assert port.ask("SELECT number FROM numbers(100000000)").status_code >= 400
        assert port.ask("SELECT 'mine'").text == "mine\n"


def test_refusals_name_the_part_and_look_like_clickhouse(port: Port) -> None:
    version = port.ask("SELECT version()").text.strip()
    reply = port.ask("SELECT file('/etc/passwd')")
    assert reply.status_code == 403
    assert reply.headers["X-ClickHouse-Exception-Code"] == "497"
    words = "DB::Exception: function file is not allowed here. (ACCESS_DENIED)"
    assert reply.text == f"Code: 497. {words} (version {version} (official build))\n"


def test_a_heavy_statement_ends_within_its_limits(port: Port) -> None:
    slow = port.ask("SELECT sum(sipHash64(number)) FROM numbers(1000000000000)")
    assert (slow.status_code, slow.headers["X-ClickHouse-Exception-Code"]) == (408, "159")
    assert slow.elapsed.total_seconds() < 8
    greedy = port.ask("SELECT groupArray(repeat('x', 1000000)) FROM numbers(100000)")
    assert greedy.headers["X-ClickHouse-Exception-Code"] in ("241", "131", "159")
    assert port.ask("SELECT 1").text == "1\n"


def test_clickhouse_connect_works_unchanged(client: Client) -> None:
    rows = client.query(
        "SELECT agent, count() FROM agent_events WHERE agent = {agent:String} AND action IN {kinds:Array(String)}"
        " GROUP BY agent",
        parameters={"agent": "ann's", "kinds": ["tool_call", "it's\t\\"]},
    ).result_rows
    assert [tuple(row) for row in rows] == [("ann's", 2000)]
    assert client.query(
        "SELECT {x:Nullable(String)}, {y:String}", parameters={"x": None, "y": "a\tb\\N'\n"}
    ).result_rows[0] == (None, "a\tb\\N'\n")
    assert client.query("SELECT %s, %s", parameters=("it's", 3)).result_rows[0] == ("it's", 3)
    assert client.command("SELECT 1") == 1
    assert client.query("SELECT * FROM audit_log LIMIT 0").column_names[0] == "seq"
    assert client.ping()
    many = [f"{n:016x}" for n in range(1000)]  # more than fits into a URL: the driver sends a form
    found = client.query("SELECT count() FROM agent_events WHERE span_id IN {many:Array(String)}", {"many": many})
    assert found.result_rows[0][0] == 999


def test_client_errors_carry_the_code(client: Client) -> None:
    with pytest.raises(DatabaseError) as error:
        client.query("SELECT * FROM nowhere")
    assert error.value.code == 60
    with pytest.raises(DatabaseError) as error:
        client.command("DROP TABLE audit_log")
    assert error.value.code == 497
    with pytest.raises(DatabaseError):
        client.insert("audit_log", [[1]], column_names=["seq"])


def test_data_frames_work(client: Client) -> None:
    pandas = pytest.importorskip("pandas")
    frame = client.query_df("SELECT time, agent, duration_s, input_tokens FROM agent_events ORDER BY span_id LIMIT 3")
    assert isinstance(frame, pandas.DataFrame)
    assert frame["duration_s"].tolist() == [0.5, 0.5, 0.5]


def test_http_details(port: Port) -> None:
    get = requests.get(port.url, params={"query": "SELECT {n:UInt8} + 1", "param_n": "4"}, timeout=10)
    assert get.text == "5\n"
    assert requests.get(f"{port.url}/", timeout=10).text == "Ok.\n"
    assert requests.get(f"{port.url}/ping", timeout=10).text == "Ok.\n"
    assert requests.get(f"{port.url}/other", timeout=10).status_code == 404
    both = port.ask("1 AS x", query="SELECT", default_format="JSONEachRow")
    assert both.json() == {"x": 1}
    assert both.headers["X-ClickHouse-Format"] == "JSONEachRow"
    assert json.loads(both.headers["X-ClickHouse-Summary"])["elapsed_ns"].isdigit()
    assert port.ask("SELECT 1 AS x FORMAT CSVWithNames", default_format="JSON").text == '"x"\n1\n'


def test_a_page_cannot_reach_the_port_under_its_own_name(port: Port) -> None:
    reply = requests.get(port.url, params={"query": "SELECT 1"}, headers={"Host": "evil.example"}, timeout=10)
    assert reply.status_code == 403


def test_a_statement_of_a_megabyte_is_refused(port: Port) -> None:
    assert port.ask("SELECT " + "1," * (1 << 20) + "1").status_code == 413


def test_many_clients_at_once(port: Port) -> None:
    answers: list[Any] = []
    threads = [
        threading.Thread(target=lambda: answers.append(port.ask("SELECT count() FROM otel_traces").text))
        for _ in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == ["2000\n"] * 12


def test_rows_never_vanish_while_keep_writes_and_merges(tmp_path: Path) -> None:
    """The sandbox lists parts that another process writes, merges and removes: no row twice, none gone."""
    script = Path(__file__).with_name("sql_writes.py")
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path)], check=False, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout)
    assert len(counts) > 20
    assert counts == sorted(counts)
    assert all(count % 10 == 0 for count in counts), "batches are seen whole"
    assert counts[-1] == 2000 + 40 * 10


def test_every_named_query_runs_on_the_port(client: Client) -> None:
    for name, query in queries.QUERIES.items():
        wanted = query.parameters - set(query.defaults)
        assert isinstance(queries.run(client, name, **{key: EXAMPLES[key] for key in wanted}), list), name
