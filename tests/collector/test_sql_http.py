"""The SQL port's HTTP, to the letter: what clients send beside a statement, and what they get beside the rows."""

from __future__ import annotations

import gzip
import json
import socket
import struct
import subprocess
import zlib
from collections.abc import Iterator
from pathlib import Path

import lz4.frame
import pytest
import requests

from collector.keep.app import Asking
from collector.sql.encoding import Blocks, unblocked
from collector.sql.errors import StatementRefused
from tests.collector.sql_bench import Port, serving

ROWS = "SELECT span_id FROM agent_events ORDER BY span_id"


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Port]:
    with serving(tmp_path_factory.mktemp("port")) as port:
        yield port


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "lz4"])
def test_an_answer_is_compressed_as_the_client_asks(port: Port, encoding: str) -> None:
    unpack = {"gzip": gzip.decompress, "deflate": zlib.decompress, "lz4": lz4.frame.decompress}[encoding]
    headers = {"Accept-Encoding": f"br;q=1.0, {encoding}"}
    with requests.post(port.url, data=ROWS, headers=headers, stream=True, timeout=10) as reply:
        assert reply.headers["Content-Encoding"] == encoding
        packed = reply.raw.read(decode_content=False)
    assert len(unpack(packed).splitlines()) == 2000
    assert len(packed) < 34_000


def test_what_a_client_does_not_take_it_does_not_get(port: Port) -> None:
    reply = requests.post(port.url, data=ROWS, headers={"Accept-Encoding": "gzip;q=0, br"}, timeout=10)
    assert "Content-Encoding" not in reply.headers
    assert reply.headers["Content-Length"] == str(len(reply.content)) == "34000"
    for rarely in ("gzip;q=0.5", "br, gzip; q=0.001"):
        reply = requests.post(port.url, data=ROWS, headers={"Accept-Encoding": rarely}, timeout=10)
        assert reply.headers["Content-Encoding"] == "gzip", rarely


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "lz4"])
def test_a_statement_may_come_compressed(port: Port, encoding: str) -> None:
    pack = {"gzip": gzip.compress, "deflate": zlib.compress, "lz4": lz4.frame.compress}[encoding]
    headers = {"Content-Encoding": encoding}
    assert requests.post(port.url, data=pack(b"SELECT 1 + 1"), headers=headers, timeout=10).text == "2\n"
    for broken in (pack(b"SELECT 1")[:-5], b"garbage", pack(b" " * (1 << 21))):
        reply = requests.post(port.url, data=broken, headers=headers, timeout=10)
        assert (reply.status_code, reply.headers["X-ClickHouse-Exception-Code"]) == (400, "36")


def test_an_unknown_encoding_is_refused(port: Port) -> None:
    reply = requests.post(port.url, data=b"x", headers={"Content-Encoding": "snappy"}, timeout=10)
    assert (reply.status_code, "snappy" in reply.text) == (400, True)


def test_clickhouses_own_blocks_go_both_ways(port: Port) -> None:
    blocks = Blocks()
    packed = blocks.pack(ROWS.encode()) + blocks.finish()
    reply = requests.post(port.url, params={"compress": "1", "decompress": "1"}, data=packed, timeout=10)
    assert len(unblocked(reply.content).splitlines()) == 2000
    for broken in (packed[:-1], packed[:10], bytes([packed[0] ^ 1]) + packed[1:], packed[:-1] + b"x"):
        refused = requests.post(port.url, params={"decompress": "1"}, data=broken, timeout=10)
        assert (refused.status_code, refused.headers["X-ClickHouse-Exception-Code"]) == (400, "36")


def test_our_blocks_are_the_engines_blocks(port: Port) -> None:
    """A column's file is written by the engine in the same blocks: checksum, method, sizes."""
    files = list((port.folder / "clickhouse" / "store").rglob("data.bin"))
    assert files
    for file in files:
        data = file.read_bytes()
        (packed,) = struct.unpack_from("<I", data, 17)
        if data[16] == 0x82:
            assert unblocked(data[: 16 + packed])
            return
    raise AssertionError("no part in LZ4 was written")


def test_a_long_result_makes_several_blocks() -> None:
    blocks, text = Blocks(), bytes(range(256)) * 10_000
    packed = b"".join(blocks.pack(text[start : start + 100_000]) for start in range(0, len(text), 100_000))
    packed += blocks.finish()
    with pytest.raises(StatementRefused):
        unblocked(packed)  # more than a statement may have
    (first,) = struct.unpack_from("<I", packed, 17)
    assert unblocked(packed[: 16 + first]) == text[: 1 << 20]


