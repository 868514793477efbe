"""Policy folders: revision, signature, tests."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fusebox.command import Signer, allow_list
from fusebox.records import Decision
from governance.policy.bundle import SIGNED, read_bundle, sign_bundle
from governance.policy.policy import problem_of
from governance.policy.ruling import BadPolicy
from governance.policy.source import SHIPPED, folder_of
from governance.policy.trials import run_trials
from tests.governance.policy.conftest import Make, ask


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "policies"
    shutil.copytree(folder_of(SHIPPED), folder)
    return folder


def add_rule(folder: Path) -> None:
    (folder / "more.rego").write_text("package fusebox.policy\n")


def add_data(folder: Path) -> None:
    (folder / "data.json").write_text('{"limit": 5}')


def edit(folder: Path) -> None:
    file = folder / "policy.rego"
    file.write_text(file.read_text().replace("deny", "allow"))


def rename(folder: Path) -> None:
    (folder / "policy.rego").rename(folder / "other.rego")


CHANGES = (add_rule, add_data, edit, rename)


@pytest.mark.parametrize("change", CHANGES)
def test_the_revision_names_exactly_this_text(folder: Path, change: Callable[[Path], None]) -> None:
    before = read_bundle(folder).revision
    change(folder)
    assert read_bundle(folder).revision != before


def test_tests_are_no_part_of_the_revision(folder: Path) -> None:
    before = read_bundle(folder).revision
    (folder / "policy_test.rego").write_text("package x\n")
    assert read_bundle(folder).revision == before


@pytest.mark.parametrize(
    ("name", "text"), [("data.json", "[]"), ("data.json", "{"), ("data.json", '{"registry": {}}'), ("a.rego", "\udcff")]
)
def test_what_cannot_be_read_is_refused(folder: Path, name: str, text: str) -> None:
    (folder / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(BadPolicy, match=str(folder)):
        read_bundle(folder)


def test_a_signed_policy_rules(folder: Path, make: Make, tmp_path: Path) -> None:
    signer = Signer.generate()
    (tmp_path / "keys.json").write_text(allow_list(signer))
    revision = sign_bundle(folder, signer)
    policy = make(str(folder), policy_keys=tmp_path / "keys.json")
    assert ask(policy, "analyst", "publish", "plan").revision.startswith(f"{revision}+")


@pytest.mark.parametrize("change", [*CHANGES, lambda folder: (folder / SIGNED).unlink()])
def test_a_policy_that_was_changed_after_it_was_signed_does_not(
    folder: Path, make: Make, tmp_path: Path, change: Callable[[Path], None]
) -> None:
    signer = Signer.generate()
    (tmp_path / "keys.json").write_text(allow_list(signer))
    sign_bundle(folder, signer)
    change(folder)
    policy = make(str(folder), policy_keys=tmp_path / "keys.json")
    assert ask(policy, "analyst", "publish", "plan").decision is Decision.DENY
    assert SIGNED in problem_of(policy)


def test_another_key_may_not_sign(folder: Path, make: Make, tmp_path: Path) -> None:
    (tmp_path / "keys.json").write_text(allow_list(Signer.generate()))
    sign_bundle(folder, Signer.generate())
    policy = make(str(folder), policy_keys=tmp_path / "keys.json")
    assert "only a key of policy_keys may sign" in problem_of(policy)


def test_the_shipped_policy_passes_its_tests_and_a_broken_one_does_not(folder: Path) -> None:
    trials = run_trials(read_bundle(folder))
    assert len(trials) > 1
    assert all(trial.passed for trial in trials)
    file = folder / "policy.rego"
    file.write_text(file.read_text().replace("fact <= condition.at_most", "fact < condition.at_most"))
    failed = [trial.name for trial in run_trials(read_bundle(folder)) if not trial.passed]
    assert failed == ["test_a_number_must_not_exceed_its_bound"]


def test_a_test_that_ends_the_interpreter_is_said(folder: Path) -> None:
    (folder / "more_test.rego").write_text(
        'package more_test\nimport rego.v1\nimport data.fusebox.policy\n'
        'test_x if { policy.decision.decision == "deny" with input as {"agent": "a"} }\n'
    )  # fmt: skip
    with pytest.raises(BadPolicy, match="broke off"):
        run_trials(read_bundle(folder))


def test_a_folder_without_tests_is_said(folder: Path) -> None:
    (folder / "policy_test.rego").unlink()
    with pytest.raises(BadPolicy, match="there are no tests"):
        run_trials(read_bundle(folder))
