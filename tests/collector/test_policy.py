"""Policy and people: alerts, doctor, and questions about what is on record."""

import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from collector.audit.files import entries as entries_of
from collector.keep.audit_copy import AuditCopy
from collector.verbs.checks import Result, all_checks
from collector.watch.policy import PolicyLook
from fusebox import cli, happenings
from fusebox.clock import ManualClock, SystemClock
from fusebox.config import Config
from fusebox.errors import FuseboxError
from fusebox.records import Action, ActionKind
from fusebox.registry import Registry
from governance.audit import AuditClient
from governance.policy.guard import PolicyGuard
from governance.policy.source import SHIPPED, folder_of, open_policy
from governance.registry import load_registry
from tests.collector.sql_bench import serving
from tests.fixtures.collector import until
from tests.fixtures.watch import Harness

AGENTS = """
[agents.analyst]
owner = "jo"
publishes = ["plan.#"]
[[agents.analyst.grants]]
action = "tool_call"
resource = "warehouse"
when = { target = "GET *" }
"""
STRICTER = '[agents.analyst]\nowner = "jo"\n'


@dataclass
class Site:
    """An installation on which policy has ruled."""

    folder: Path
    url: str

    def run(self, *words: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, Any]:
        """Exit status and answer of ``fusebox policy``."""
        status = cli.main(["policy", *words, "--json"])
        return status, json.loads(capsys.readouterr().out)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("policy")
    (folder / "agents.toml").write_text(AGENTS)
    config = Config(data_dir=folder, control_port=0, agents_file=folder / "agents.toml", policy=SHIPPED)
    with serving(folder) as port:
        harness = Harness(config, SystemClock()).start()
        try:
            _rule(harness, config)
            copied = AuditCopy(port.bench.engine, folder / "journal").step()
            until(lambda: int(port.ask("SELECT count() FROM audit_log").text) >= copied, "the port sees the copy")
            yield Site(folder, port.url)
        finally:
            harness.close()


def _rule(harness: Harness, config: Config) -> None:
    """An agent process asks the policy, and tells watch."""
    clock = ManualClock(1_800_000_000)
    policy = open_policy(config, load_registry(config.agents_file), clock)
    assert policy is not None
    audit = AuditClient(harness.agent().send, clock, process="p1")
    guard = PolicyGuard(policy, audit.ruled)
    for target, times in (("GET /stock[/old]", 3), ("POST /stock", 2)):
        action = Action(ActionKind.TOOL_CALL, "analyst", "warehouse", target, workflow="w1")
        for _ in range(times):
            verdict = guard.check(action)
            if not verdict.allowed:
                audit.ruled(action, verdict)
    audit.start()
    audit.stop(10)


@pytest.fixture
def settings(site: Site, monkeypatch: pytest.MonkeyPatch) -> Site:
    """The verb finds the installation by its environment."""
    for name, value in {
        "DATA_DIR": site.folder, "AGENTS_FILE": site.folder / "agents.toml", "POLICY": SHIPPED, "SQL_URL": site.url,
    }.items():  # fmt: skip
        monkeypatch.setenv(f"FUSEBOX_{name}", str(value))
    return site


def test_decisions_are_on_record_with_what_they_were_about(settings: Site, capsys: pytest.CaptureFixture[str]) -> None:
    status, found = settings.run("diff", capsys=capsys)
    assert (status, found) == (0, {"asked": 5, "untold": 0, "flips": []})
    entries = [
        entry
        for entry in entries_of(settings.folder / "journal")
        if entry["actor"] == "policy" and entry["kind"] in ("allow", "denial")
    ]
    assert {(e["kind"], e["payload"]["operation"], e["payload"]["target"]) for e in entries} == {
        ("allow", "warehouse", "GET /stock[/old]"),
        ("denial", "warehouse", "POST /stock"),
    }
    assert sum(e["payload"]["count"] for e in entries) == 5
    (revision,) = {e["payload"]["revision"] for e in entries}
    policy = open_policy(Config(policy=SHIPPED), load_registry(settings.folder / "agents.toml"), ManualClock())
    assert policy is not None
    assert revision.endswith(f"+{policy.grants.revision}")


def test_diff_lists_what_other_grants_would_flip(
    settings: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "agents.toml").write_text(STRICTER)
    status, found = settings.run("diff", "--agents", str(tmp_path / "agents.toml"), capsys=capsys)
    (flip,) = found["flips"]
    assert (status, flip["after"], flip["recorded"]["target"], flip["recorded"]["count"]) == (
        1,
        "deny",
        "GET /stock[/old]",
        3,
    )
    assert cli.main(["policy", "diff", "--agents", str(tmp_path / "agents.toml")]) == 1
    assert "GET /stock[/old]" in capsys.readouterr().out
    asked = [settings.run("diff", "--since", since, capsys=capsys)[1]["asked"] for since in ("1h", "2100-01-01")]
    assert asked == [5, 0]


