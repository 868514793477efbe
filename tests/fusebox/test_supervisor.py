"""The supervisor, with stand-ins for services that are real processes."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fusebox import happenings, log_files, supervisor
from fusebox.config import Config
from fusebox.rundir import lookup
from fusebox.supervisor import ServiceFailed, Supervisor
from tests.fixtures.agents import eventually

STANDIN = """
import sys
from fusebox.lifecycle import serve
from fusebox.rundir import announce, withdraw

class Named:
    def __init__(self, name, data_dir): self.name, self.data_dir = name, data_dir
    def start(self): announce(self.data_dir, self.name, url="http://x")
    def stop(self, timeout=10.0):
        with (self.data_dir / "diary").open("a") as diary: diary.write(self.name + "\\n")
        withdraw(self.data_dir, self.name)

def one(config): serve(Named("one", config.data_dir))
def two(config): serve(Named("two", config.data_dir))
def broken(config): sys.exit("no database here")
"""
TALKER = """
import threading, time
def talk():
    for number in range(10**9):
        print("line", number, flush=True)
        time.sleep(0.001)
threading.Thread(target=talk, daemon=True).start()
"""
ENTRY_POINTS = "[fusebox.services]\none = standin:one\ntwo = standin:two\nbroken = standin:broken\n"


def _path(site: Path) -> str:
    return os.pathsep.join(
        filter(None, [str(site), os.environ.get("PYTHONPATH")])
    )  # an empty one is the folder we are in


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Supervisor]]:
    """Starts a supervisor that knows the services of an installed plugin: ``one``, ``two`` and ``broken``."""
    site, data_dir = tmp_path / "site", tmp_path / "data"
    info = site / "standin-1.dist-info"
    info.mkdir(parents=True)
    (site / "standin.py").write_text(STANDIN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: standin\nVersion: 1\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    running: list[Supervisor] = []

    def begin(*names: str) -> Supervisor:
        environment = {"PYTHONPATH": _path(site), "FUSEBOX_DATA_DIR": str(data_dir)}
        running.append(Supervisor(Config(data_dir=data_dir), names, environment))
        running[-1].start()
        return running[-1]

    yield begin
    for each in running:
        each.stop()


def test_services_are_ready_when_start_returns_and_stop_in_reverse(
    start: Callable[..., Supervisor], tmp_path: Path
) -> None:
    up = start("one", "two")
    found = lookup(tmp_path / "data", "two")
    assert found is not None
    assert found["pid"] == up.pid("two")
    up.stop()
    up.stop()
    assert (tmp_path / "data" / "diary").read_text() == "two\none\n"
    assert lookup(tmp_path / "data", "one") is None


def test_one_that_does_not_start_takes_the_others_down_and_says_why(
    start: Callable[..., Supervisor], tmp_path: Path
) -> None:
    with pytest.raises(ServiceFailed, match="broken did not start: no database here"):
        start("one", "broken")
    assert lookup(tmp_path / "data", "one") is None


def test_a_killed_service_comes_back(start: Callable[..., Supervisor], tmp_path: Path) -> None:
    before = happenings.counts()["service_restarted"]
    up = start("one")
    first = up.pid("one")
    os.kill(first, signal.SIGKILL)
    eventually(lambda: up.pid("one") != first and lookup(tmp_path / "data", "one"))
    assert happenings.counts()["service_restarted"] == before + 1


def test_a_supervisor_that_is_killed_leaves_nobody_behind_that_was_still_loading(
    start: Callable[..., Supervisor], tmp_path: Path
) -> None:
    module, data_dir = tmp_path / "site" / "standin.py", tmp_path / "data"
    loading, go, gone = tmp_path / "loading", tmp_path / "go", data_dir / "diary"
    os.mkfifo(go)
    module.write_text(f"open({str(loading)!r}, 'w').close()\nopen({str(go)!r}).read()\n{STANDIN}")
    script = f"""
