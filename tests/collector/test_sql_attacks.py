"""The SQL port under attack: nothing is read that may not be, nothing written, and the limits hold."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.collector import sql_attacks
from tests.collector.sql_bench import Port, serving
from tests.fixtures.collector import until


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Port]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OPENAI_API_KEY", "hunter2")  # of the gateway, which is started with keep
        patch.setenv("FUSEBOX_REDIS_URL", "redis://:hunter3@127.0.0.1")
        with serving(tmp_path_factory.mktemp("port")) as port:
            yield port


@pytest.fixture(autouse=True)
def a_minute_later(port: Port) -> None:
    """No test begins with what another left on the accounts."""
    port.clock.advance(60)


def test_there_are_many_attacks_and_none_twice() -> None:
    assert len(set(sql_attacks.REFUSED)) == len(sql_attacks.REFUSED) >= 500
    assert len(set(sql_attacks.BOMBS)) == len(sql_attacks.BOMBS) >= 45


@pytest.mark.parametrize("attack", sql_attacks.REFUSED)
def test_an_attack_is_refused_and_touches_no_file(port: Port, tmp_path: Path, attack: str) -> None:
    secret, canary = tmp_path / "secret", tmp_path / "canary"
    secret.write_text("hunter2")
    text = attack.replace("{secret}", str(secret)).replace("{canary}", str(canary))
    for form in (text, f"{text}\n FORMAT Native"):
        reply = port.ask(form, **sql_attacks.PARAMETERS)
        assert "hunter2" not in reply.text
        assert reply.status_code >= 400, reply.text
        assert reply.text.startswith("Code: ")
        assert reply.headers["X-ClickHouse-Exception-Code"].isdigit()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["secret"]


def test_the_tables_are_what_they_were(port: Port) -> None:
    """Runs after the attacks, on the database that they were aimed at; asked of the writer."""
    tables = [row[0] for row in port.bench.rows("SHOW TABLES")]
    assert {"agent_events", "audit_log", "dead_letters", "otel_traces"} <= set(tables)
    assert not {"x", "v", "d", "f"} & set(tables)
    assert port.bench.one("SELECT count() FROM agent_events") == 2000
    assert port.ask("SELECT count() FROM agent_events").text == "2000\n"


def _memory(pid: int) -> int:
    """Anonymous memory of a process, in bytes."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return next(int(line.split()[1]) << 10 for line in rollup.splitlines() if line.startswith("Anonymous:"))


def sandbox_of(pid: int) -> int:
    """The pid of the process in which statements of ``pid`` run."""
    for child in Path(f"/proc/{pid}/task").glob("*/children"):
        for number in child.read_text().split():
            if b"collector.sql.sandbox" in Path(f"/proc/{number}/cmdline").read_bytes():
                return int(number)
    raise AssertionError("no sandbox runs")


@pytest.mark.faults
@pytest.mark.parametrize("bomb", sql_attacks.BOMBS)
def test_every_bomb_ends_within_the_limits(port: Port, bomb: str) -> None:
    reply = port.ask(bomb)
    assert reply.elapsed.total_seconds() < 30  # it would go on for minutes
    assert reply.status_code == 200 or reply.headers["X-ClickHouse-Exception-Code"].isdigit()
    port.clock.advance(60)
    assert port.ask("SELECT count() FROM agent_events").text == "2000\n"
    assert _memory(sandbox_of(os.getpid())) < 2 << 30


def test_a_call_that_outlasts_the_engines_clock_is_ended_with_its_process(port: Port) -> None:
    """The engine looks at its time limit between blocks only; each of these stays in one for minutes."""
    port.ask("SELECT 1")
    first = sandbox_of(os.getpid())
    replies: list[requests.Response] = []
    innocent = threading.Thread(
        target=lambda: replies.append(port.ask("SELECT sum(sleepless) FROM (SELECT 1 AS sleepless)"))
    )
    reply_of = threading.Thread(target=lambda: replies.append(port.ask(sql_attacks.EVASIONS[0])))
    reply_of.start()
    innocent.start()
    innocent.join(20)
    reply_of.join(20)
    answers = {reply.status_code: reply for reply in replies}
    assert sorted(answers) == [200, 408]
    assert answers[408].headers["X-ClickHouse-Exception-Code"] == "159"
    assert answers[408].elapsed.total_seconds() < 8
    barred = port.ask("SELECT 1")
    assert (barred.status_code, barred.headers["X-ClickHouse-Exception-Code"]) == (429, "201")
    assert "ended by force" in barred.text
    port.clock.advance(11)
    assert port.ask("SELECT count() FROM agent_events").text == "2000\n"
    assert sandbox_of(os.getpid()) != first


@pytest.mark.faults
@pytest.mark.parametrize("evasion", sql_attacks.EVASIONS)
def test_every_evasion_is_ended(port: Port, evasion: str) -> None:
    reply = port.ask(evasion)
    assert reply.status_code >= 400
    assert reply.elapsed.total_seconds() < 30  # it would go on for minutes


