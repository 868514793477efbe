"""*keep* as a process: what receive acknowledged is in the tables exactly once, whatever happens to keep."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from collector.audit.entry import START, Entry, Note, line, make, payload_of
from collector.keep.engine import Engine
from collector.spool import Writer
from fusebox.config import PREFIX
from tests.collector.spans import Span, request
from tests.fixtures.collector import Roles, StartRoles, starting, until
from tests.need import PATIENCE_S

_SPOOL_BYTES = 64 << 20


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Roles]:
    """One for the tests that leave it as it is."""
    with starting(tmp_path_factory.mktemp("keep")) as start:
        yield start("keep")


def test_what_is_in_the_spool_appears_in_the_tables(running: Roles) -> None:
    writer = _spool(running)
    writer.append(request(Span(1), Span(2)))
    until(lambda: _rows(running, "SELECT count() FROM agent_events") == [[2]], "two events")
    assert _rows(running, "SELECT count() FROM otel_traces") == [[2]]
    writer.close()


def test_nothing_is_left_in_the_folder_it_was_started_in(
    roles: StartRoles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "the user's: folder"
    here.mkdir()
    monkeypatch.chdir(here)
    running = roles("keep")
    writer = _spool(running)
    writer.append(request(Span(1)))
    until(lambda: _rows(running, "SELECT count() FROM otel_traces") == [[1]], "a span")
    assert list(here.iterdir()) == []
    writer.close()


def test_a_journal_that_is_refused_is_refused_before_the_database_is_changed(tmp_path: Path) -> None:
    (tmp_path / "journal").mkdir()
    (tmp_path / "journal" / "watch-000000000000.jsonl").touch()
    environment = os.environ | {f"{PREFIX}DATA_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "fusebox", "service", "keep"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 2
    assert "is a journal of an earlier Fusebox" in done.stderr
    assert not (tmp_path / "clickhouse").exists(), "the Fusebox that wrote it can still be started"


def test_what_tells_of_people_is_nobody_else_s_even_where_the_folder_is(running: Roles) -> None:
    folder = running.config.data_dir
    private = [*folder.glob("*.log"), *folder.glob("*.token"), *(folder / name for name in ("run", "configured"))]
    assert len(private) >= 4
    assert [path for path in private if path.stat().st_mode & 0o077] == []


def test_so_is_a_database_that_is_made_new(tmp_path: Path) -> None:
    engine = Engine(tmp_path / "data" / "clickhouse")
    engine.writer()
    engine.close()
    assert (tmp_path / "data" / "clickhouse").stat().st_mode & 0o077 == 0


def test_a_colon_in_the_path_of_the_data_is_no_trouble(
    roles: StartRoles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where chDB then keeps its copy of the schema
    running = roles("keep", data_dir=tmp_path / "data: mine")
    writer = _spool(running)
    writer.append(request(Span(1)))
    until(lambda: _rows(running, "SELECT count() FROM otel_traces") == [[1]], "a span")
    writer.close()


def test_health_and_metrics_tell_of_the_flow(roles: StartRoles) -> None:
    running = roles("keep")
    url = running.info("keep")["url"]
    writer = _spool(running)
    writer.append(request(Span(1)))
    until(lambda: _rows(running, "SELECT count() FROM otel_traces") == [[1]], "a span")
    health = until(lambda: _stored(requests.get(f"{url}/healthz", timeout=PATIENCE_S)), "the flow shows it")
    assert health["ok"] is True
    assert "fusebox_records_stored_total 1" in requests.get(f"{url}/metrics", timeout=PATIENCE_S).text
    assert requests.get(f"{url}/ping", timeout=PATIENCE_S).text == "Ok.\n"
    writer.close()


def test_health_says_that_no_statement_can_run(roles: StartRoles) -> None:
    running = roles("keep")
    url, folder = running.info("keep")["url"], running.config.data_dir / "sandbox"
    until(lambda: _rows(running, "SELECT 1") == [[1]], "statements run")
    folder.rename(folder.with_name("away"))
    folder.write_text("in the way of the next process")
    os.kill(_sandbox_of(running.supervisor.pid("keep")), signal.SIGKILL)
    assert requests.post(url, "SELECT 1", timeout=PATIENCE_S).status_code == 503
    health = requests.get(f"{url}/healthz", timeout=PATIENCE_S)
    assert health.status_code == 503
    assert "the process for statements does not start" in health.json()["reason"]
    folder.unlink()
    assert _rows(running, "SELECT 1") == [[1]]
    assert requests.get(f"{url}/healthz", timeout=PATIENCE_S).status_code == 200


def _sandbox_of(keep: int) -> int:
    children = Path(f"/proc/{keep}/task").glob("*/children")
    pids = [int(pid) for each in children for pid in each.read_text().split()]
    return next(pid for pid in pids if b"collector.sql.sandbox" in Path(f"/proc/{pid}/cmdline").read_bytes())


def test_garbage_becomes_a_dead_letter_and_its_neighbours_are_kept(roles: StartRoles) -> None:
    running = roles("keep")
    writer = _spool(running)
    whole = request(Span(2))
    garbage = [b"\xff\xfe not a request", whole[: len(whole) // 2], b"\x0a\x05\x0a\x03\xff\xff\xff"]
    writer.append(request(Span(1)))
    for payload in garbage:
        writer.append(payload)
    writer.append(request(Span(3)))
    until(lambda: _rows(running, "SELECT count() FROM dead_letters") == [[3]], "three letters")
    neighbours = [[f"{1:016x}"], [f"{3:016x}"]]
    until(lambda: _rows(running, "SELECT SpanId FROM otel_traces ORDER BY SpanId") == neighbours, "its neighbours")
    letters = _rows(running, "SELECT hex(raw), reason != '' FROM dead_letters")
    assert sorted(bytes.fromhex(raw) for raw, _ in letters) == sorted(garbage)
    assert all(explained for _, explained in letters)
    writer.append(request(Span(4)))
    until(lambda: _rows(running, "SELECT count() FROM otel_traces") == [[3]], "the flow goes on")
    writer.close()


def test_a_damaged_cursor_and_a_damaged_promise_store_nothing_again(roles: StartRoles) -> None:
    running = roles("keep")
    writer = _spool(running)
    count, cursor = "SELECT count(), uniqExact(SpanId) FROM otel_traces", running.config.data_dir / "spool/cursors/keep"
    for number in (1, 2, 3):
        writer.append(request(Span(number)))
        until(lambda n=number: _rows(running, count) == [[n, n]], f"{number} spans")  # type: ignore[misc]
    until(lambda: cursor.read_text().startswith("3 "), "the cursor stands behind them")
    cursor.write_text("damaged")
    running.kill("keep")
    writer.append(request(Span(4)))
    until(lambda: _rows(running, count) == [[4, 4]], "the new one, and none twice")
    until(lambda: cursor.read_text().startswith("4 "), "the cursor is right again")
    (running.config.data_dir / "batches" / "promise.json").write_text("damaged")
    running.kill("keep")
    writer.append(request(Span(5)))
    until(lambda: _rows(running, count) == [[5, 5]], "keep starts all the same")
    writer.close()


_SEQUENCE = "SELECT groupArray(seq) FROM (SELECT seq FROM audit_log WHERE writer = 'watch' ORDER BY seq)"


def test_the_journal_is_copied_once_across_restarts(roles: StartRoles, tmp_path: Path) -> None:
    running = roles("keep")
    journal = running.config.data_dir / "journal" / "watch" / "000000000000.jsonl"
    journal.parent.mkdir(parents=True, exist_ok=True)
    with journal.open("a") as file:
        file.write(_entry(0) + "\n" + _entry(1) + "\n" + "not json\n" + _entry(2)[:20])
    until(lambda: _rows(running, "SELECT max(seq) FROM audit_log WHERE writer = 'watch'") == [[1]], "two entries")
    os.kill(running.supervisor.pid("keep"), signal.SIGKILL)
    with journal.open("a") as file:
        file.write(_entry(2)[20:] + "\n" + _entry(3) + "\n")
    until(
        lambda: _rows(running, _SEQUENCE) == [[[0, 1, 2, 3]]],
        "all four, once",
    )
    row = _rows(
        running,
        "SELECT writer, kind, actor, subject, reason, payload, hash, toUnixTimestamp64Micro(time) FROM audit_log "
        "WHERE writer = 'watch' AND seq = 3",
    )[0]
    payload, hash, time = '{"scope":"agent:helper"}', _made(3).hash, 1_760_000_003_123_457
    assert row == ["watch", "kill", "operator:ann", "helper", "too loud", payload, hash, time]
    loaded = Path(f"/proc/{running.info('keep')['pid']}/maps").read_text()
    assert "/chdb/" in loaded
    assert "/pandas/" not in loaded, "which the client would load at its first insert"


def test_a_second_keep_says_who_owns_the_data(running: Roles) -> None:
    pid = running.supervisor.pid("keep")
    env = {**os.environ, PREFIX + "DATA_DIR": str(running.config.data_dir), PREFIX + "SQL_PORT": "0"}
    second = subprocess.run(
        [sys.executable, "-m", "fusebox", "service", "keep"], check=False, env=env, capture_output=True, timeout=60
    )
    assert second.returncode == 2
    assert f"process {pid}" in second.stderr.decode()
    assert b"Traceback" not in second.stderr


def test_a_taken_port_is_named_with_its_setting(running: Roles, tmp_path: Path) -> None:
    port = running.info("keep")["url"].rpartition(":")[2]
    env = {**os.environ, PREFIX + "DATA_DIR": str(tmp_path / "other"), PREFIX + "SQL_PORT": port}
    second = subprocess.run(
        [sys.executable, "-m", "fusebox", "service", "keep"], check=False, env=env, capture_output=True, timeout=60
    )
    assert second.returncode == 2
    assert f"port {port}" in second.stderr.decode()
    assert "sql_port" in second.stderr.decode()


def _spool(running: Roles) -> Writer:
    return Writer(running.config.data_dir / "spool", _SPOOL_BYTES)


def _rows(running: Roles, statement: str) -> list[list[object]]:
    try:
        answer = requests.post(running.info("keep")["url"], data=f"{statement} FORMAT JSONCompact", timeout=PATIENCE_S)
    except requests.ConnectionError:
        return []  # it is being restarted
    assert answer.status_code == 200, answer.text
    return [[_number(value) for value in row] for row in answer.json()["data"]]


def _number(value: object) -> object:
    if isinstance(value, list):
        return [_number(item) for item in value]
    return int(value) if isinstance(value, str) and value.isdigit() and len(value) < 16 else value


def _stored(answer: requests.Response) -> dict[str, object] | None:
    body: dict[str, object] = answer.json()
    return body if body["last_stored"] else None


def _made(seq: int) -> Entry:
    note = Note("kill", "operator:ann", "helper", "too loud", payload={"scope": "agent:helper"})
    return make(seq, "watch", 1.76e9 + seq + 0.123457, note, payload_of(note), START)


def _entry(seq: int) -> str:
    return line(_made(seq)).decode()
