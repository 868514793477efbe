"""The policy in force: no policy, a bad one, a new one, new grants; what is remembered, and for how long."""

import json
import os
import shutil
from pathlib import Path

import pytest

from fusebox import happenings
from fusebox.clock import ManualClock
from fusebox.config import Config
from fusebox.errors import ConfigError
from fusebox.records import Decision
from fusebox.registry import Registry
from governance.policy.cache import LIFETIMES_S
from governance.policy.policy import problem_of
from governance.policy.question import CUT, MAX_ITEMS, MAX_TEXT, summary_of
from governance.policy.rego import RegoEngine
from governance.policy.ruling import Question, Ruling
from governance.policy.source import SHIPPED, folder_of, open_policy
from tests.fixtures.agents import eventually
from tests.governance.policy.conftest import REGISTRY, Make, ask
from tests.governance.policy.opa_server import OpaServer

ALLOW, DENY = Decision.ALLOW, Decision.DENY
OPEN = 'package fusebox.policy\nimport rego.v1\ndecision := {"decision": "allow", "rule": "open"}\n'
READS_TARGET = """package fusebox.policy
import rego.v1
default decision := {"decision": "deny"}
decision := {"decision": "allow"} if startswith(input.target, "GET ")
"""
GRANTED = """
[agents.analyst]
owner = "jo"
[[agents.analyst.grants]]
action = "tool_call"
resource = "new"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "policies"
    shutil.copytree(folder_of(SHIPPED), folder)
    return folder


def replace(folder: Path, text: str) -> None:
    """Another policy, noticed even within one tick of the file system's clock."""
    file = folder / "policy.rego"
    file.write_text(text)
    os.utime(file, ns=(0, file.stat().st_mtime_ns + 1_000_000))


def test_without_the_setting_nobody_is_asked(clock: ManualClock) -> None:
    assert open_policy(Config(), Registry(), clock) is None


@pytest.mark.parametrize("settings", [{"policy_keys": "k.json"}, {"policy_keys": "k.json", "policy": "http://x"}])
def test_settings_that_would_do_nothing_are_refused(clock: ManualClock, settings: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="policy_keys"):
        open_policy(Config(**settings), Registry(), clock)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "policy", ["http://", "http://opa:port", "https://jo:pw@opa", "http://opa:8181/?x=1", "http://[opa"]
)
def test_an_address_at_which_nobody_can_be_asked_is_refused(make: Make, policy: str) -> None:
    with pytest.raises(ConfigError, match="policy") as refused:
        make(policy)
    assert "pw" not in str(refused.value)


def test_no_policy_loaded_denies_and_says_so(make: Make, tmp_path: Path) -> None:
    policy = make(str(tmp_path / "nowhere"))
    verdict = ask(policy, "analyst", "publish", "plan")
    assert verdict.decision is DENY
    assert "no policy is loaded, so nothing is allowed" in verdict.reason
    assert "fusebox policy init" in verdict.reason
    assert verdict.retry_after
    assert "holds no policy" in problem_of(policy)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("package fusebox.policy\nx := {", "unclosed"),
        ("package fusebox.policy\nimport rego.v1\ndecision := true", "not an object with a decision"),
        ('package fusebox.policy\ndecision := {"decision": "maybe"}', "not an object with a decision"),
        ("package fusebox.policy\nimport rego.v1\ndecision := x if { x := nosuch(input.agent) }", "not known"),
        (
            'package fusebox.policy\nimport rego.v1\nl := [1 | input.agent]\nn := 1 if count(l) > 0\n'
            'decision := {"decision": "allow"} if n == 1 with input as {"agent": "a"}',
            "broke off",
        ),
    ],
    ids=["syntax", "boolean", "word", "name", "abort"],
)  # fmt: skip
def test_a_bad_policy_keeps_the_last_good_one_and_alarms(make: Make, folder: Path, text: str, why: str) -> None:
    policy, before = make(str(folder)), happenings.counts()["policy_rejected"]
    good = ask(policy, "analyst", "publish", "plan")
    replace(folder, text)
    policy.refresh()
    assert ask(policy, "analyst", "publish", "plan") == good
    assert why in problem_of(policy)
    assert happenings.counts()["policy_rejected"] == before + 1
    replace(folder, OPEN)
    policy.refresh()
    assert not problem_of(policy)
    assert ask(policy, "stranger", "publish", "anything").decision is ALLOW


