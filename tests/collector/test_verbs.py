"""The command line as a person at the keyboard meets it."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from collector.approvers import Approvers
from collector.setup import prepare
from collector.tokens import Tokens
from fusebox.cli import main
from fusebox.config import Config
from fusebox.rundir import lookup
from fusebox.webhooks import new_secret
from tests.fixtures.authority import Authority
from tests.fixtures.collector import until
from tests.fixtures.secured import Secured
from tests.fixtures.watch import FakeProcess, Harness

Start = Callable[..., FakeProcess]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The shell: a folder of its own, the data folder in the environment, a wide terminal."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FUSEBOX_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("FUSEBOX_AMQP_URL", raising=False)


def said(capsys: pytest.CaptureFixture[str]) -> Any:
    """The JSON on standard output."""
    return json.loads(capsys.readouterr().out)


class TestKillAndResume:
    def test_kill_shows_receipts_and_succeeds(
        self, harness: Harness, process: Start, capsys: pytest.CaptureFixture[str]
    ) -> None:
        process("p1", "bot")
        assert main(["kill", "bot", "--reason", "loops"]) == 0
        *receipts, last = capsys.readouterr().out.splitlines()
        assert [line.split()[0] for line in receipts] == ["✓"]
        assert last == "bot killed: 1 of 1 processes confirmed"
        assert main(["resume", "bot", "--reason", "fixed", "--json"]) == 0
        answer = said(capsys)
        assert answer["received"].keys() == {"p1"}
        assert (answer["complete"], answer["missing"]) == (True, [])
        assert harness.state("bot") == "closed"

    def test_a_kill_of_an_agent_that_nobody_knows_names_the_one_that_may_be_meant(
        self, harness: Harness, process: Start, capsys: pytest.CaptureFixture[str]
    ) -> None:
        process("p1", "ticket-helper")
        assert main(["kill", "ticket-helpr", "--reason", "loops"]) == 0
        said, doubt = capsys.readouterr().out.splitlines()
        assert said.startswith("ticket-helpr killed; no process runs it")
        assert doubt == "nobody registered ticket-helpr; did you mean ticket-helper?"

    def test_what_is_no_agent_id_is_refused_in_our_own_words(
        self, harness: Harness, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["kill", "ticket helper", "--reason", "loops"]) == 2
        said = capsys.readouterr().err
        assert "and not 'agent:ticket helper'" in said
        assert "Value error" not in said

    def test_a_missing_receipt_fails_and_names_the_process(
        self, harness: Harness, process: Start, capsys: pytest.CaptureFixture[str]
    ) -> None:
        process("p1", "bot").acknowledge = False
        assert main(["kill", "--all", "--reason", "fire", "--timeout", "0.3"]) == 1
        assert "no receipt within 0.3 s from p1" in capsys.readouterr().out
        assert harness.state("bot") == "forced_open"

    def test_killing_what_nobody_runs_succeeds_and_says_so(
        self, harness: Harness, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["kill", "ghost", "--reason", "x"]) == 0
        assert "no process runs it now" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            (["kill", "--reason", "x"], "name one agent, or say --all"),
            (["kill", "bot", "--all", "--reason", "x"], "name one agent, or say --all"),
            (["kill", "bot", "--tool", "x", "--reason", "x"], "name one agent, or say --all"),
            (["kill", "not an id", "--reason", "x"], "scope is 'all', 'agent:<agent id>'"),
            (["kill", "--tenant", "acme", "--reason", "x"], "this watch serves tenant 'default'"),
            (["resume", "bot", "--reason", "x"], "nothing to resume"),
        ],
    )
    def test_a_wrong_order_is_one_sentence(
        self, harness: Harness, capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
    ) -> None:
        assert main(arguments) == 2
        error = capsys.readouterr().err
        assert sentence in error
        assert error.startswith("fusebox: ")
        assert error.count("\n") == 1

    def test_an_order_that_was_taken_stands_though_watch_goes_away(
        self, harness: Harness, process: Start, capsys: pytest.CaptureFixture[str]
    ) -> None:
        process("p1", "bot").acknowledge = False
        status: list[int] = []
        order = ["kill", "bot", "--reason", "loops", "--timeout", "3"]
        person = threading.Thread(target=lambda: status.append(main(order)))
        person.start()
        until(lambda: harness.journal("outcome"), "the order was taken")
        harness.stop()
        person.join()
        assert status == [1]
        assert "no receipt within 3 s from p1: the order stands; check it" in capsys.readouterr().out

    def test_without_watch_the_fix_is_named(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["kill", "bot", "--reason", "x"]) == 2
        assert "start it with 'fusebox up'" in capsys.readouterr().err


class TestWhoIsThere:
    def test_agents_lists_states_owners_and_strangers(
        self, harness: Harness, tmp_path: Path, process: Start, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "agents.toml").write_text('[agents.bot]\nowner = "jo"\n')
        harness.restart()
        process("p1", "shadow")
        harness.operator().kill("agent:bot", "it [bold]loops[/]")
        assert main(["agents"]) == 0
        out = capsys.readouterr().out
        assert "forced_open" in out
        assert "it [bold]loops[/]" in out
        assert main(["agents", "--unregistered", "--json"]) == 0
        assert [tile["agent"] for tile in said(capsys)] == ["shadow"]

    @pytest.mark.parametrize("columns", ["30", "80", "200"])
    def test_what_stopped_an_agent_can_be_read_on_a_terminal_of_any_width(
        self, harness: Harness, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], columns: str
    ) -> None:
        harness.operator().trip("planner-critic", "the same result")
        for name, value in {"FORCE_COLOR": "1", "TERM": "dumb", "COLUMNS": columns}.items():
            monkeypatch.setenv(name, value)
        assert main(["agents"]) == 0
        words = capsys.readouterr().out
        for word in ("planner-critic", "unregistered", "the same result"):
            assert word in words, "on one line, whole"

    def test_status_fails_while_a_role_is_down(self, harness: Harness, capsys: pytest.CaptureFixture[str]) -> None:
        harness.operator().trip("bot", "x")
        assert main(["status", "--json"]) == 1
        answer = said(capsys)
        states = {role["role"]: role["state"] for role in answer["roles"]}
        assert states == {
            "redis": "absent", "receive": "down", "keep": "down", "watch": "up", "gateway": "absent",
            "dashboard": "absent",
        }  # fmt: skip
        assert answer["circuits"] == {"open": 1}
        assert main(["status"]) == 1
        assert "start it with 'fusebox up'" in capsys.readouterr().out


class TestTokens:
    def test_an_operator_is_added_used_and_removed(
        self, harness: Harness, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["operators", "add", "jo"]) == 0
        monkeypatch.setenv("FUSEBOX_OPERATOR_TOKEN", capsys.readouterr().out.strip())
        assert main(["kill", "bot", "--reason", "x", "--json"]) == 0
        assert harness.journal("kill")[0]["actor"] == "operator:jo"
        assert main(["operators", "remove", "jo"]) == 0
        assert main(["resume", "bot", "--reason", "x"]) == 2
        assert "operator token" in capsys.readouterr().err
        assert main(["operators", "list"]) == 0
        assert capsys.readouterr().out == "local\n"
        assert main(["operators", "list", "--json"]) == 0
        assert said(capsys) == [{"name": "local"}]

    def test_the_first_token_does_not_take_the_local_ones_away(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["tokens", "add", "host", "--agent", "a", "--agent", "b"]) == 0
        assert capsys.readouterr().out.startswith("fbx_")
        assert main(["tokens", "list"]) == 0
        assert capsys.readouterr().out == "host  a, b\nlocal  *\n"
        assert main(["tokens", "list", "--json"]) == 0
        assert said(capsys) == [{"name": "host", "agents": ["a", "b"]}, {"name": "local", "agents": ["*"]}]
        assert (tmp_path / "data" / "operator.token").exists()

    @pytest.mark.parametrize(
        ("arguments", "sentence"),
        [
            (["tokens", "add", "local", "--agent", "x"], "already has a token"),
            (["tokens", "add", "a/b", "--agent", "x"], "not a valid id"),
            (["tokens", "remove", "nobody"], "has no token"),
        ],
    )
    def test_mistakes_are_one_sentence(
        self, capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
    ) -> None:
        assert main(arguments) == 2
        assert sentence in capsys.readouterr().err


class TestAFolderThatIsNotOurs:
    """Nobody may enter a file: the next best thing to a folder of another user, for whoever runs the tests as root."""

    @pytest.fixture(autouse=True)
    def closed(self, tmp_path: Path) -> None:
        (tmp_path / "data").write_text("")

    @pytest.mark.parametrize(
        "arguments",
        [
            ["status"], ["kill", "bot", "--reason", "x"], ["agents"], ["sql", "SELECT 1"], ["audit", "ask", "kills"],
            ["audit", "export"], ["operators", "list"], ["schema", "check"],
        ],
        ids=" ".join,
    )  # fmt: skip
    def test_is_named_and_nothing_is_said_not_to_run(
        self, capsys: pytest.CaptureFixture[str], arguments: list[str]
    ) -> None:
        assert main(arguments) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "data" in line
        assert "not running" not in line

    def test_is_what_doctor_finds(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["doctor", "--json"]) == 1
        (failure,) = [check for check in said(capsys) if check["result"] == "fail"]
        assert (failure["name"], "run as its owner" in failure["fix"]) == ("data folder", True)


class TestDoctor:
    @pytest.fixture(autouse=True)
    def free_ports(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("HTTP", "GRPC", "CONTROL", "SQL", "DASHBOARD"):
            monkeypatch.setenv(f"FUSEBOX_{name}_PORT", "0")

    def failures(self, capsys: pytest.CaptureFixture[str]) -> list[dict[str, str]]:
        status = main(["doctor", "--json"])
        found = [check for check in said(capsys) if check["result"] == "fail"]
        assert status == (1 if found else 0)
        assert all(check["fix"] for check in found)
        return found

    def test_a_registry_that_was_named_and_is_not_there_is_found(
        self, harness: Harness, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setenv("FUSEBOX_AGENTS_FILE", "agnets.toml")
        (failure,) = self.failures(capsys)
        assert failure["detail"] == "agnets.toml does not exist: nobody is registered"
        Path("agnets.toml").write_text('[agents.bot]\nowner = "jo"\n')
        assert self.failures(capsys) == []

    def test_a_healthy_folder_passes(self, harness: Harness, capsys: pytest.CaptureFixture[str]) -> None:
        assert self.failures(capsys) == []
        assert main(["doctor"]) == 0

    def test_a_watch_whose_certificate_is_not_believed_is_told(
        self, harness: Harness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def clock() -> dict[str, str]:
            main(["doctor", "--json"])
            return next(check for check in said(capsys) if check["name"] == "clock")

        authority = Authority(tmp_path, "authority")
        with Secured(harness.watch.url, authority.issue("proxy"), cut="/control") as proxy:
            monkeypatch.setenv("FUSEBOX_CONTROL_URL", proxy.url)
            assert "SSL_CERT_FILE" in clock()["detail"]
            monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
            assert clock()["detail"] == "agrees with watch's"

    def test_the_gateways_port_is_looked_at_where_there_is_one_to_serve(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            monkeypatch.setenv("FUSEBOX_GATEWAY_PORT", str(other.getsockname()[1]))
            assert self.failures(capsys) == []
            (tmp_path / "gateway.toml").touch()
            (failure,) = self.failures(capsys)
        assert failure["fix"] == "stop the other program or set FUSEBOX_GATEWAY_PORT"

    def test_a_file_that_hides_a_package_is_named(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (tmp_path / "rabbitmq.py").write_text("")
        (failure,) = self.failures(capsys)
        assert str(tmp_path / "rabbitmq.py") in failure["detail"]

    def test_damaged_segments_that_nobody_has_looked_at_are_named(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        prepare(Config(data_dir=tmp_path / "data"))
        quarantine = tmp_path / "data" / "spool" / "quarantine"
        quarantine.mkdir(parents=True)
        assert self.failures(capsys) == []
        (quarantine / "00000000000000000001-00000000.seg").touch()
        (failure,) = self.failures(capsys)
        assert str(quarantine) in failure["detail"]

    def test_secrets_that_others_can_read_are_named(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        prepare(Config(data_dir=tmp_path / "data"))
        (tmp_path / "data" / "command.key").chmod(0o644)
        (failure,) = self.failures(capsys)
        assert failure["fix"] == f"chmod 600 {tmp_path}/data/command.key"

    def test_people_who_are_asked_and_cannot_answer_are_named(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "agents.toml").write_text('[agents.buyer]\nowner = "jo"\napprovals = { by = ["dana", "dnaa"] }\n')
        assert self.failures(capsys) == [], "it is not the data folder of watch"
        prepare(Config(data_dir=tmp_path / "data"))
        Tokens(tmp_path / "data" / "operators.json").add("dana")
        (failure,) = self.failures(capsys)
        assert failure["detail"] == "buyer asks dnaa, who has neither a token nor a key"
        Approvers(tmp_path / "data").add("dnaa", new_secret())
        assert self.failures(capsys) == []
        (tmp_path / "agents.toml").write_text("[agents.buyer\n")
        (failure,) = self.failures(capsys)
        assert "agents.toml" in failure["detail"]

    def test_a_taken_port_and_absent_servers_are_named(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            monkeypatch.setenv("FUSEBOX_SQL_PORT", str(taken.getsockname()[1]))
            monkeypatch.setenv("FUSEBOX_AMQP_URL", "amqp://127.0.0.1:1/")
            monkeypatch.setenv("FUSEBOX_REDIS_URL", "redis://127.0.0.1:1/")
            assert {failure["name"] for failure in self.failures(capsys)} == {"port", "broker", "redis"}


class TestPrepare:
    def test_many_at_once_make_one_set_of_secrets(self, tmp_path: Path) -> None:
        config = Config(data_dir=tmp_path / "data")
        threads = [threading.Thread(target=prepare, args=(config,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        before = {path.name: path.read_bytes() for path in config.data_dir.iterdir() if path.is_file()}
        prepare(config)
        assert before == {path.name: path.read_bytes() for path in config.data_dir.iterdir() if path.is_file()}
        modes = {path.name: path.stat().st_mode & 0o777 for path in config.data_dir.iterdir()}
        assert modes.pop("command_keys.json") == 0o644
        assert set(modes.values()) == {0o600}
        assert config.data_dir.stat().st_mode & 0o777 == 0o700

    def test_a_removed_local_operator_stays_removed(self, tmp_path: Path) -> None:
        config = Config(data_dir=tmp_path / "data")
        prepare(config)
        assert main(["operators", "remove", "local"]) == 0
        (config.data_dir / "operator.token").unlink()
        prepare(config)
        assert not (config.data_dir / "operator.token").exists()

    def test_a_lost_clear_text_is_issued_anew(self, tmp_path: Path) -> None:
        config = Config(data_dir=tmp_path / "data")
        prepare(config)
        (config.data_dir / "agent.token").unlink()
        prepare(config)
        assert (config.data_dir / "agent.token").read_text().startswith("fbx_")


class TestUp:
    def test_it_runs_everything_refuses_a_twin_and_stops_on_ctrl_c(self, tmp_path: Path) -> None:
        ports = {f"FUSEBOX_{name}_PORT": "0" for name in ("HTTP", "GRPC", "CONTROL", "SQL", "DASHBOARD")}
        environment = os.environ | ports
        command = [sys.executable, "-m", "fusebox", "up", "--no-dashboard"]
        first = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        data = tmp_path / "data"
        try:
            roles = ("redis", "receive", "keep", "watch")
            until(lambda: all(lookup(data, role) for role in roles) or first.poll() is not None, "all roles run")
            ours = [lookup(data, role) or {} for role in ("receive", "keep", "watch")]
            assert [os.sched_getscheduler(role["pid"]) for role in ours] == [os.SCHED_BATCH] * 3
            second = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)
            assert second.returncode == 2
            assert "fusebox up already runs" in second.stderr
            assert main(["status", "--json"]) == 0
        finally:
            first.send_signal(signal.SIGINT)
            out, _ = first.communicate(timeout=40)
        assert first.returncode == 0
        assert f"export FUSEBOX_DATA_DIR={data}" in out
        assert "serves one process only" in out.replace("\n", " ")
        assert not any(lookup(data, role) for role in roles)

    def test_a_sigterm_while_it_starts_leaves_no_role_behind(self, tmp_path: Path) -> None:
        ports = {f"FUSEBOX_{name}_PORT": "0" for name in ("HTTP", "GRPC", "CONTROL", "SQL", "DASHBOARD")}
        with subprocess.Popen(
            [sys.executable, "-m", "fusebox", "up", "--no-dashboard"], env=os.environ | ports, start_new_session=True
        ) as up:
            until((tmp_path / "data" / "receive.log").exists, "the last role is being started")
            up.send_signal(signal.SIGTERM)
        assert up.returncode == 130
        # A role in whose start the signal fell is on no list of the supervisor's; it ends when it finds itself alone.
        until(lambda: not _of_session(up.pid), "no role is left")


def _of_session(leader: int) -> list[str]:
    """Processes of a session that are still there."""
    found = subprocess.run(["ps", "-o", "args=", "--sid", str(leader)], capture_output=True, text=True, check=False)
    return found.stdout.splitlines()
