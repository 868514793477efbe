"""Each trap measured in pybreaker as it ships, sprung on the library itself, then on ours, where it is none."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pybreaker
import pytest
from redis import Redis

from breakers.board import Board
from breakers.circuit import Circuits, CircuitSettings
from breakers.guards import LatchGuard
from breakers.latch import Latch
from fusebox.clock import ManualClock
from fusebox.errors import AgentTripped
from fusebox.records import Action, ActionKind, State
from fusebox.store import RedisStore, Store
from tests.fixtures.store import RedisServer

WHY = {"reason": "loops", "actor": "detector:x"}
KEY = "fusebox:default:circuit:a"


class Broken(Exception):
    """What a handler raises."""


def fail() -> None:
    raise Broken


@pytest.fixture
def redis_store(redis_server: RedisServer) -> Iterator[Store]:
    store = RedisStore(redis_server.url, timeout=0.2)
    yield store
    store.close()


@pytest.fixture
def ours(redis_store: Store, clock: ManualClock) -> Circuits:
    circuits = Circuits(Board(redis_store, clock), clock, CircuitSettings(fail_max=3))
    circuits.refresh()
    return circuits


def plain(server: RedisServer | None = None, **more: float) -> pybreaker.CircuitBreaker:
    storage = None
    if server is not None:
        client = Redis.from_url(server.url, socket_timeout=0.2)
        storage = pybreaker.CircuitRedisStorage(pybreaker.STATE_CLOSED, client)
    return pybreaker.CircuitBreaker(fail_max=3, state_storage=storage, throw_new_error_on_trip=False, **more)


def runs(circuits: Circuits, work: Callable[[], object] = int) -> bool:
    """True when our handler run was admitted."""
    try:
        with circuits.calling("a"):
            work()
    except AgentTripped:
        return False
    except Broken:
        pass
    return True


def in_thread(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_opening_waits_for_the_call_in_flight(ours: Circuits) -> None:
    inside, leave = threading.Event(), threading.Event()

    def slow() -> None:
        inside.set()
        leave.wait(10)

    breaker = plain()
    call = in_thread(lambda: breaker.call(slow))
    assert inside.wait(10)
    assert not breaker._lock.acquire(blocking=False), "the call holds the lock"
    opening = in_thread(breaker.open)
    opening.join(0.2)
    assert opening.is_alive(), "theirs waits for it"
    leave.set()
    opening.join(5)
    call.join(5)

    inside.clear(), leave.clear()
    call = in_thread(lambda: runs(ours, slow))
    assert inside.wait(10)
    assert ours.trip("a", **WHY)
    assert call.is_alive(), "ours opened while the call was still in flight"
    leave.set()
    call.join(5)


def test_calls_of_one_agent_wait_for_each_other(ours: Circuits) -> None:
    def together(run: Callable[[Callable[[], object]], object], patience: float) -> bool:
        meeting = threading.Barrier(3)

        def meet() -> None:
            with suppress(threading.BrokenBarrierError):
                meeting.wait(patience)

        threads = [in_thread(lambda: run(meet)) for _ in range(3)]
        for thread in threads:
            thread.join(20)
        return not meeting.broken

    assert not together(plain().call, 0.3)
    assert together(lambda work: runs(ours, work), 10)


def test_a_store_that_is_down_reads_as_closed(redis_server: RedisServer, ours: Circuits) -> None:
    breaker = plain(redis_server)
    breaker.open()
    ours.trip("a", **WHY)
    redis_server.stop()
    assert breaker.call(lambda: "ran") == "ran"
    assert not runs(ours)


def test_a_flushed_store_reads_as_closed(redis_server: RedisServer, ours: Circuits) -> None:
    breaker = plain(redis_server)
    breaker.open()
    ours.trip("a", **WHY)
    redis_server.client().flushall()
    assert breaker.call(lambda: "ran") == "ran"
    assert not runs(ours)
    ours.refresh()
    assert not runs(ours)


def test_failures_do_not_count_while_the_store_is_down(redis_server: RedisServer, ours: Circuits) -> None:
    breaker = plain(redis_server)
    redis_server.stop()
    for _ in range(10):
        with suppress(Broken):
            breaker.call(fail)
    assert breaker.call(lambda: "ran") == "ran"
    for _ in range(3):
        assert runs(ours, fail)
    assert not runs(ours)


def test_a_lost_opening_time_lets_a_probe_through_at_once(
    redis_server: RedisServer, ours: Circuits, clock: ManualClock
) -> None:
    breaker = plain(reset_timeout=3600)
    breaker.open()
    breaker._state_storage._opened_at = None
    assert breaker.call(lambda: "ran") == "ran"
    ours.trip("a", **WHY)
    redis_server.client().hdel(KEY, "retry_at", "since")
    clock.advance(3600)
    other = Circuits(Board(RedisStore(redis_server.url), clock), clock)
    assert not runs(other)


def test_a_clock_that_ran_ahead_holds_the_circuit_for_everybody(
    redis_server: RedisServer, ours: Circuits, redis_store: Store, clock: ManualClock
) -> None:
    breaker = plain(redis_server, reset_timeout=0)
    breaker._state_storage.opened_at = datetime.now(UTC) + timedelta(days=1)
    breaker.open()
    with pytest.raises(pybreaker.CircuitBreakerError):
        breaker.call(int)

    ahead = ManualClock(clock.now() + 86_400)
    Circuits(Board(redis_store, ahead), ahead).trip("a", **WHY)
    ours.refresh()
    clock.advance(60)
    assert not runs(ours), "the next who asks brings the time back to now"
    clock.advance(60)
    assert runs(ours)


def test_what_was_killed_resumes_by_itself(ours: Circuits, clock: ManualClock, tmp_path: Path) -> None:
    breaker = plain(reset_timeout=0)
    breaker.open()
    assert breaker.call(lambda: "ran") == "ran"
    latch = Latch(tmp_path / "latch")
    latch.kill("k", "agent:a")
    clock.advance(1e9)
    assert not LatchGuard(Latch(tmp_path / "latch")).check(Action(ActionKind.TOOL_CALL, "a", "op")).allowed


def test_a_state_it_does_not_know_breaks_the_caller(
    redis_server: RedisServer, ours: Circuits, clock: ManualClock
) -> None:
    breaker = plain(redis_server)
    redis_server.client().set("pybreaker:state", "killed")
    with pytest.raises(ValueError, match="killed"):
        breaker.call(int)
    ours.trip("a", **WHY)
    redis_server.client().hset(KEY, mapping={"state": "killed", "version": "9"})
    ours.refresh()
    clock.advance(1e6)
    assert not runs(ours)


def test_a_failing_coroutine_counts_as_a_success(ours: Circuits) -> None:
    async def broken() -> None:
        raise Broken

    breaker = plain()
    for _ in range(5):
        with suppress(Broken):
            asyncio.run(breaker.call(broken))
    assert breaker.current_state == pybreaker.STATE_CLOSED

    async def handled() -> None:
        with ours.calling("a"):
            await broken()

    for _ in range(3):
        with pytest.raises(Broken):
            asyncio.run(handled())
    assert not runs(ours)


def test_every_process_lets_a_probe_of_its_own_through(
    redis_server: RedisServer, ours: Circuits, clock: ManualClock
) -> None:
    breakers = [plain(redis_server, reset_timeout=0) for _ in range(2)]
    breakers[0].open()
    ran: list[str] = []
    breakers[0].call(lambda: breakers[1].call(lambda: ran.append("a probe inside a probe")))
    assert ran

    other = Circuits(Board(RedisStore(redis_server.url), clock), clock)
    ours.trip("a", **WHY)
    other.refresh()
    clock.advance(60)
    with ours.calling("a"):
        assert not runs(other)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, GeneratorExit, SystemExit])
def test_ctrl_c_counts_as_a_failure(ours: Circuits, kind: type[BaseException]) -> None:
    def leave() -> None:
        raise kind

    breaker = plain()
    for _ in range(3):
        with suppress(kind):
            breaker.call(leave)
        with suppress(kind):
            runs(ours, leave)
    assert breaker.current_state == pybreaker.STATE_OPEN
    assert ours.circuit("a").state is State.CLOSED