def test_explain_names_rules_and_grants_nothing_used(settings: Site, capsys: pytest.CaptureFixture[str]) -> None:
    status, found = settings.run(
        "explain", "analyst", "tool_call", "warehouse", "--target", "GET /x", capsys=capsys
    )  # fmt: skip
    assert (status, found["rule"]) == (0, "analyst: tool_call warehouse when target = GET *")
    assert found["input"]["facts"] == {"target": "GET /x"}
    status, found = settings.run("explain", "analyst", "publish", "secret", capsys=capsys)
    assert (status, found["decision"]) == (1, "deny")
    _, found = settings.run("explain", "analyst", capsys=capsys)
    assert found["unused"] == ["analyst: publish plan.#"]


def test_a_folder_is_begun_tested_and_signed(
    settings: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine, key = str(tmp_path / "mine"), str(tmp_path / "policy.key")
    assert cli.main(["policy", "init", mine]) == 0
    assert cli.main(["policy", "sign", mine, "--key", key]) == 0
    capsys.readouterr()
    status, found = settings.run("test", mine, capsys=capsys)
    assert (status, all(test["passed"] for test in found["tests"])) == (0, True)
    signed = Config().model_copy(update={"policy": mine, "policy_keys": tmp_path / "policy_keys.json"})
    policy = open_policy(signed, Registry(), ManualClock())
    assert policy is not None
    assert not policy.problem
    file = Path(mine) / "policy.rego"
    file.write_text(file.read_text().replace('"deny"', '"allow"'))
    assert settings.run("test", mine, capsys=capsys)[0] == 1


def test_people_are_told_of_a_bad_policy_once_and_of_the_next_one_again(tmp_path: Path) -> None:
    folder = tmp_path / "policies"
    folder.mkdir()
    config = Config(data_dir=tmp_path / "data", control_port=0, policy=str(folder), agents_file=tmp_path / "none.toml")
    harness = Harness(config, SystemClock()).start()

    def told() -> list[str]:
        entries = [entry["payload"]["alert"] for entry in harness.journal("told")]
        return [alert["data"]["reason"] for alert in entries if alert["type"] == "policy.failed"]

    try:
        until(lambda: len(told()) == 1, "people are told")
        assert "holds no policy" in told()[0]
        before = happenings.counts()["policy_loaded"]
        (folder / "policy.rego").write_text((folder_of(SHIPPED) / "policy.rego").read_text())
        until(lambda: happenings.counts()["policy_loaded"] > before, "watch has loaded it")
        (folder / "policy.rego").write_text("package fusebox.policy\nx := {")
        until(lambda: len(told()) == 2, "people are told again")
    finally:
        with suppress(FuseboxError):
            harness.close()


def test_whatever_keeps_watch_from_the_policy_is_told_while_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = [True]

    def opened(*args: Any) -> object:
        if full:
            raise OSError("no room for a process")
        return open_policy(*args)

    monkeypatch.setattr("collector.watch.policy.open_policy", opened)
    monkeypatch.setattr("collector.watch.policy._LOOK_EVERY_S", 0.05)
    told: list[tuple[str, float]] = []
    config = Config(policy=SHIPPED, agents_file=tmp_path / "none.toml")
    look = PolicyLook(config, Registry(), ManualClock(), lambda why, since: told.append((why, since)))
    before = happenings.counts()["policy_loaded"]
    look.start()
    try:
        until(lambda: len(told) > 2, "people are told, and told")
        full.clear()
        until(lambda: happenings.counts()["policy_loaded"] > before, "it is loaded once there is room")
    finally:
        look.stop()
    assert set(told) == {("OSError('no room for a process')", told[0][1])}


def test_doctor_says_whether_policy_rules(tmp_path: Path) -> None:
    def found(**settings: Any) -> Result:
        config = Config(data_dir=tmp_path, agents_file=tmp_path / "none.toml", **settings)
        return next(check.result for check in all_checks(config) if check.name == "policy")

    assert found() is Result.NOTE
    assert found(policy=SHIPPED) is Result.OK
    assert found(policy=str(tmp_path / "nowhere")) is Result.FAIL
    assert found(policy="http://127.0.0.1:9") is Result.FAIL