def test_a_sandbox_that_dies_is_replaced_and_its_statements_are_run_again(port: Port) -> None:
    port.ask("SELECT 1")
    replies: list[requests.Response] = []
    slow = "SELECT count() FROM (SELECT sipHash64(number) AS h FROM numbers(40000000)) WHERE h = 0"
    asker = threading.Thread(target=lambda: replies.append(port.ask(slow)))
    asker.start()
    os.kill(sandbox_of(os.getpid()), 9)
    asker.join(30)
    assert (replies[0].status_code, replies[0].text) == (200, "0\n")


_CONFINED = """
import socket, sys
from pathlib import Path
from collector.sql.landlock import confine
from collector.sql.database import Embedded
from collector.sql.errors import EngineError
readable, secret, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
if not confine([*map(Path, ("/usr", "/lib", "/lib64", "/proc", "/sys", "/etc/localtime", sys.prefix, sys.base_prefix)),
                *map(Path, filter(None, sys.path)), Path(readable)], [Path(readable), Path("/dev/null")]):
    sys.exit(77)
connection = Embedded([]).connect({"http_max_tries": "1", "http_receive_timeout": "3"})
for statement in (
    f"SELECT file('{secret}')",
    f"SELECT * FROM file('{secret}', 'LineAsString')",
    f"SELECT 1 INTO OUTFILE '{secret}.out'",
    f"SELECT * FROM url('http://127.0.0.1:{port}/', 'LineAsString', 'a String')",
):
    try:
        print("answered", statement, connection.run(statement, "TSV"))
    except EngineError as error:
        print("refused", error.code)
try:
    socket.create_connection(("127.0.0.1", port))
    print("connected")
except PermissionError:
    print("refused")
"""


def test_without_the_gate_the_kernel_still_refuses(tmp_path: Path) -> None:
    """The second line of defence: file() and url() themselves, with no gate in front of them."""
    inside, secret = tmp_path / "inside", tmp_path / "secret"
    inside.mkdir()
    secret.write_text("hunter2")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        arguments = [str(inside), str(secret), str(listener.getsockname()[1])]
        env = {**os.environ, "TMPDIR": str(inside), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        command = [sys.executable, "-c", _CONFINED, *arguments]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60, env=env, cwd=inside)
        listener.settimeout(0)
        with pytest.raises(BlockingIOError):
            listener.accept()
    if done.returncode == 77:
        pytest.skip("this kernel has no Landlock")
    lines = done.stdout.splitlines()
    assert len(lines) == 5, done.stderr
    assert all(line.startswith("refused") for line in lines), done.stdout
    assert "hunter2" not in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["inside", "secret"]


def test_the_sandbox_of_the_port_is_confined_and_has_no_way_out(port: Port) -> None:
    port.ask("SELECT 1")
    status = Path(f"/proc/{sandbox_of(os.getpid())}/status").read_text()
    assert "NoNewPrivs:\t1" in status
    open_files = [os.readlink(path) for path in Path(f"/proc/{sandbox_of(os.getpid())}/fd").iterdir()]
    assert not [name for name in open_files if name.endswith((".key", ".token", "readers.json"))]
    assert b"hunter" not in Path(f"/proc/{sandbox_of(os.getpid())}/environ").read_bytes()


def test_the_sandbox_ends_with_keep_even_in_the_middle_of_a_call(tmp_path: Path) -> None:
    code = (
        "import sys, threading, time\n"
        "from pathlib import Path\n"
        "from tests.collector.sql_bench import serving\n"
        "from tests.collector.sql_attacks import EVASIONS\n"
        "from tests.collector.test_sql_attacks import sandbox_of\n"
        "import os\n"
        "with serving(Path(sys.argv[1])) as port:\n"
        "    port.ask('SELECT 1')\n"
        "    print(sandbox_of(os.getpid()), flush=True)\n"
        "    port.ask(EVASIONS[0])\n"
    )
    owner = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    sandbox = int(owner.stdout.readline())
    idle = _worked(sandbox)
    until(lambda: _worked(sandbox) > idle + 0.3, "the call is under way")
    assert _runs(sandbox)
    owner.kill()
    owner.wait()
    owner.stdout.close()
    until(lambda: not _runs(sandbox), "the sandbox ends with its keep")


def _worked(pid: int) -> float:
    """Seconds of processor time that a process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _runs(pid: int) -> bool:
    try:
        return "(zombie)" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def test_four_that_outlast_their_time_cost_one_process(port: Port) -> None:
    """They are ended together, and whoever comes after them waits for a new process only."""
    port.ask("SELECT 1")
    replies: list[requests.Response] = []
    for _ in range(3):  # as many as one reader may run at once
        threading.Thread(target=lambda: replies.append(port.ask(sql_attacks.EVASIONS[0]))).start()
    deadline = time.monotonic() + 20
    while len(replies) < 3 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [reply.status_code for reply in replies] == [408] * 3
    assert max(reply.elapsed.total_seconds() for reply in replies) < 9
    port.clock.advance(11)
    assert port.ask("SELECT count() FROM agent_events").text == "2000\n"
