"""Watch and agent processes on one Redis: what the board says, what it loses, and what happens without it."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from breakers.board import Board
from breakers.circuit import Circuits
from fusebox.clock import SystemClock
from fusebox.config import Config
from fusebox.store import RedisStore
from tests.fixtures.collector import until
from tests.fixtures.watch import FakeProcess, Harness
from tests.need import need


class Server:
    """A Redis that can be stopped and started."""

    def __init__(self, folder: Path) -> None:
        self._program = need("redis-server", "apt-get install redis-server")
        self._folder, self.url = folder, f"unix://{folder}/r.sock"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        options = ["--port", "0", "--unixsocket", f"{self._folder}/r.sock", "--save", "", "--dir", str(self._folder)]
        self._process = subprocess.Popen([self._program, *options], stdout=subprocess.DEVNULL)
        until(self._answers, "Redis is up", 10)

    def stop(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def _answers(self) -> bool:
        try:
            RedisStore(self.url).ping()
        except Exception:
            return False
        return True


@pytest.fixture
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    made = Server(tmp_path_factory.mktemp("r"))
    made.start()
    yield made
    made.stop()


@pytest.fixture
def harness(watch_config: Config, server: Server) -> Iterator[Harness]:
    running = Harness(watch_config.model_copy(update={"redis_url": SecretStr(server.url)}), SystemClock())
    running.start()
    yield running
    running.close()


@pytest.fixture
def theirs(server: Server) -> Circuits:
    """The circuits of an agent process on the same Redis."""
    return Circuits(Board(RedisStore(server.url), SystemClock()), SystemClock())


def test_a_trip_whose_process_died_before_reporting_is_told_all_the_same(harness: Harness, theirs: Circuits) -> None:
    moved = theirs.trip("bot", reason="loop", actor="detector:cycle")
    assert moved is not None
    until(lambda: harness.state("bot") == "open", "watch saw it", 5)
    until(lambda: harness.journal("trip"), "it is journaled", 10)
    until(lambda: harness.operator().board()["alerts"]["delivered"] == 1, "people were told", 5)
    assert harness.journal("trip")[0]["payload"]["transition"]["id"] == moved.id


def test_a_flushed_board_does_not_close_a_circuit(harness: Harness, server: Server, theirs: Circuits) -> None:
    harness.operator().trip("bot", "smells")
    harness.operator().kill("agent:bot", "and out")
    store = RedisStore(server.url)
    for key in store.keys(""):
        store.delete(key)
    until(lambda: store.keys(""), "the board is put back", 5)
    theirs.refresh()
    assert theirs.circuit("bot").state == "open"
    assert harness.state("bot") == "forced_open"


def test_without_redis_watch_still_trips_kills_and_alerts(
    harness: Harness, server: Server, process: Callable[..., FakeProcess], theirs: Circuits
) -> None:
    bot = process("p1", "bot")
    server.stop()
    harness.spans("bot", 6)
    until(lambda: bot.circuits.circuit("bot").state == "open", "the TRIP came", 10)
    harness.operator().kill("agent:bot", "now")
    until(lambda: bot.latch.killed("bot"), "the KILL came", 5)
    until(lambda: harness.journal("trip"), "journaled", 5)
    server.start()
    until(lambda: not theirs.refresh() and theirs.circuit("bot").state == "open", "the board learned of it", 10)
