"""The SQL port: ordinary clients work unchanged, and nothing gets out of the sandbox."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import clickhouse_connect
import pytest
import requests
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from tests.collector.sql_bench import Port, serving


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


HOSTILE = [
    # writes and definitions
    "INSERT INTO agent_events (agent) VALUES ('x')",
    "INSERT INTO agent_events SELECT * FROM agent_events",
    "INSERT INTO FUNCTION file('{canary}', 'CSV', 'a String') SELECT 'x'",
    "CREATE TABLE x (a Int8) ENGINE = Memory",
    "CREATE TABLE x ENGINE = File(CSV, '{canary}') AS SELECT 1",
    "CREATE TEMPORARY TABLE x (a Int8)",
    "CREATE FUNCTION f AS (x) -> x",
    "CREATE VIEW v AS SELECT 1",
    "CREATE DATABASE d",
    "CREATE USER u",
    "CREATE NAMED COLLECTION c AS a = 1",
    "DROP TABLE agent_events",
    "DROP DATABASE default",
    "TRUNCATE TABLE audit_log",
    "ALTER TABLE audit_log DELETE WHERE 1",
    "ALTER TABLE audit_log UPDATE reason = '' WHERE 1",
    "DELETE FROM audit_log WHERE 1",
    "UPDATE audit_log SET reason = '' WHERE 1",
    "RENAME TABLE audit_log TO a",
    "EXCHANGE TABLES audit_log AND agent_events",
    "OPTIMIZE TABLE audit_log FINAL",
    "ATTACH TABLE x FROM '{canary}' (a Int8) ENGINE = MergeTree ORDER BY a",
    "DETACH TABLE audit_log",
    "UNDROP TABLE x",
    "BACKUP TABLE audit_log TO File('{canary}')",
    "RESTORE TABLE audit_log FROM File('{canary}')",
    "GRANT ALL ON *.* TO default",
    # settings, system, sessions
    "SET readonly = 0",
    "SET max_execution_time = 0",
    "SELECT 1 SETTINGS readonly = 0",
    "SELECT * FROM (SELECT 1 SETTINGS max_execution_time = 0)",
    "SYSTEM SHUTDOWN",
    "SYSTEM RELOAD CONFIG",
    "SYSTEM START LISTEN HTTP",
    "KILL QUERY WHERE 1",
    "USE system",
    "BEGIN TRANSACTION",
    "SHOW PROCESSLIST",
    "SHOW GRANTS",
    "EXECUTE AS default SELECT 1",
    # files out
    "SELECT 1 INTO OUTFILE '{canary}'",
    "SELECT 1 INTO OUTFILE '{canary}' TRUNCATE FORMAT CSV",
    "SELECT 1 INTO OUTFILE '{canary}' APPEND",
    "SELECT 1 UNION ALL SELECT 2 INTO OUTFILE '{canary}'",
    "(SELECT 1 INTO OUTFILE '{canary}')",
    "SHOW TABLES INTO OUTFILE '{canary}'",
    "DESCRIBE TABLE agent_events INTO OUTFILE '{canary}'",
    "SELECT 1 INTO/**/OUTFILE/**/'{canary}'",
    "EXPLAIN AST SELECT 1 INTO OUTFILE '{canary}'",
    "SELECT 1 FORMAT Template",
    "SELECT 1 FORMAT SQLInsert",
    # several statements
    "SELECT 1; SELECT 1 INTO OUTFILE '{canary}'",
    "EXPLAIN AST SELECT 1; SELECT 1 INTO OUTFILE '{canary}'",
    "SELECT 1;;DROP TABLE audit_log",
    "SELECT 1 -- \n; DROP TABLE audit_log",
    "SELECT 1 /* */ ; SET readonly = 0",
    "SELECT 1 PARALLEL WITH SELECT 2",
    # files in: scalar and table functions, everywhere an expression may stand
    "SELECT file('{secret}')",
    "SELECT FILE('{secret}')",
    "SELECT `file`('{secret}')",
    "SELECT/**/file/**/('{secret}')",
    "SELECT length(file('{secret}'))",
    "SELECT 1 UNION ALL SELECT file('{secret}')",
    "SELECT (SELECT file('{secret}'))",
    "WITH file('{secret}') AS x SELECT x",
    "WITH x AS (SELECT file('{secret}') AS a) SELECT a FROM x",
    "SELECT arrayMap(x -> file(x), ['{secret}'])",
    "WITH (x -> file(x)) AS f SELECT f('{secret}')",
    "SELECT * APPLY(file) FROM (SELECT '{secret}' AS a)",
    "SELECT * APPLY(x -> file(x)) FROM (SELECT '{secret}' AS a)",
    "SELECT COLUMNS('a') APPLY file FROM (SELECT '{secret}' AS a)",
    "SELECT 1 WHERE file('{secret}') != ''",
    "SELECT 1 GROUP BY file('{secret}')",
    "SELECT 1 ORDER BY file('{secret}')",
    "SELECT 1 AS a ORDER BY a LIMIT 1 BY file('{secret}')",
    "SELECT 1 LIMIT length(file('{secret}'))",
    "SELECT 1 AS x ORDER BY x WITH FILL FROM length(file('{secret}')) TO 3",
    "SELECT sum(1) OVER (ORDER BY file('{secret}'))",
    "SELECT quantile(length(file('{secret}')))(1)",
    "SELECT sum(1) FILTER (WHERE file('{secret}') != '')",
    "SELECT DISTINCT ON (file('{secret}')) 1",
    "SELECT * REPLACE (file('{secret}') AS a) FROM (SELECT 1 AS a)",
    "SHOW TABLES WHERE name = file('{secret}')",
    "SHOW COLUMNS FROM agent_events WHERE field = file('{secret}')",
    "SELECT {x:Identifier}(1)",
    "SELECT * FROM agent_events PREWHERE file('{secret}') = ''",
    "SELECT CASE WHEN file('{secret}') = '' THEN 1 END",
    "SELECT * FROM file('{secret}', 'LineAsString')",
    "DESCRIBE TABLE file('{secret}', 'LineAsString')",
    "SELECT * FROM agent_events JOIN file('{secret}', 'LineAsString') AS f ON 1",
    "SELECT 1 IN file('{secret}', 'LineAsString')",
    "SELECT * FROM url('http://127.0.0.1:1/', 'CSV')",
    "SELECT * FROM s3('http://127.0.0.1:1/b/k', 'CSV')",
    "SELECT * FROM remote('127.0.0.1', system.one)",
    "SELECT * FROM cluster('default', system.one)",
    "SELECT * FROM mysql('127.0.0.1:1', 'd', 't', 'u', 'p')",
    "SELECT * FROM postgresql('127.0.0.1:1', 'd', 't', 'u', 'p')",
    "SELECT * FROM sqlite('{canary}', 't')",
    "SELECT * FROM executable('id', 'TSV', 'a String')",
    "SELECT * FROM input('a String')",
    "SELECT * FROM merge('system', '.*')",
    "SELECT * FROM loop(system.processes)",
    "SELECT * FROM view(SELECT 1)",
    "SELECT * FROM dictionary('d')",
    "SELECT * FROM python('x')",
    "SELECT * FROM filesystem('/')",
    "SELECT * FROM format(CSV, '1')",
    "SELECT * FROM null('a String')",
    "SELECT * FROM generateRandom('a String')",
    "SELECT * FROM viewExplain('EXPLAIN', '', (SELECT 1))",
    # other tables and the host
    "SELECT * FROM system.processes",
    "SELECT * FROM system.users",
    "SELECT * FROM `system`.`disks`",
    "SELECT * FROM system.named_collections",
    "SELECT * FROM agent_events, system.query_log",
    "SELECT (1, 2) IN system.processes",
    "SELECT 1 WHERE 'x' IN (SELECT name FROM system.server_settings)",
    "SHOW CREATE TABLE system.users",
    "SHOW TABLES FROM system",
    "DESCRIBE TABLE system.processes",
    "SELECT joinGet('d.t', 'a', 1)",
    "SELECT dictGet('d', 'a', 1)",
    "SELECT getSetting('readonly')",
    "SELECT getServerSetting('max_connections')",
    "SELECT hostName()",
    "SELECT sleep(3)",
    "SELECT sleepEachRow(1) FROM numbers(3)",
    "SELECT filesystemAvailable()",
    "SELECT getMacro('x')",
    "SELECT catboostEvaluate('{secret}', 1)",
    "SELECT aiGenerate('x', 'y')",
    "SELECT logTrace('x')",
    "SELECT showCertificate()",
    "SELECT formatRow('CSV', 1)",
    "SELECT addressToSymbol(1)",
    # not statements
    "",
    "'",
    "SELECT",
    "\x00SELECT 1",
    "SELECT file('{secret}')\x00",
    "SELECT 1 FROM",
    "💥",
    "SELECT '\\",
]


@pytest.mark.parametrize("statement", HOSTILE)
def test_hostile_statements_are_refused_and_touch_no_file(port: Port, tmp_path: Path, statement: str) -> None:
    secret, canary = tmp_path / "secret", tmp_path / "canary"
    secret.write_text("hunter2")
    text = statement.replace("{secret}", str(secret)).replace("{canary}", str(canary))
    for form in (text, f"{text}\n FORMAT Native"):
        reply = port.ask(form, **({"param_x": "file"} if "{x:" in text else {}))
        assert "hunter2" not in reply.text
        if form.strip():
            assert reply.status_code >= 400, reply.text
            assert reply.text.startswith("Code: ")
            assert reply.headers["X-ClickHouse-Exception-Code"].isdigit()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["secret"]
    assert port.ask("SELECT count() FROM agent_events").text == "2000\n"


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
    askers = [threading.Thread(target=port.ask, args=(heavy,)) for _ in range(6)]
    for asker in askers:
        asker.start()
    busy = threading.Event()
    while not busy.wait(0.1) and sum(asker.is_alive() for asker in askers) < 6:
        pass
    assert requests.get(f"{port.url}/ping", timeout=2).text == "Ok.\n"
    for asker in askers:
        asker.join(30)


def test_statements_beyond_the_queue_are_told_to_come_back(port: Port, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collector.keep.port._MAX_WAITING", 5)
    heavy, replies = "SELECT sum(sipHash64(number)) FROM numbers(1000000000000)", []
    askers = [threading.Thread(target=lambda: replies.append(port.ask(heavy).status_code)) for _ in range(8)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join(30)
    assert sorted(replies) == [408] * 5 + [503] * 3
    assert port.ask("SELECT 1").text == "1\n"


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
    reply = port.ask("SELECT file('/etc/passwd')")
    assert reply.status_code == 403
    assert reply.headers["X-ClickHouse-Exception-Code"] == "497"
    assert reply.text == "Code: 497. DB::Exception: function file is not allowed here. (ACCESS_DENIED)\n"


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


def test_compression_is_negotiated_or_refused_clearly(port: Port) -> None:
    statement = {"query": "SELECT span_id FROM agent_events"}
    with requests.get(
        port.url, params=statement, headers={"Accept-Encoding": "gzip"}, stream=True, timeout=10
    ) as reply:
        assert reply.headers["Content-Encoding"] == "gzip"
        assert len(gzip.decompress(reply.raw.read()).splitlines()) == 2000
    assert "gzip" in port.ask("SELECT 1", compress="1").text
    assert "gzip" in port.ask("SELECT 1", decompress="1").text
    packed = requests.post(port.url, data=b"x", headers={"Content-Encoding": "gzip"}, timeout=10)
    assert packed.status_code == 400


@pytest.mark.parametrize(
    ("query", "code"),
    [({"max_threads": "64"}, "164"), ({"database": "system"}, "81"), ({"param_$x$": "1"}, "36"), ({"role": "x"}, "0")],
)
def test_settings_in_the_url_change_nothing(port: Port, query: dict[str, str], code: str) -> None:
    reply = port.ask("SELECT 1", **query)
    assert reply.headers.get("X-ClickHouse-Exception-Code", "0") == code


def test_a_page_cannot_reach_the_port_under_its_own_name(port: Port) -> None:
    reply = requests.get(port.url, params={"query": "SELECT 1"}, headers={"Host": "evil.example"}, timeout=10)
    assert reply.status_code == 403


def test_a_statement_of_a_megabyte_is_refused(port: Port) -> None:
    assert port.ask("SELECT " + "1," * (1 << 20) + "1").status_code == 400


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
