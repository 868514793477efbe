"""The file of virtual keys as the gateway reads it: what changes in it counts, whoever wrote it."""

from pathlib import Path

import pytest

from fusebox.cli import main
from gateway.keys import FILE, LAG_S, Keys
from tests.fixtures.agents import eventually


def made(folder: Path) -> tuple[Keys, Keys]:
    """Who edits the file, and who reads it in another process."""
    return Keys(folder / FILE, "acme"), Keys(folder / FILE, "acme")


def test_a_new_key_counts_from_the_next_call_on(tmp_path: Path) -> None:
    desk, reader = made(tmp_path)
    for agent in ("a", "b", "c"):
        _, key = desk.add(agent, team="t", models=("m",), tools=())
        who = reader.authenticate(key)
        assert who is not None
        assert (who.agent, who.tenant, who.may_use_model("m"), who.may_use_tool("x")) == (agent, "acme", True, False)
    assert reader.authenticate("fbk_guessed") is None


def test_a_revoked_key_counts_no_longer(tmp_path: Path) -> None:
    desk, reader = made(tmp_path)
    name, key = desk.add("a", team="", models=(), tools=())
    _, other = desk.add("b", team="", models=(), tools=())
    assert reader.authenticate(key)
    assert desk.revoke(name)
    eventually(lambda: reader.authenticate(key) is None, timeout=10 + LAG_S, what="the key is worth nothing")
    assert reader.authenticate(other)


def test_a_damaged_file_lets_nobody_in_until_it_is_mended(tmp_path: Path) -> None:
    desk, reader = made(tmp_path)
    _, key = desk.add("a", team="", models=(), tools=())
    whole = (tmp_path / FILE).read_text()
    assert reader.authenticate(key)
    (tmp_path / FILE).write_text(whole[:-9])
    eventually(lambda: reader.authenticate(key) is None, what="nobody is let in")
    (tmp_path / FILE).write_text(whole)
    eventually(lambda: reader.authenticate(key) is not None, what="the key counts again")


def test_a_list_in_a_pipe_cuts_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FUSEBOX_DATA_DIR", str(tmp_path / "data"))
    models = [f"a-model-of-a-long-name-{number}" for number in range(9)]
    assert main(["gateway", "keys", "add", "bot", *(word for model in models for word in ("--model", model))]) == 0
    capsys.readouterr()
    assert main(["gateway", "keys", "list"]) == 0
    _, row = capsys.readouterr().out.splitlines()
    assert ", ".join(models) in row
