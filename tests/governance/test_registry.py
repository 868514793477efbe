"""agents.toml, and who speaks without being in it."""

from pathlib import Path

import pytest

from fusebox.errors import ConfigError
from fusebox.registry import Registry, Risk
from governance.registry import Strangers, load_registry

GOOD = """
[agents.ticket-helper]
owner = "jo@example.com"
team = "support"
risk = "high"
tokens_per_minute = 20000
periodic = ["heartbeat"]
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "agents.toml"


def test_a_file_is_read(path: Path) -> None:
    path.write_text(GOOD)
    registry = load_registry(path)
    entry = registry.agents["ticket-helper"]
    assert (entry.owner, entry.tokens_per_minute, entry.periodic) == ("jo@example.com", 20000, {"heartbeat"})
    assert registry.risk("ticket-helper") is Risk.HIGH


def test_no_file_means_nobody_is_registered(path: Path) -> None:
    assert load_registry(path) == Registry()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[agents.x\n", "line 1"),
        ("[agents.x]\nteam = 'a'\n", r"agents\.x\.owner"),
        ("[agents.x]\nowner = 'a'\nbudgett = 5\n", r"agents\.x\.budgett is no setting"),
        ("[agents.x]\nowner = 'a'\nperiodik = []\n", "did you mean periodic"),
        ("[agent.x]\nowner = 'a'\n", "did you mean agents"),
        ("[agents.x]\nowner = 'a'\ntokens_per_minute = 0\n", r"agents\.x\.tokens_per_minute"),
        ("[agents.'bad id']\nowner = 'a'\n", "bad id"),
        ("[agents.x]\nowner = 'a'\nrisk = 'extreme'\n", r"agents\.x\.risk"),
        ("[agents.x]\nowner = 'a'\nhandles = 'order'\n", r"agents\.x\.handles: Input should be a list"),
        ("[agents.x]\nowner = 'a'\nroles = ['raeder']\n", r"agents\.toml: [^:].* the role 'raeder'"),
        ("[agents.x]\nowner = 'a'\nusd_per_minute = inf\n", r"agents\.x\.usd_per_minute: .* finite"),
        ("[agents.x]\nowner = 'a'\napprovals = { people = 2, by = ['dana'] }\n", "it takes 2 people to agree"),
        ("[agents.x]\nowner = 'a'\napprovals = { people = 2, by = ['dana', 'dana'] }\n", "by names 1"),
    ],
)
def test_mistakes_name_the_file_and_the_key(path: Path, text: str, complaint: str) -> None:
    path.write_text(text)
    with pytest.raises(ConfigError, match=complaint) as caught:
        load_registry(path)
    assert "agents.toml" in str(caught.value)


@pytest.mark.parametrize(
    ("entry", "complaint"),
    [
        ("resource = 'erp', when = { target = '* /items[secret*' }", r"denies\.0\.when\.target: .* has a '\['"),
        ("resource = 'erp', when = { target = 'GET /orders/{id}' }", r"only a \* is special"),
        ("resource = 'erp.orde?'", r"denies\.0\.resource"),
        ("resource = 'erp', above = { 'arguments.amount' = nan }", "finite"),
        ("resource = 'erp', above = { 'arguments.amount' = inf }", "finite"),
    ],
)
def test_a_rule_that_would_fit_nothing_is_refused(path: Path, entry: str, complaint: str) -> None:
    """It would be a deny that denies nothing."""
    path.write_text(f"[agents.x]\nowner = 'a'\ndenies = [{{ action = 'tool_call', {entry} }}]\n")
    with pytest.raises(ConfigError, match=complaint):
        load_registry(path)


def test_text_that_is_no_utf8(path: Path) -> None:
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match=r"agents\.toml"):
        load_registry(path)


def test_strangers_are_noticed_once_each_and_boundedly(path: Path) -> None:
    path.write_text(GOOD)
    strangers = Strangers(load_registry(path), limit=2)
    assert not strangers.notice("ticket-helper", 0.0)
    assert [strangers.notice(a, 0.0) for a in ("x", "x", "y", "z", "z")] == [True, False, True, False, False]
    assert strangers.seen() == ("x", "y")


def test_strangers_that_fell_silent_make_room_for_others(path: Path) -> None:
    path.write_text(GOOD)
    strangers = Strangers(load_registry(path), limit=2)
    for number in range(100):
        assert strangers.notice(f"job-{number}", number * 2000.0), "one after the other, for as long as it goes on"
        strangers.notice("steady", number * 2000.0)
    assert strangers.seen() == ("job-99", "steady")