def test_what_an_editor_or_a_mount_hides_in_the_folder_is_no_policy(make: Make, folder: Path) -> None:
    (folder / ".#policy.rego").symlink_to("jo@host.4711")  # Emacs, as long as something is not saved
    (folder / "..2026_11_27").mkdir()  # a ConfigMap that is mounted
    (folder / "..2026_11_27" / "policy.rego").write_text("package fusebox.policy\nnonsense")
    policy = make(str(folder))
    assert ask(policy, "analyst", "tool_call", "warehouse", "GET /stock").decision is ALLOW
    assert policy.problem == ""


def test_a_file_that_leads_nowhere_is_told_for_as_long_as_it_does(make: Make, folder: Path) -> None:
    policy = make(str(folder))
    (folder / "more.rego").symlink_to("nowhere")
    policy.refresh()
    assert "more.rego" in policy.problem
    assert ask(policy, "analyst", "tool_call", "warehouse", "GET /stock").decision is ALLOW
    (folder / "more.rego").unlink()
    policy.refresh()
    assert policy.problem == ""


def test_a_policy_that_there_was_no_time_to_try_is_tried_again(
    make: Make, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = make(str(folder))
    replace(folder, OPEN)
    with monkeypatch.context() as busy:
        busy.setattr("governance.policy.apart.TIMEOUT_S", 0.0)
        policy.refresh()
    assert "not evaluated within" in problem_of(policy)
    policy.refresh()
    assert not problem_of(policy)
    assert ask(policy, "stranger", "publish", "anything").decision is ALLOW


def test_undefined_is_a_denial(make: Make, tmp_path: Path) -> None:
    (tmp_path / "p.rego").write_text(
        'package fusebox.policy\nimport rego.v1\ndecision := {"decision": "allow"} if input.agent == "analyst"\n'
    )
    policy = make(str(tmp_path))
    assert ask(policy, "analyst", "publish", "x").decision is ALLOW
    verdict = ask(policy, "other", "publish", "x")
    assert (verdict.decision, "no rule of the policy applies" in verdict.reason) == (DENY, True)


@pytest.mark.parametrize("word", ["geheim-ä", "秘密", 'a "b"', "a\nb", "🔑"])
def test_a_policy_may_name_things_in_any_script(make: Make, tmp_path: Path, word: str) -> None:
    literal = json.dumps(word, ensure_ascii=False)
    (tmp_path / "policy.rego").write_text(
        "package fusebox.policy\nimport rego.v1\n"
        f'default decision := {{"decision": "allow"}}\n'
        f'decision := {{"decision": "deny", "rule": "by hand"}} if contains(input.target, {literal})\n'
        f'decision := {{"decision": "deny", "rule": "by data"}} if input.resource == data.secret\n'
    )
    (tmp_path / "data.json").write_text(json.dumps({"secret": word}))
    policy = make(str(tmp_path))
    assert ask(policy, "executor", "tool_call", "files", f"GET /{word}/1").reason.startswith("by hand")
    assert ask(policy, "executor", "tool_call", word).reason.startswith("by data")
    assert ask(policy, "executor", "tool_call", "files", "GET /1").decision is ALLOW


def test_rules_that_contradict_each_other_deny(make: Make, tmp_path: Path) -> None:
    (tmp_path / "p.rego").write_text(
        'package fusebox.policy\nimport rego.v1\ndefault decision := {"decision": "allow"}\n'
        'decision := {"decision": "deny"} if input.resource == "x"\n'
        'decision := {"decision": "allow"} if input.resource == "x"\n'
    )
    policy = make(str(tmp_path))
    assert ask(policy, "a", "publish", "y").decision is ALLOW
    verdict = ask(policy, "a", "publish", "x")
    assert (verdict.decision, "contradicts itself" in verdict.reason) == (DENY, True)


def test_new_grants_are_in_force_without_a_restart_and_bad_ones_are_not(make: Make, tmp_path: Path) -> None:
    policy, agents = make(SHIPPED), tmp_path / "agents.toml"
    before = ask(policy, "analyst", "publish", "plan")
    assert ask(policy, "analyst", "tool_call", "new").decision is DENY
    agents.write_text(GRANTED)
    policy.refresh()
    after = ask(policy, "analyst", "tool_call", "new")
    assert after.decision is ALLOW
    assert after.revision != before.revision
    assert ask(policy, "analyst", "publish", "plan").decision is DENY
    agents.write_text(GRANTED + 'roles = ["nobody"]')
    policy.refresh()
    assert ask(policy, "analyst", "tool_call", "new") == after
    assert "roles" in problem_of(policy)


def test_a_new_policy_does_not_hide_that_the_grants_are_no_good(make: Make, folder: Path, tmp_path: Path) -> None:
    policy, agents = make(str(folder)), tmp_path / "agents.toml"
    agents.write_text("[agents.analyst]\nroles = 7")
    policy.refresh()
    replace(folder, OPEN)
    policy.refresh()
    assert ask(policy, "stranger", "publish", "anything").decision is ALLOW, "the new policy is in force"
    assert "roles" in problem_of(policy)
    agents.write_text(GRANTED)
    policy.refresh()
    assert not problem_of(policy)


@pytest.mark.parametrize(("agent", "risk"), [("analyst", "low"), ("stranger", "normal"), ("executor", "high")])
def test_how_long_a_verdict_stands_is_up_to_the_risk(
    make: Make, server: OpaServer, shipped: object, clock: ManualClock, agent: str, risk: str
) -> None:
    server.serve(shipped)  # type: ignore[arg-type]
    policy = make(server.url)
    lifetime = {name.value: seconds for name, seconds in LIFETIMES_S.items()}[risk]
    ask(policy, agent, "publish", "x")
    asked = len(server.asked)
    clock.advance(lifetime * 0.9)
    ask(policy, agent, "publish", "x")
    assert (len(server.asked) == asked) == (lifetime > 0)
    clock.advance(lifetime * 0.2)
    asked = len(server.asked)
    ask(policy, agent, "publish", "x")
    assert len(server.asked) == asked + 1


def test_an_answer_of_the_policy_before_is_not_remembered_as_one_of_the_new(
    make: Make, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace(folder, OPEN)
    policy = make(str(folder))
    decide = RegoEngine.decide

    def slowly(self: RegoEngine, question: Question) -> Ruling:
        answer = decide(self, question)
        monkeypatch.undo()
        shutil.copy(folder_of(SHIPPED) / "policy.rego", folder)
        policy.refresh()
        return answer

    monkeypatch.setattr(RegoEngine, "decide", slowly)
    assert ask(policy, "analyst", "publish", "anything").decision is ALLOW
    assert ask(policy, "analyst", "publish", "anything").decision is DENY


def test_what_the_policy_looks_at_tells_verdicts_apart(make: Make, tmp_path: Path) -> None:
    (tmp_path / "p.rego").write_text(READS_TARGET)
    policy = make(str(tmp_path))
    assert ask(policy, "a", "tool_call", "x", "GET /").decision is ALLOW
    assert ask(policy, "a", "tool_call", "x", "PUT /").decision is DENY


def test_the_reason_never_names_the_target_of_another_action(make: Make, tmp_path: Path) -> None:
    """People read it when they are asked to agree."""
    (tmp_path / "p.rego").write_text(OPEN)
    policy = make(str(tmp_path))
    first, second = (ask(policy, "a", "tool_call", "transfer", f"account {n}") for n in (1, 2))
    assert first == second
    assert "transfer" in first.reason
    assert "account" not in first.reason
    assert "on account 1" in ask(policy, "executor", "tool_call", "transfer", "account 1").reason, "never shared"


def test_a_policy_may_rule_by_roles_environment_and_workflow(make: Make, tmp_path: Path) -> None:
    (tmp_path / "p.rego").write_text(
        "package fusebox.policy\nimport rego.v1\n"
        'default decision := {"decision": "deny"}\n'
        'decision := {"decision": "allow"} if {\n\t"reader" in input.roles\n\tinput.environment == "test"\n'
        '\tinput.team == ""\n\tinput.risk == "low"\n}\n'
    )
    policy = make(str(tmp_path), REGISTRY)
    assert ask(policy, "analyst", "publish", "x").decision is ALLOW
    assert ask(policy, "executor", "publish", "x").decision is DENY


def test_a_summary_is_bounded_and_says_what_was_cut() -> None:
    found = summary_of({"long": "x" * 5000, "many": list(range(500)), "deep": {"a": {"b": {"c": {"d": {"e": {}}}}}}})
    assert found["long"] == {CUT: True, "text": "x" * MAX_TEXT, "length": 5000}
    assert (found["many"]["length"], len(found["many"]["items"])) == (500, MAX_ITEMS)
    assert found["deep"]["a"]["b"]["c"]["d"] == {"e": {CUT: True}}
    assert summary_of({"x": "y" * 70_000}) == {CUT: True}
    assert summary_of(None) == {}
    assert summary_of([1]) == {CUT: True, "value": [1]}


def test_a_running_policy_looks_for_changes_by_itself(make: Make, tmp_path: Path) -> None:
    policy = make(SHIPPED)
    policy.start()
    try:
        (tmp_path / "agents.toml").write_text(GRANTED)
        eventually(lambda: ask(policy, "analyst", "tool_call", "new").decision is ALLOW, what="the new grants")
    finally:
        policy.stop()
    assert ask(policy, "analyst", "tool_call", "new").decision is DENY
