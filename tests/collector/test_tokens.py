"""Tokens: shown once, stored as a hash, revoked at once, and a broken file lets nobody in."""

import threading
from pathlib import Path
from typing import Any

import pytest

from collector.tokens import Principal, Tokens, bearer
from fusebox.errors import ConfigError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "principals.json"


def test_a_token_opens_the_door_for_the_agents_it_is_bound_to(path: Path) -> None:
    token = Tokens(path).add("billing", ["invoice-bot", "ledger-bot"])
    principal = Tokens(path, tenant="acme").authenticate(token)
    assert principal == Principal("billing", "acme", frozenset({"invoice-bot", "ledger-bot"}))
    assert principal.may_speak_for("invoice-bot")
    assert not principal.may_speak_for("ticket-helper")
    assert Principal("any", "acme", frozenset({"*"})).may_speak_for("ticket-helper")


def test_the_file_never_holds_the_token_and_only_its_owner_reads_it(path: Path) -> None:
    token = Tokens(path).add("local")
    assert token not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("wrong", [None, "", "fbx_nonsense", "\udcff", "x" * 100_000])
def test_anything_else_is_nobody(path: Path, wrong: str | None) -> None:
    Tokens(path).add("local")
    assert Tokens(path).authenticate(wrong) is None


def test_a_running_reader_sees_new_and_revoked_tokens(path: Path) -> None:
    reader, other = Tokens(path), Tokens(path)
    assert reader.authenticate("fbx_early") is None
    token = other.add("late")
    assert reader.authenticate(token) is not None
    assert other.remove("late")
    assert not other.remove("late")
    assert reader.authenticate(token) is None


def test_a_slow_thread_brings_no_revoked_token_back(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It read the file before the token was revoked, and gets to remember it while another remembers the new one."""
    token = Tokens(path).add("late")
    has_read, go_on = threading.Event(), threading.Event()
    real = Path.read_text

    def read_slowly(self: Path, *args: Any, **options: Any) -> str:
        text = real(self, *args, **options)
        if threading.current_thread() is slow:
            has_read.set()
            assert go_on.wait(10)
        return text

    class Overtaken(Tokens):
        def __setattr__(self, name: str, value: object) -> None:
            super().__setattr__(name, value)
            if threading.current_thread() is not slow and has_read.is_set():
                go_on.set()
                slow.join(10)

    slow = threading.Thread(target=lambda: tokens.authenticate(token))
    tokens = Overtaken(path)
    monkeypatch.setattr(Path, "read_text", read_slowly)
    slow.start()
    assert has_read.wait(10)
    Tokens(path).remove("late")
    tokens.authenticate(token)
    assert not slow.is_alive()
    assert tokens.authenticate(token) is None


def test_names_are_listed_and_not_given_twice(path: Path) -> None:
    tokens = Tokens(path)
    tokens.add("b")
    tokens.add("a")
    assert tokens.names() == ("a", "b")
    with pytest.raises(ConfigError, match="remove it first"):
        tokens.add("a")


@pytest.mark.parametrize(("name", "agents"), [("", ["*"]), ("a b", ["*"]), ("ok", ["-bad"]), ("*", ["x"])])
def test_ids_are_checked(path: Path, name: str, agents: list[str]) -> None:
    with pytest.raises(ConfigError, match="not a valid id"):
        Tokens(path).add(name, agents)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"local": 1}', '{"local": {"sha256": "x"}}'])
def test_a_damaged_file_lets_nobody_in_and_is_not_overwritten(path: Path, text: str) -> None:
    tokens = Tokens(path)
    token = tokens.add("local")
    path.write_text(text)
    assert tokens.authenticate(token) is None
    with pytest.raises(ConfigError, match=r"principals\.json"):
        tokens.add("next")
    assert path.read_text() == text


@pytest.mark.parametrize(
    ("header", "token"),
    [("Bearer abc", "abc"), ("bearer  abc ", "abc"), ("Basic abc", None), ("Bearer ", None), ("", None), (None, None)],
)
def test_bearer_reads_the_authorization_header(header: str | None, token: str | None) -> None:
    assert bearer(header) == token
