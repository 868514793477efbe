"""Watch and agent processes on one Redis: what the board says, what it loses, and what happens without it."""

from collections.abc import Callable, Iterator

import pytest
from pydantic import SecretStr

from breakers.board import Board
from breakers.circuit import Circuits
from fusebox.clock import SystemClock
from fusebox.config import Config
from fusebox.store import RedisStore
from tests.fixtures.collector import until
from tests.fixtures.store import RedisServer
from tests.fixtures.watch import FakeProcess, Harness


@pytest.fixture
def harness(watch_config: Config, redis_server: RedisServer) -> Iterator[Harness]:
    running = Harness(watch_config.model_copy(update={"redis_url": SecretStr(redis_server.url)}), SystemClock())
    running.start()
    yield running
    running.close()


@pytest.fixture
def theirs(redis_server: RedisServer) -> Circuits:
    """The circuits of an agent process on the same Redis."""
    return Circuits(Board(RedisStore(redis_server.url), SystemClock()), SystemClock())


def test_a_trip_whose_process_died_before_reporting_is_told_all_the_same(harness: Harness, theirs: Circuits) -> None:
    moved = theirs.trip("bot", reason="loop", actor="detector:cycle")
    assert moved is not None
    until(lambda: harness.state("bot") == "open", "watch saw it")
    until(lambda: harness.journal("trip"), "it is journaled")
    until(lambda: harness.operator().board()["alerts"]["delivered"] == 1, "people were told")
    assert harness.journal("trip")[0]["payload"]["transition"]["id"] == moved.id


def test_a_flushed_board_does_not_close_a_circuit(
    harness: Harness, redis_server: RedisServer, theirs: Circuits
) -> None:
    harness.operator().trip("bot", "smells")
    harness.operator().kill("agent:bot", "and out")
    store = RedisStore(redis_server.url)
    for key in store.keys(""):
        store.delete(key)
    until(lambda: store.keys(""), "the board is put back")
    theirs.refresh()
    assert theirs.circuit("bot").state == "open"
    assert harness.state("bot") == "forced_open"


def test_without_redis_watch_still_trips_kills_and_alerts(
    harness: Harness, redis_server: RedisServer, process: Callable[..., FakeProcess], theirs: Circuits
) -> None:
    bot = process("p1", "bot")
    redis_server.stop()
    harness.spans("bot", 6)
    until(lambda: bot.circuits.circuit("bot").state == "open", "the TRIP came")
    harness.operator().kill("agent:bot", "now")
    until(lambda: bot.latch.killed("bot"), "the KILL came")
    until(lambda: harness.journal("trip"), "journaled")
    redis_server.start()
    until(lambda: not theirs.refresh() and theirs.circuit("bot").state == "open", "the board learned of it")
