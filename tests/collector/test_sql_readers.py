"""Who may read, how much, and what is written down of it."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import requests

from collector import queries, setup
from collector.audit.files import entries
from collector.audit.journal import Journal
from collector.keep.audit_copy import AuditCopy
from collector.readers import Reader, Readers
from collector.sql.errors import StatementRefused
from collector.sql.query_log import QueryLog
from collector.sql.quota import MAX_IN_FLIGHT, Quotas
from collector.sql.statement import Outcome, Statement
from collector.verbs import sql
from fusebox.cli import main
from fusebox.clock import ManualClock
from fusebox.config import Config
from fusebox.errors import ConfigError
from tests.collector.sql_bench import Port, serving


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Port]:
    folder = tmp_path_factory.mktemp("port")
    setup.prepare(Config(data_dir=folder))
    with serving(folder) as port:
        yield port


@pytest.fixture(autouse=True)
def nobody(port: Port) -> Iterator[None]:
    yield
    (port.folder / "readers.json").unlink(missing_ok=True)


def get(port: Port, statement: str = "SELECT 1", **more: Any) -> requests.Response:
    return requests.get(port.url, params={"query": statement, **more.pop("params", {})}, timeout=30, **more)


def test_without_readers_the_port_asks_for_nothing(port: Port) -> None:
    assert get(port).text == "1\n"
    assert get(port, auth=("default", "")).text == "1\n"
    for wrong in (("default", "x"), ("jo", "")):
        refused = get(port, auth=wrong)
        assert (refused.status_code, refused.headers["X-ClickHouse-Exception-Code"]) == (403, "516")


def test_from_the_first_reader_on_everybody_says_who_they_are(port: Port) -> None:
    token = Readers(port.folder).add(Reader("jo"))
    assert "readers add" in get(port).text
    assert get(port).status_code == 403
    ways: list[dict[str, Any]] = [
        {"auth": ("jo", token)},
        {"auth": ("default", token)},
        {"headers": {"X-ClickHouse-User": "jo", "X-ClickHouse-Key": token}},
        {"headers": {"Authorization": f"Bearer {token}"}},
        {"params": {"user": "jo", "password": token}},
    ]
    assert [get(port, **way).text for way in ways] == ["1\n"] * len(ways)
    for wrong in (("ann", token), ("jo", token[:-1]), ("jo", ""), ("jo", "x" * 100_00)):
        assert get(port, auth=wrong).status_code in (403, 431, 400)
    assert get(port, headers={"Authorization": "Basic !!!"}).status_code == 400
    assert requests.get(f"{port.url}/ping", timeout=10).text == "Ok.\n", "health asks nobody who they are"
    operator = (port.folder / "operator.token").read_text().strip()
    assert get(port, auth=("default", operator)).text == "1\n"
    Readers(port.folder).remove("jo")
    assert get(port, auth=("jo", token)).status_code == 403
    assert get(port).status_code == 403, "the last reader's leaving opens nothing"
    assert get(port, auth=("default", operator)).text == "1\n"


def test_tokens_are_hashed_at_rest(port: Port) -> None:
    token = Readers(port.folder).add(Reader("jo", "viewer", 2, 1000))
    path = port.folder / "readers.json"
    assert token not in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_text())["jo"]["role"] == "viewer"


def test_a_damaged_file_lets_nobody_in_and_does_not_open_the_port(port: Port) -> None:
    token = Readers(port.folder).add(Reader("jo"))
    (port.folder / "readers.json").write_text("{")
    assert [get(port, auth=("jo", token)).status_code, get(port).status_code] == [403, 403]


@pytest.mark.parametrize("reader", [Reader("a b"), Reader("default"), Reader(""), Reader("jo", "king")])
def test_a_reader_that_is_none_is_refused(tmp_path: Path, reader: Reader) -> None:
    with pytest.raises(ConfigError):
        Readers(tmp_path).add(reader)


CONTENT = [
    "SELECT * FROM otel_traces",
    "SELECT * FROM default.otel_traces",
    "SELECT * FROM `otel_traces`",
    "SELECT * FROM audit_log",
    "SELECT * FROM dead_letters",
    "SELECT 1 FROM agent_events WHERE span_id IN (SELECT SpanId FROM otel_traces)",
    "SELECT 'x' IN otel_traces",
    "SELECT 'x' IN default.otel_traces",
    "SELECT 'x' IN `default`.`otel_traces`",
    "SELECT t.SpanAttributes FROM agent_events AS e JOIN otel_traces AS t ON t.SpanId = e.span_id",
    "WITH otel AS (SELECT * FROM otel_traces) SELECT * FROM otel",
    "SELECT (SELECT any(SpanAttributes) FROM otel_traces)",
    "SELECT 1 UNION ALL SELECT count() FROM otel_traces",
    "SHOW CREATE TABLE otel_traces",
    "DESCRIBE TABLE default.otel_traces",
    "SELECT * FROM {t:Identifier}",
    "SELECT * FROM default.{t:Identifier}",
    "SELECT * FROM merge('default', 'otel.*')",
    "SELECT * FROM OTEL_TRACES",
    "SELECT * FROM otel_traces AS agent_events",
]


def test_in_a_container_nobody_nameless_reads_and_the_dashboard_has_a_token_of_its_own(port: Port) -> None:
    """Whoever shares the network reaches the port there."""
    inside = Config(data_dir=port.folder, behind_loopback_publish=True)
    asking = Config(data_dir=port.folder, sql_url=port.url)
    for _ in range(2):  # also where somebody deleted the list
        setup.prepare(inside)
        assert get(port).status_code == 403
        with closing(queries.connect(asking)) as client:
            assert queries.run(client, "spans_total") == [{"spans": 2000}]
        assert (journal(port)[-1]["actor"], journal(port)[-1]["subject"]) == ("dashboard", "answered")
        assert sql.ask(asking, "SELECT 1", "TSV")[0] == b"1\n"
        (port.folder / "readers.json").unlink()


def test_an_address_that_names_a_user_is_shown_no_token_but_its_own(port: Port) -> None:
    setup.prepare(Config(data_dir=port.folder, behind_loopback_publish=True))
    named = Config(data_dir=port.folder, sql_url=port.url.replace("//", "//default@"))
    assert queries.token_of(named) is None
    with pytest.raises(queries.KeepUnavailable, match="readers add"):
        queries.connect(named)


@pytest.mark.parametrize("statement", CONTENT)
def test_a_viewer_reads_no_content(port: Port, statement: str) -> None:
    token = Readers(port.folder).add(Reader("grafana", "viewer"))
    reply = get(port, statement, auth=("grafana", token), params={"param_t": "otel_traces"})
    assert reply.status_code in (403, 404), reply.text
    assert get(port, "SELECT count() FROM agent_events", auth=("grafana", token)).text == "2000\n"


def test_quotas_hold_for_one_and_leave_the_others_theirs() -> None:
    clock = ManualClock()
    quotas, jo, ann = Quotas(clock), Reader("jo", in_flight=2, rows_per_minute=100), Reader("ann")
    with quotas.admit(jo), quotas.admit(jo):
        with pytest.raises(StatementRefused, match="jo has 2 statements") as many, quotas.admit(jo):
            pass
        assert many.value.code == 202
        with quotas.admit(ann):
            pass
    with quotas.admit(jo):
        quotas.charge(jo, 100)
    with pytest.raises(StatementRefused, match="100 of 100 rows") as read, quotas.admit(jo):
        pass
    assert read.value.code == 201
    with quotas.admit(ann):
        pass
    clock.advance(60)
    with quotas.admit(jo):
        quotas.bar(jo)
    with pytest.raises(StatementRefused, match="by force"), quotas.admit(jo):
        pass
    clock.advance(11)
    with quotas.admit(jo):
        pass


def test_all_readers_together_have_a_limit() -> None:
    quotas = Quotas(ManualClock())
    admitted = [quotas.admit(Reader(f"r{number}")) for number in range(MAX_IN_FLIGHT + 1)]
    for one in admitted[:-1]:
        one.__enter__()
    with pytest.raises(StatementRefused, match="too many"):
        admitted[-1].__enter__()
    for one in admitted[:-1]:
        one.__exit__(None, None, None)


def test_rows_read_are_charged_at_the_port(port: Port) -> None:
    token = Readers(port.folder).add(Reader("small", rows_per_minute=1500))
    assert get(port, "SELECT count(SpanId) FROM otel_traces WHERE SpanId != ''", auth=("small", token)).text == "2000\n"
    refused = get(port, auth=("small", token))
    assert (refused.status_code, refused.headers["X-ClickHouse-Exception-Code"]) == (429, "201")
    assert refused.headers["Retry-After"].isdigit()
    port.clock.advance(60)
    assert get(port, auth=("small", token)).text == "1\n"


def test_statements_beyond_those_in_flight_are_told_to_come_back(port: Port) -> None:
    token = Readers(port.folder).add(Reader("two", in_flight=2))
    heavy, replies = "SELECT count() FROM numbers(100000000000) WHERE sipHash64(number) = 0", list[int]()
    askers = [
        threading.Thread(target=lambda: replies.append(get(port, heavy, auth=("two", token)).status_code))
        for _ in range(5)
    ]
    for asker in askers:
        asker.start()
    assert get(port, "SELECT 'mine'").status_code == 403  # others are not asked to wait, and not let in without a token
    operator = (port.folder / "operator.token").read_text().strip()
    assert get(port, "SELECT 'mine'", auth=("default", operator)).text == "mine\n"
    for asker in askers:
        asker.join(30)
    assert sorted(replies) == [408] * 2 + [503] * 3


def journal(port: Port) -> list[dict[str, Any]]:
    return list(entries(port.folder / "journal", "keep"))


def test_every_statement_is_journaled_before_it_is_answered(port: Port) -> None:
    token = Readers(port.folder).add(Reader("ann"))
    before = len(journal(port))
    get(port, "SELECT {x:String}, count() FROM agent_events", auth=("ann", token), params={"param_x": "who?"})
    get(port, "SELECT file('/etc/passwd')", auth=("ann", token))
    get(port, "SELECT * FROM nowhere", auth=("ann", token))
    answered, refused, failed = journal(port)[before:]
    assert {e["kind"] for e in (answered, refused, failed)} == {"sql"}
    assert [e["subject"] for e in (answered, refused, failed)] == ["answered", "refused", "failed"]
    assert {e["actor"] for e in (answered, refused, failed)} == {"ann"}
    assert answered["reason"] == "SELECT {x:String}, count() FROM agent_events"
    assert json.loads(answered["payload"]["parameters"]) == {"x": "who?"}
    assert (answered["payload"]["rows"], answered["payload"]["code"]) == (1, 0)
    assert (refused["payload"]["code"], failed["payload"]["code"]) == (497, 60)
    AuditCopy(port.bench.engine, port.folder / "journal").step()
    copied = "SELECT count() FROM audit_log WHERE writer = 'keep' AND kind = 'sql' AND actor = 'ann'"
    assert port.bench.one(copied) == 3


def test_a_statement_that_is_refused_for_what_came_with_it_is_journaled_too(port: Port) -> None:
    token = Readers(port.folder).add(Reader("eve"))
    port.clock.advance(60)  # who was not let in just before is one reader with those of now
    get(port, auth=("eve", token))
    before = len(journal(port))
    for params in ({"allow_ddl": "1"}, {"param_x-y": "1"}, {"session_check": "1"}):
        assert get(port, f"SELECT '{params}'", auth=("eve", token), params=params).status_code >= 400
    broken = requests.post(port.url, data=b"SELECT '\xff'", auth=("eve", token), timeout=30)
    assert broken.status_code == 400
    assert get(port, headers={"Authorization": "Basic !!!"}).status_code == 400
    found = [(e["actor"], e["subject"], e["payload"]["code"]) for e in journal(port)[before:] if e["kind"] == "sql"]
    assert found == [("eve", "refused", code) for code in (164, 36, 372, 36)] + [("unauthenticated", "refused", 36)]
    assert "allow_ddl" in journal(port)[before]["reason"]


def test_who_is_not_let_in_is_journaled_too(port: Port) -> None:
    Readers(port.folder).add(Reader("ann", in_flight=1))
    port.clock.advance(60)
    get(port, auth=("ann", "first"))
    port.clock.advance(60)
    before = len(journal(port))
    for _ in range(50):
        assert get(port, auth=("ann", "guess")).status_code == 403
    (entry,) = [entry for entry in journal(port)[before:] if entry["kind"] == "sql"]
    assert (entry["actor"], entry["subject"], entry["payload"]["code"]) == ("unauthenticated", "refused", 516)


def test_a_server_is_asked_like_the_embedded_engine(port: Port, tmp_path: Path) -> None:
    """The same gate in front of a ClickHouse server (a stand-in of chDB behind HTTP)."""
    code = (
        "import sys; from pathlib import Path\n"
        "from tests.collector.clickhouse_standin import StandIn\n"
        "from collector.sql.database import Server\n"
        "from collector.sql.sandbox import Sandbox\n"
        "from collector.sql.statement import Statement\n"
        "standin = StandIn(Path(sys.argv[1]))\n"
        "sandbox = Sandbox(Server(standin.url))\n"
        "for text in ('SELECT {x:UInt8} + 1 FORMAT CSV', \"SELECT file('/etc/passwd')\", 'SELECT * FROM nowhere'):\n"
        "    outcome, data = sandbox.run(Statement(text, {'x': '41'}))\n"
        "    print(outcome.code, outcome.format, data.decode().strip())\n"
        "standin.close()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.splitlines() == ["0 CSV 42", "497  ", "60  "], done.stderr


def _log(tmp_path: Path) -> tuple[QueryLog, ManualClock]:
    clock = ManualClock()
    return QueryLog(Journal(tmp_path, clock, "keep"), clock), clock


def test_the_same_statement_is_written_once_and_counted(tmp_path: Path) -> None:
    log, clock = _log(tmp_path)
    for _ in range(1000):
        log.record("grafana", Statement("SELECT 1"), Outcome(read_rows=7), 2.0)
    log.record("grafana", Statement("SELECT 1"), Outcome(error="x", code=60), 1.0)
    clock.advance(60)
    log.settle()
    first, failed, counted = entries(tmp_path, "keep")
    assert (first["subject"], failed["subject"], counted["kind"]) == ("answered", "failed", "sql_count")
    assert counted["payload"]["answered"] == 999
    assert (counted["payload"]["read_rows"], counted["payload"]["ms"]) == (6993, 1998)
    assert counted["payload"]["statements"] == {"SELECT 1": 999}
    log.close()


def test_counts_that_no_disk_takes_at_the_end_are_owed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, _ = _log(tmp_path)
    for _ in range(9):
        log.record("grafana", Statement("SELECT 1"), Outcome(), 2.0)
    with monkeypatch.context() as patched:
        patched.setattr("collector.audit.chain.os.fdatasync", _full)
        log.close()
    _log(tmp_path)[0].close()
    assert [e["payload"]["answered"] for e in entries(tmp_path, "keep") if e["kind"] == "sql_count"] == [8]


def _full(*_: object) -> None:
    raise OSError(28, "No space left on device")


def test_noise_hides_no_statement(tmp_path: Path) -> None:
    log, _ = _log(tmp_path)
    for number in range(100):
        log.record("mallory", Statement(f"SELECT {number}"), Outcome(), 1.0)
    log.record("mallory", Statement("SELECT prompt FROM secrets"), Outcome(), 1.0)
    for number in range(1000):
        log.record("mallory", Statement(f"SELECT {number}, 'more'"), Outcome(), 1.0)
    log.close()
    (counted,) = [e["payload"] for e in entries(tmp_path, "keep") if e["kind"] == "sql_count"]
    assert counted["statements"]["SELECT prompt FROM secrets"] == 1
    assert sum(counted["statements"].values()) == counted["answered"] == 100 + 1 + 1000 - 30
    assert counted["statements"]["…"] > 700, "so many that their asker is noticed by it"


def test_no_reader_can_flood_the_journal(tmp_path: Path) -> None:
    log, clock = _log(tmp_path)
    for _ in range(3):
        for number in range(500):
            log.record("mallory", Statement(f"SELECT {number} -- " + "x" * 100_000), Outcome(), 1.0)
        log.record("ann", Statement("SELECT 'still heard'"), Outcome(), 1.0)
        clock.advance(60)
    log.close()
    written = list(entries(tmp_path, "keep"))
    assert len(written) == 3 * (30 + 1 + 1)
    assert sum(file.stat().st_size for file in tmp_path.glob("keep/0*")) < 400_000
    assert sum(e["payload"]["answered"] for e in written if e["kind"] == "sql_count") == 3 * (500 - 30)
    assert [e["actor"] for e in written if e["reason"] == "SELECT 'still heard'"] == ["ann"] * 3
    assert all(e["payload"]["length"] > 100_000 for e in written if e["actor"] == "mallory" and e["kind"] == "sql")


def test_what_cannot_be_journaled_is_not_answered(port: Port, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("collector.audit.chain.os.fdatasync", _full)
    reply = get(port, "SELECT 'a word nobody may see'")
    monkeypatch.undo()
    assert reply.status_code == 503
    assert "a word nobody may see" not in reply.text
    assert "journal" in reply.text
    assert get(port, "SELECT 'again'").text == "again\n"


def test_the_verb(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUSEBOX_DATA_DIR", str(tmp_path))
    assert main(["readers", "list"]) == 0
    assert "asks for no password" in capsys.readouterr().out
    assert main(["readers", "add", "grafana", "--role", "viewer", "--in-flight", "4"]) == 0
    token = capsys.readouterr().out.strip()
    assert Readers(tmp_path).authenticate("grafana", token) == Reader("grafana", "viewer", 4)
    assert main(["readers", "add", "grafana"]) == 2
    assert "already reads" in capsys.readouterr().err
    assert main(["readers", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["name"] == "grafana"
    assert main(["readers", "list"]) == 0
    assert "grafana  viewer  4 in flight" in capsys.readouterr().out
    assert main(["readers", "remove", "grafana"]) == 0
    assert main(["readers", "remove", "grafana"]) == 2
    assert "is no reader" in capsys.readouterr().err
