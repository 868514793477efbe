"""The data folder's small files."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from fusebox.config import Config
from fusebox.errors import ConfigError
from fusebox.rundir import announce, key_at, lookup, secret_of, url_of, withdraw, write_atomic


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def forge(data_dir: Path, content: str) -> None:
    write_atomic(data_dir / "run" / "watch.json", content)


def test_a_role_is_found_while_it_runs(tmp_path: Path) -> None:
    announce(tmp_path, "watch", url="http://127.0.0.1:1")
    assert lookup(tmp_path, "watch") == {"pid": os.getpid(), "url": "http://127.0.0.1:1"}
    withdraw(tmp_path, "watch")
    withdraw(tmp_path, "watch")
    assert lookup(tmp_path, "watch") is None


def test_the_announcement_of_a_dead_process_counts_as_none(tmp_path: Path) -> None:
    forge(tmp_path, json.dumps({"pid": dead_pid(), "url": "http://x"}))
    assert lookup(tmp_path, "watch") is None


@pytest.mark.parametrize("content", ["", "[]", "null", '{"url": "x"}', '{"pid": "1"}', '{"pid": 99999999999999999999}'])
def test_a_damaged_announcement_counts_as_none(tmp_path: Path, content: str) -> None:
    forge(tmp_path, content)
    assert lookup(tmp_path, "watch") is None
    withdraw(tmp_path, "watch")


def test_stopping_does_not_withdraw_a_successor(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as successor:
        forge(tmp_path, json.dumps({"pid": successor.pid, "url": "http://new"}))
        withdraw(tmp_path, "watch")
        found = lookup(tmp_path, "watch")
    assert found is not None
    assert found["url"] == "http://new"


def test_a_file_is_replaced_whole_and_private(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "secret"
    write_atomic(path, "one")
    write_atomic(path, "two")
    assert path.read_text() == "two"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["secret"]


def test_a_failed_write_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    write_atomic(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomic(path, "\ud800")
    assert [p.name for p in tmp_path.iterdir()] == ["secret"]
    assert path.read_text() == "old"


def test_a_setting_wins_over_the_running_role(tmp_path: Path) -> None:
    announce(tmp_path, "watch", url="http://running")
    assert url_of(Config(data_dir=tmp_path), "watch", "control_url") == "http://running"
    assert url_of(Config(data_dir=tmp_path, control_url="http://set/"), "watch", "control_url") == "http://set"
    assert url_of(Config(data_dir=tmp_path), "keep", "sql_url") is None


def test_a_secret_comes_from_the_setting_or_the_file(tmp_path: Path) -> None:
    assert secret_of(Config(data_dir=tmp_path), "agent_token", "agent.token") is None
    write_atomic(tmp_path / "agent.token", "from-file\n")
    assert secret_of(Config(data_dir=tmp_path), "agent_token", "agent.token") == "from-file"
    assert secret_of(Config(data_dir=tmp_path, agent_token="set"), "agent_token", "agent.token") == "set"  # type: ignore[arg-type]


def test_a_secret_is_what_a_header_can_carry_and_an_error_does_not_show_it(tmp_path: Path) -> None:
    padded = Config(data_dir=tmp_path, agent_token="hunter2\r\n")  # type: ignore[arg-type]
    assert secret_of(padded, "agent_token", "agent.token") == "hunter2"
    for odd in ("hunter2\nx", "hunter2€"):
        config = Config(data_dir=tmp_path, agent_token=odd)  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match="agent_token") as error:
            secret_of(config, "agent_token", "agent.token")
        assert "hunter2" not in str(error.value)
    (tmp_path / "agent.token").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="agent_token"):
        secret_of(Config(data_dir=tmp_path), "agent_token", "agent.token")


def test_a_secret_of_somebody_else_is_an_error_that_names_the_fix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, *args: object, **kwargs: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(ConfigError, match="FUSEBOX_OPERATOR_TOKEN"):
        secret_of(Config(data_dir=tmp_path), "operator_token", "operator.token")


def test_a_key_is_made_once_and_for_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "some.key"
    key = key_at(path, 32, "nothing is lost")
    assert len(key) == 32
    assert key_at(path, 32, "nothing is lost") == key
    assert path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("damaged", [b"", b"\n", b"\xff\xfe", b"12ab", b"no key at all"])
def test_a_damaged_key_is_no_key_and_the_error_names_the_file_and_what_a_new_one_costs(
    tmp_path: Path, damaged: bytes
) -> None:
    (tmp_path / "some.key").write_bytes(damaged)
    with pytest.raises(ConfigError, match=r"some\.key is damaged; .*: old seals count no more"):
        key_at(tmp_path / "some.key", 32, "old seals count no more")
