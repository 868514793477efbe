"""Who may enter the folders of what is secret."""

import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from collector.alerts.folder import Folder
from collector.setup import owned
from fusebox.rundir import write_atomic
from fusebox.secrets_file import private_folder
from gateway.keys import FILE, Keys
from rabbitmq.outbox_file import open_file
from rabbitmq.provision import password_file


def _key(data: Path) -> None:
    Keys(data / FILE, "default").add("bot", team="", models=(), tools=())


def _lock(data: Path) -> None:
    with owned(data / "redis" / "lock", "redis"):
        pass


MAKERS: list[Callable[[Path], object]] = [
    _key, _lock, lambda data: password_file(data / "rabbitmq", "agent-bot"),
    lambda data: Folder(data / "alerts" / "log"),
    lambda data: open_file(data / "outbox", "bot"), lambda data: write_atomic(data / "run" / "watch.json", "{}"),
]  # fmt: skip


@pytest.mark.parametrize("make", MAKERS)
def test_whatever_makes_the_data_folder_makes_it_and_all_in_it_for_its_owner(
    tmp_path: Path, make: Callable[[Path], object]
) -> None:
    made = make(tmp_path / "data")
    found = [tmp_path / "data", *(tmp_path / "data").rglob("*")]
    assert [path for path in found if stat.S_IMODE(path.stat().st_mode) & 0o077] == []
    del made


def test_a_folder_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir(mode=0o755)
    private_folder(tmp_path / "shared" / "own")
    assert stat.S_IMODE((tmp_path / "shared").stat().st_mode) == 0o755