@pytest.mark.parametrize(
    "form",
    ["JSON", "JSONCompact", "JSONEachRow", "NDJSON", "CSV", "CSVWithNames", "TSV", "TSKV", "Native", "Parquet",
     "Values", "Null", "MD", "Raw", "LineAsString"],
)  # fmt: skip
def test_formats_and_their_media_types(port: Port, form: str) -> None:
    clause = port.ask(f"SELECT 1 AS x FORMAT {form}", default_format="Vertical")
    default = port.ask("SELECT 1 AS x", default_format=form)
    header = requests.post(port.url, data="SELECT 1 AS x", headers={"X-ClickHouse-Format": form}, timeout=10)
    kind = {"JSON": "application/json", "JSONCompact": "application/json", "JSONEachRow": "application/x-ndjson",
            "CSV": "text/csv", "CSVWithNames": "text/csv", "TSV": "text/tab-separated-values",
            "NDJSON": "application/x-ndjson", "Native": "application/octet-stream",
            "Parquet": "application/vnd.apache.parquet"}.get(form, "text/plain")  # fmt: skip
    for reply in (clause, default, header):
        assert (reply.status_code, reply.headers["X-ClickHouse-Format"]) == (200, form)
        assert reply.headers["Content-Type"].startswith(kind)
    if not form.startswith("JSON"):  # those tell how long they took
        assert clause.content == default.content == header.content


@pytest.mark.parametrize(
    ("statement", "status", "code", "name"),
    [
        ("SELECT * FROM nowhere", 404, 60, "UNKNOWN_TABLE"),
        ("SELECT nothing FROM agent_events", 404, 47, "UNKNOWN_IDENTIFIER"),
        ("SELECT abs('x')", 500, 43, "ILLEGAL_TYPE_OF_ARGUMENT"),
        ("SELEC 1", 400, 62, "SYNTAX_ERROR"),
        ("SELECT 1 FORMAT Nothing", 404, 73, "UNKNOWN_FORMAT"),
        ("DROP TABLE agent_events", 403, 497, "ACCESS_DENIED"),
        ("SELECT toUInt8('x')", 400, 6, "CANNOT_PARSE_TEXT"),
        ("SELECT number FROM numbers(2000000)", 500, 396, "TOO_MANY_ROWS_OR_BYTES"),
        ("SELECT 1 SETTINGS readonly = 0", 500, 164, "READONLY"),
        ("SELECT toDate('x', {y:String})", 400, 456, "UNKNOWN_QUERY_PARAMETER"),
    ],
)
def test_errors_are_a_servers_errors(port: Port, statement: str, status: int, code: int, name: str) -> None:
    reply = port.ask(statement)
    assert reply.headers["X-ClickHouse-Exception-Code"] == str(code)
    assert reply.text.startswith(f"Code: {code}. DB::Exception: ")
    assert f"({name}) (version " in reply.text
    assert reply.status_code == (500 if code == 456 else status)


def test_an_error_half_way_is_an_error_and_no_half_result(port: Port) -> None:
    reply = port.ask("SELECT intDiv(1, toInt64(number) - 900000) FROM numbers(1000000)")
    assert reply.headers["X-ClickHouse-Exception-Code"] == "153"
    assert reply.text.startswith("Code: 153.")


def test_headers_tell_of_the_query(port: Port) -> None:
    reply = port.ask(ROWS, query_id="my-query", send_progress_in_http_headers="1", wait_end_of_query="1")
    assert reply.headers["X-ClickHouse-Query-Id"] == "my-query"
    assert reply.headers["X-ClickHouse-Timezone"]
    assert reply.headers["X-ClickHouse-Server-Display-Name"] == "fusebox"
    summary = json.loads(reply.headers["X-ClickHouse-Summary"])
    assert (summary["read_rows"], summary["result_rows"]) == ("2000", "2000")
    assert all(isinstance(value, str) and value.isdigit() for value in summary.values())
    assert json.loads(reply.headers["X-ClickHouse-Progress"])["read_rows"] == "2000"
    forged = port.ask("SELECT 1", query_id="a\r\nX-Forged: 1")
    assert "X-Forged" not in forged.headers
    assert forged.headers["X-ClickHouse-Query-Id"] == "aX-Forged:1"


def test_pages(port: Port) -> None:
    for path in ("/", "/ping", "/replicas_status"):
        assert requests.get(port.url + path, timeout=10).text == "Ok.\n"
        head = requests.head(port.url + path, timeout=10)
        assert (head.status_code, head.content) == (200, b"")
    assert requests.get(f"{port.url}/play", timeout=10).status_code == 404


def test_sessions_are_taken_and_not_kept(port: Port) -> None:
    """Drivers name one of their own accord; what would need one is refused by name."""
    assert port.ask("SELECT 1", session_id="s", session_timeout="60").text == "1\n"
    checked = port.ask("SELECT 1", session_id="s", session_check="1")
    assert (checked.headers["X-ClickHouse-Exception-Code"], "keeps no sessions" in checked.text) == ("372", True)
    for statement in ("SET max_threads = 1", "CREATE TEMPORARY TABLE t (a Int8)", "USE system"):
        assert port.ask(statement, session_id="s").headers["X-ClickHouse-Exception-Code"] == "497"


