"""Watch and agent processes on one Redis: what the board says, what it loses, and what happens without it."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.request import urlopen

import pytest
from pydantic import SecretStr

from breakers.board import Board
from breakers.circuit import Circuits
from fusebox.clock import ManualClock, SystemClock
from fusebox.config import Config
from fusebox.store import RedisStore
from tests.collector.test_watch_control import raw
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


def test_a_redis_that_hangs_shows_in_health_and_people_are_told_once(
    harness: Harness, redis_server: RedisServer
) -> None:
    def health() -> tuple[int, dict[str, Any]]:
        return raw(harness.watch.url, "GET", "/healthz")

    assert health() == (200, {"ok": True, "reason": ""})
    redis_server.pause()
    try:
        _, told = until(lambda: health()[0] == 503 and health(), "watch is not well")
        assert "shared state (Redis) does not answer" in told["reason"]
        harness.operator().kill("agent:bot", "while it hangs")
        until(lambda: "Commands do not leave by redis" in health()[1]["reason"], "nor does the kill go out that way")
        assert 'fusebox_watch_way_up{way="redis"} 0' in metrics(harness)
    finally:
        redis_server.resume()
    until(lambda: health()[0] == 200, "it is well again")
    assert 'fusebox_watch_way_up{way="redis"} 1' in metrics(harness)
    log = (harness.config.data_dir / "alerts.log").read_text()
    assert [line["type"] for line in map(json.loads, log.splitlines())].count("watch.apart") == 1


def metrics(harness: Harness) -> str:
    with urlopen(f"{harness.watch.url}/metrics", timeout=5) as answer:
        return str(answer.read().decode())


def test_watch_lets_go_of_circuits_of_long_ago_and_brings_none_back(
    harness: Harness, redis_server: RedisServer, theirs: Circuits
) -> None:
    long_ago = ManualClock(time.time() - 40 * 86_400)
    then = Circuits(Board(RedisStore(redis_server.url), long_ago), long_ago)
    harness.stop()
    for agent in ("gone", "stuck"):
        then.trip(agent, reason="loop", actor="operator:jo")
    then.reset("gone", reason="fixed", actor="operator:jo")
    harness.start()
    store = RedisStore(redis_server.url)
    until(lambda: store.keys("fusebox:default:circuit:") == ["fusebox:default:circuit:stuck"], "it is let go")
    assert store.read("fusebox:default:circuits").keys() == {"fusebox:default:circuit:stuck"}
    harness.restart()
    until(lambda: harness.state("stuck") == "open", "watch knows what stands")
    assert store.keys("fusebox:default:circuit:") == ["fusebox:default:circuit:stuck"]


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


def test_what_closed_while_watch_was_away_is_not_opened_again_once_the_board_has_let_go_of_it(
    harness: Harness, redis_server: RedisServer
) -> None:
    long_ago, store = ManualClock(time.time() - 40 * 86_400), RedisStore(redis_server.url)
    then = Circuits(Board(store, long_ago), long_ago)
    then.trip("bot", reason="loop", actor="detector:cycle")
    until(lambda: harness.journal("trip"), "it is journaled")
    harness.stop()
    long_ago.advance(60)
    then.reset("bot", reason="the probe succeeded", actor="circuit")
    harness.start()
    until(lambda: harness.journal("transition"), "watch learns of it")
    harness.restart()
    until(lambda: not store.keys("fusebox:default:circuit:"), "it is let go")
    harness.restart()
    assert harness.state("bot") is None
    assert store.keys("fusebox:default:circuit:") == []


def test_a_circuit_that_closed_while_watch_was_away_is_opened_by_the_next_finding(
    harness: Harness, theirs: Circuits
) -> None:
    theirs.trip("bot", reason="loop", actor="detector:cycle")
    until(lambda: harness.journal("trip"), "it is journaled")
    harness.stop()
    theirs.reset("bot", reason="the probe succeeded", actor="circuit")
    harness.start()
    until(lambda: harness.journal("transition"), "watch learns of it")
    harness.spans("bot", 30)
    until(lambda: harness.state("bot") == "open", "it is opened again")
