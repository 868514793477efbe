"""Clients that people have, unchanged, against the SQL port: with a token, both compressions, typed parameters."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import clickhouse_connect
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError, ProgrammingError

from collector.readers import Reader, Readers
from tests.collector.sql_bench import Port, serving
from tests.need import missing, need

CLIENT = Path(__file__).resolve().parents[2] / ".venv" / "node" / "node_modules" / "@clickhouse" / "client"
SCRIPT = """
const [path, url, username, password, compressed] = process.argv.slice(1)
const { createClient } = require(path)
const packed = compressed === 'true'
const client = createClient({ url, username, password, compression: { response: packed, request: packed } })

async function main() {
  const said = {}
  said.ping = (await client.ping()).success
  const rows = await client.query({
    query: `SELECT agent, count() AS n FROM agent_events
      WHERE agent = {agent:String} AND span_id IN {ids:Array(String)} GROUP BY agent`,
    query_params: { agent: "ann's", ids: ['0000000000000001', '0000000000000002', "x'y\\t"] },
    format: 'JSONEachRow',
  })
  said.rows = await rows.json()
  const count = 'SELECT count() AS n FROM otel_traces'
  const counted = await client.query({ query: count, format: 'JSON', query_id: 'from-node' })
  said.query_id = counted.query_id
  said.counted = (await counted.json()).data
  const long = await client.query({ query: 'SELECT span_id FROM agent_events', format: 'TabSeparated',
    clickhouse_settings: { max_result_rows: '5000', output_format_tsv_crlf_end_of_line: 1, wait_end_of_query: 1 } })
  said.long = (await long.text()).length
  let streamed = 0
  const numbers = await client.query({ query: 'SELECT number FROM numbers(100000)', format: 'JSONCompactEachRow' })
  for await (const rows of numbers.stream()) streamed += rows.length
  said.streamed = streamed
  const date = await client.query({
    query: 'SELECT {d:DateTime} AS d, {n:Nullable(String)} AS n, {m:Map(String, UInt8)} AS m, {b:Bool} AS b',
    query_params: { d: new Date(Date.UTC(2026, 0, 2, 3, 4, 5)), n: null, m: { a: 1 }, b: true },
    format: 'JSONEachRow' })
  said.typed = await date.json()
  const wrong = { unknown: 'SELECT * FROM nowhere', drop: 'DROP TABLE agent_events', file: "SELECT file('/x')" }
  for (const [name, query] of Object.entries(wrong)) {
    try { await client.query({ query }); said[name] = 'answered' }
    catch (error) { said[name] = [error.code, error.type] }
  }
  const rowsIn = { table: 'agent_events', values: [{ agent: 'x' }], format: 'JSONEachRow' }
  try { await client.insert(rowsIn); said.insert = 'done' }
  catch (error) { said.insert = error.code }
  try { await client.command({ query: 'CREATE TABLE x (a Int8) ENGINE = Memory' }); said.command = 'done' }
  catch (error) { said.command = error.code }
  await client.close()
  console.log(JSON.stringify(said))
}
main().catch((error) => { console.error(error); process.exit(1) })
"""


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Port]:
    with serving(tmp_path_factory.mktemp("port")) as port:
        yield port


@pytest.fixture(scope="module")
def token(port: Port) -> str:
    return Readers(port.folder).add(Reader("grafana"))


@pytest.mark.parametrize("compressed", ["true", "false"])
def test_the_client_for_node_works_unchanged(port: Port, token: str, compressed: str) -> None:
    node = need("node", "apt-get install nodejs")
    if not CLIENT.exists():
        missing("@clickhouse/client is not installed; tools/node.sh")
    command = [node, "-e", SCRIPT, "--", str(CLIENT), port.url, "grafana", token, compressed]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    assert said == {
        "ping": True,
        "rows": [{"agent": "ann's", "n": 2}],
        "query_id": "from-node",
        "counted": [{"n": 2000}],
        "long": 36_000,
        "streamed": 100_000,
        "typed": [{"d": "2026-01-02 03:04:05", "n": None, "m": {"a": 1}, "b": True}],
        "unknown": ["60", "UNKNOWN_TABLE"],
        "drop": ["497", "ACCESS_DENIED"],
        "file": ["497", "ACCESS_DENIED"],
        "insert": "497",
        "command": "497",
    }


@pytest.mark.parametrize("compress", [True, False, "lz4", "gzip"])
def test_clickhouse_connect_works_unchanged(port: Port, token: str, compress: bool | str) -> None:
    with clickhouse_connect.get_client(
        host=port.host, port=port.port, username="grafana", password=token, compress=compress
    ) as client:
        assert client.ping()
        assert client.query("SELECT span_id FROM agent_events").row_count == 2000
        assert len(client.raw_query("SELECT span_id FROM agent_events", fmt="TSV").splitlines()) == 2000
        with client.query_row_block_stream("SELECT number FROM numbers(200000)") as stream:
            assert sum(len(block) for block in stream) == 200_000
        assert client.query("SELECT {x:DateTime64(3)}", {"x": "2026-01-02 03:04:05.678"}).result_rows[0][0].year == 2026
        assert client.query("SELECT 1").summary["result_rows"] == "1"
        with pytest.raises(DatabaseError) as error:
            client.insert("agent_events", [["x"]], column_names=["agent"])
        assert error.value.code == 497


def test_clickhouse_connect_may_say_how_a_result_looks_and_what_it_may_use(port: Port, token: str) -> None:
    with clickhouse_connect.get_client(host=port.host, port=port.port, username="grafana", password=token) as client:
        look = {"date_time_output_format": "iso", "session_timezone": "Asia/Tokyo", "join_use_nulls": 1}
        limits = {"max_threads": 1, "max_execution_time": 2, "max_result_rows": 10, "max_rows_to_read": 1_000_000}
        assert client.query("SELECT toString(toDateTime(0))", settings=look).result_rows == [("1970-01-01 09:00:00",)]
        assert client.query("SELECT 1", settings=limits).result_rows == [(1,)]
        with pytest.raises(DatabaseError, match=r"max_result_rows|Limit for result"):
            client.query("SELECT number FROM numbers(11)", settings=limits)
        for wanted in (
            "output_format_schema",
            "max_insert_threads",
            "allow_experimental_kafka_offsets_storage_in_keeper",
        ):
            with pytest.raises((ProgrammingError, DatabaseError)):
                client.query("SELECT 1", settings={wanted: "1"})


def test_data_frames_and_arrow_work(port: Port, token: str) -> None:
    pytest.importorskip("pandas")
    with clickhouse_connect.get_client(host=port.host, port=port.port, username="grafana", password=token) as client:
        assert len(client.query_df("SELECT time, agent, cost_usd FROM agent_events")) == 2000
        pytest.importorskip("pyarrow")
        assert client.query_arrow("SELECT time, agent FROM agent_events").num_rows == 2000


def test_dbapi_and_sqlalchemy_style_users_work(port: Port, token: str) -> None:
    from clickhouse_connect import dbapi

    connection = dbapi.connect(host=port.host, port=port.port, username="grafana", password=token)
    cursor = connection.cursor()
    cursor.execute("SELECT agent, count() FROM agent_events WHERE agent = %(agent)s GROUP BY agent", {"agent": "ann's"})
    assert [tuple(row) for row in cursor.fetchall()] == [("ann's", 2000)]
    connection.close()


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT name FROM system.databases",
        "SELECT database, name, engine FROM system.tables WHERE database NOT IN ('system', 'information_schema')",
        "SELECT name, type, comment FROM system.columns WHERE database = 'default' AND table = 'agent_events'",
        "SELECT table_name FROM information_schema.tables WHERE table_schema = 'default'",
        "SELECT column_name, data_type FROM INFORMATION_SCHEMA.COLUMNS WHERE table_name = 'agent_events'",
        "SELECT version()",
        "SELECT timezone()",
        "SELECT name FROM system.functions LIMIT 5",
        "SELECT name FROM system.table_engines",
        "SELECT name, value FROM system.settings WHERE name IN ('max_threads', 'readonly')",
        "DESC TABLE default.agent_events",
        "SHOW TABLES FROM default",
        "SHOW DATABASES",
        "SELECT toStartOfInterval(time, INTERVAL 60 second) AS t, count() FROM agent_events GROUP BY t ORDER BY t",
    ],
)
def test_what_grafana_and_database_browsers_ask_at_the_start(port: Port, token: str, statement: str) -> None:
    with clickhouse_connect.get_client(host=port.host, port=port.port, username="grafana", password=token) as client:
        assert client.query(statement).row_count > 0