@pytest.mark.parametrize(
    ("setting", "value", "code"),
    [
        ("max_threads", "64", 0), ("max_execution_time", "0", 0), ("max_execution_time", "60", 0), ("readonly", "2", 0),
        ("readonly", "0", 164), ("max_execution_time", "x", 36), ("output_format_json_quote_64bit_integers", "1", 0),
        ("output_format_schema", "/x", 164), ("user_files_path", "/", 164), ("allow_ddl", "1", 164),
        ("nonsense", "1", 164),
        ("session_timezone", "Europe/Rome", 0), ("join_use_nulls", "x'y", 36), ("database", "system", 81),
        ("role", "x", 0),
        ("param_$x$", "1", 36), ("extremes", "nonsense", 467), ("enable_http_compression", "1", 0),
    ],
)  # fmt: skip
def test_settings_in_the_url(port: Port, setting: str, value: str, code: int) -> None:
    reply = port.ask("SELECT 1", **{setting: value})
    assert int(reply.headers.get("X-ClickHouse-Exception-Code", "0")) == code, reply.text


def test_a_setting_can_lower_a_limit_and_never_raise_one(port: Port) -> None:
    many = "SELECT number FROM numbers(2000000)"
    assert port.ask(many, max_result_rows="100000000").headers["X-ClickHouse-Exception-Code"] == "396"
    assert port.ask(f"{many} SETTINGS max_result_rows = 0").headers["X-ClickHouse-Exception-Code"] == "396"
    fewer = port.ask("SELECT number FROM numbers(20)", max_result_rows="10")
    assert fewer.headers["X-ClickHouse-Exception-Code"] == "396"
    assert port.ask("SELECT 1 AS x SETTINGS output_format_json_quote_64bit_integers = 1 FORMAT JSONEachRow").json() == {
        "x": 1
    }
    quoted = port.ask("SELECT toUInt64(1) AS x FORMAT JSONEachRow SETTINGS output_format_json_quote_64bit_integers = 1")
    assert quoted.json() == {"x": "1"}


def test_curl_works(port: Port, tmp_path: Path) -> None:
    def curl(*arguments: str) -> str:
        return subprocess.run(
            ["curl", "-sS", *arguments], check=True, capture_output=True, text=True, timeout=20
        ).stdout

    assert curl(f"{port.url}/?query=SELECT%201") == "1\n"
    assert curl(port.url, "-d", "SELECT 1 FORMAT CSV") == "1\n"
    assert curl("--compressed", port.url, "--data-binary", ROWS).count("\n") == 2000
    statement = tmp_path / "statement.sql"
    statement.write_text("SELECT {a:String} || {b:String}")
    chunked = ["-H", "Transfer-Encoding: chunked", "-H", "Expect: 100-continue", "--data-binary", f"@{statement}"]
    assert curl(f"{port.url}/?param_a=x&param_b=y", *chunked) == "xy\n"
    assert (
        curl(
            f"{port.url}/?param_ids=%5B1%2C2%5D", "-d", "SELECT sum(x) FROM (SELECT arrayJoin({ids:Array(UInt8)}) AS x)"
        )
        == "3\n"
    )
    form = ["-F", "query=SELECT {a:String}", "-F", "param_a=from a form"]
    assert curl(f"{port.url}/", *form) == "from a form\n"
    assert "external data" in curl(f"{port.url}/?query=SELECT%201", "-F", f"t=@{statement}")
    assert curl("-o", "/dev/null", "-w", "%{http_code}", f"{port.url}/?query=SELECT%20file('/etc/passwd')") == "403"


def test_a_client_that_sends_slowly_or_goes_away_harms_nobody(port: Port) -> None:
    heavy = b"SELECT repeat('x', 1000) FROM numbers(200000)"
    for _ in range(6):
        with socket.create_connection(("127.0.0.1", port.port)) as client:
            client.sendall(b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n%b" % (len(heavy), heavy))
            client.recv(1000)
    with socket.create_connection(("127.0.0.1", port.port)) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\nSELECT")
        assert port.ask("SELECT 1").text == "1\n"


def test_silent_connections_make_room_for_those_that_ask(port: Port, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Asking, "most", 8)
    silent = [socket.create_connection((port.host, port.port), timeout=10) for _ in range(20)]
    assert port.ask("SELECT 1").text == "1\n"
    assert silent[0].recv(1) == b"", "the oldest was closed"
    for sock in silent:
        sock.close()


def test_a_statement_in_the_address_may_be_long_but_not_without_end(port: Port) -> None:
    assert requests.get(port.url, {"query": f"SELECT '{'x' * 60_000}'"}, timeout=10).text.count("x") == 60_000
    assert port.ask(f"SELECT '{'x' * 200_000}'").text.count("x") == 200_000
    with socket.create_connection((port.host, port.port), timeout=10) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nhost: " + b"x" * (Asking.longest + 1))
        assert sock.recv(1) == b""