from pathlib import Path
from fusebox.config import Config
from fusebox.supervisor import Supervisor
environment = {{"PYTHONPATH": {_path(tmp_path / "site")!r}, "FUSEBOX_DATA_DIR": {str(data_dir)!r}}}
Supervisor(Config(data_dir=Path({str(data_dir)!r})), ["one"], environment).start()
"""
    with subprocess.Popen([sys.executable, "-c", script]) as up:
        eventually(loading.exists)
        up.kill()
    go.write_text("")
    eventually(gone.exists, what="the service has stopped")


def test_one_that_keeps_dying_is_restarted_ever_more_rarely(
    start: Callable[..., Supervisor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "_RESTART_S", 0.05)
    before = happenings.counts()["service_restarted"]
    up = start("one")
    (tmp_path / "site" / "standin.py").write_text("raise SystemExit(1)")
    os.kill(up.pid("one"), signal.SIGKILL)
    began = time.monotonic()
    eventually(lambda: happenings.counts()["service_restarted"] == before + 6)
    assert time.monotonic() - began >= 0.05 + 0.1 + 0.2 + 0.4  # each waits twice as long as the one before


def test_one_that_cannot_be_started_again_keeps_nobody_else_from_it(
    start: Callable[..., Supervisor], tmp_path: Path
) -> None:
    before = happenings.counts()["service_unstarted"]
    up, log = start("one", "two"), tmp_path / "data" / "one.log"
    first, second = up.pid("one"), up.pid("two")
    log.unlink()
    log.mkdir()  # nothing can be written there, as on a full disk
    os.kill(first, signal.SIGKILL)
    eventually(lambda: happenings.counts()["service_unstarted"] > before)
    os.kill(second, signal.SIGKILL)
    eventually(lambda: up.pid("two") != second, what="the other is started again")
    log.rmdir()
    eventually(lambda: up.pid("one") != first, what="and this one, once it can be")


def test_a_log_that_cannot_be_looked_at_keeps_no_service_from_being_started_again(
    start: Callable[..., Supervisor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "_LOGS_EVERY_S", 0.0)
    before = happenings.counts()["log_unrotated"]
    up, log = start("one", "two"), tmp_path / "data" / "one.log"
    log.unlink()
    log.symlink_to(log)  # the disk has an error of its own for that
    eventually(lambda: happenings.counts()["log_unrotated"] > before)
    second = up.pid("two")
    os.kill(second, signal.SIGKILL)
    eventually(lambda: up.pid("two") != second, what="it is started again")


def test_a_log_that_is_full_is_put_aside_while_its_service_goes_on_writing(
    start: Callable[..., Supervisor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_files, "MAX_BYTES", 10_000)
    monkeypatch.setattr(supervisor, "_LOGS_EVERY_S", 0.0)
    (tmp_path / "site" / "standin.py").write_text(f"{STANDIN}{TALKER}")
    before = happenings.counts()["log_rotated"]
    up, log = start("one"), tmp_path / "data" / "one.log"
    eventually(lambda: happenings.counts()["log_rotated"] >= before + 2, what="it was put aside twice")
    os.kill(up.pid("one"), signal.SIGSTOP)
    eventually(lambda: sorted(path.name for path in log.parent.glob("*one.log*")) == ["one.log", "one.log.1"])
    assert log_files.aside(log).stat().st_mode & 0o077 == 0
    older, newer = log_files.aside(log).read_text().splitlines(), log.read_text().splitlines()
    assert log_files.aside(log).stat().st_size >= 10_000
    assert "line 0" not in older
    whole = re.compile(r"line \d+|\{.*\}")  # what the service logs itself is JSON
    assert [line for line in (*older, *newer) if not whole.fullmatch(line)] == []
    os.kill(up.pid("one"), signal.SIGCONT)


def test_nothing_is_left_when_a_child_ignores_the_request(start: Callable[..., Supervisor], tmp_path: Path) -> None:
    up = start("one")
    pid = up.pid("one")
    os.kill(pid, signal.SIGSTOP)
    up.stop(0.2)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_folder_of_the_user_does_not_shadow_our_packages(
    start: Callable[..., Supervisor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fusebox.py").write_text("raise SystemExit('shadowed')")
    monkeypatch.chdir(tmp_path)
    start("one")
