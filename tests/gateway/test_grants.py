"""Grants: few round trips, and the limits hold as if each call had made one."""

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, TypeVar, cast

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from redis import Redis

from fusebox.clock import ManualClock
from fusebox.errors import StoreUnavailable
from fusebox.store import MemoryStore, RedisStore, Script, Store
from gateway.limits import Call, Demand, Grants, Limit, Limiter, Part, Refusal, Wire
from gateway.limits.rows import State
from gateway.limits.steps import STEP, encoded

WINDOW, SLOT, SLIDING, HOURLY = 60, 5, 10_000, 25_000
LIMITS = [
    Limit.model_validate({"scope": "agent", "measure": "tokens", "limit": SLIDING, "window_s": WINDOW}),
    Limit.model_validate({"scope": "team", "measure": "tokens", "limit": HOURLY, "budget": "hour"}),
]
CALL = Call("helper", "team")
T = TypeVar("T")


def now(waiting: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that waits for nothing."""
    return asyncio.run(waiting)


def got(grants: Grants, demand: Demand, call: Call = CALL) -> Part | Refusal:
    return grants.take(call, demand) or now(grants.reserve(call, demand))


def part(answer: Part | Refusal) -> Part:
    assert isinstance(answer, Part), answer
    return answer


class Counting(MemoryStore):
    """Counts round trips."""

    trips = 0

    def run(self, script: Script, key: str, *args: str, ttl: int | None = None) -> Any:
        self.trips += 1
        return super().run(script, key, *args, ttl=ttl)


def grants_on(store: Store, clock: ManualClock, limits: list[Limit] = LIMITS, wire: Wire | None = None) -> Grants:
    return Grants(Limiter(store, limits, clock, wire=wire), clock)


def states(hash_: dict[str, str]) -> dict[str, State]:
    """The rows of a quota."""
    return {field[2:]: State.parse(text) for field, text in hash_.items() if field.startswith("w:")}


def used(store: Store) -> dict[str, int]:
    return {name: row.total for name, row in states(store.read("fusebox:default:quota")).items() if row.total}


def test_a_busy_process_asks_for_few_of_its_calls(clock: ManualClock) -> None:
    store = Counting()
    grants = grants_on(store, clock)
    for _ in range(300):
        grants.settle(part(got(grants, Demand(0, 10))), Demand(0, 5))
    assert store.trips < 30
    clock.advance(2)
    grants.tick()
    assert set(used(store).values()) == {300 * 5}


def test_near_the_limit_each_call_is_decided_by_itself(clock: ManualClock) -> None:
    store = MemoryStore()
    busy, other = grants_on(store, clock), grants_on(store, clock)
    for _ in range(9):
        part(got(busy, Demand(0, 1000)))
    assert isinstance(got(other, Demand(0, 1000)), Part)
    assert isinstance(got(other, Demand(0, 1)), Refusal)
    assert isinstance(got(busy, Demand(0, 1)), Refusal)


def test_what_other_grants_of_the_process_hold_refuses_nobody(clock: ManualClock) -> None:
    by_model = Limit.model_validate({"scope": "model", "measure": "tokens", "limit": 10**6, "window_s": WINDOW})
    grants = grants_on(MemoryStore(), clock, [*LIMITS, by_model])
    one, two = Call("helper", "team", "one"), Call("helper", "team", "two")
    for _ in range(20):
        grants.settle(part(got(grants, Demand(0, 100), one)), Demand(0, 0))
    assert isinstance(got(grants, Demand(0, SLIDING), two), Part)


def test_a_grant_goes_back_while_its_calls_go_on(clock: ManualClock) -> None:
    store = MemoryStore()
    grants = grants_on(store, clock)
    parts = [part(got(grants, Demand(0, 100))) for _ in range(6)]
    assert used(store)["tokens/60s/agent/helper"] > 600
    clock.advance(2)
    grants.tick()
    assert set(used(store).values()) == {600}
    for each in parts:
        grants.settle(each, Demand(0, 30))
    grants.tick()
    assert set(used(store).values()) == {180}


def test_headers_say_what_this_process_has_left(clock: ManualClock) -> None:
    grants = grants_on(MemoryStore(), clock)
    for spent in range(1, 30):
        each = part(got(grants, Demand(0, 10)))
        assert each.headers()["x-ratelimit-remaining-tokens"] == str(SLIDING - 10 * spent)
        grants.settle(each, Demand(0, 10))


class CountingWire(Wire):
    """Counts round trips."""

    trips = 0

    async def run(self, script: Script, key: str, *args: str) -> str:
        self.trips += 1
        return await super().run(script, key, *args)


def test_who_comes_while_a_grant_is_asked_for_waits_for_it(redis_url: str, clock: ManualClock) -> None:
    store = RedisStore(redis_url)
    store.delete("fusebox:default:quota")

    async def many() -> int:
        wire = CountingWire(redis_url, 5.0)
        grants = grants_on(store, clock, wire=wire)

        async def one() -> None:
            each = part(grants.take(CALL, Demand(0, 2)) or await grants.reserve(CALL, Demand(0, 2)))
            grants.settle(each, Demand(0, 1))

        for at_once in (1, 3, *[20] * 20):
            await asyncio.gather(*(one() for _ in range(at_once)))
        grants.close()
        wire.close()
        return wire.trips

    assert asyncio.run(many()) < 20
    assert set(used(store).values()) == {404}


def test_over_the_wire_it_is_the_same(redis_url: str, clock: ManualClock) -> None:
    store = RedisStore(redis_url)
    store.delete("fusebox:default:quota")

    async def many() -> None:
        wire = Wire(redis_url, 5.0)
        grants = grants_on(store, clock, wire=wire)

        async def one() -> None:
            each = part(grants.take(CALL, Demand(0, 10)) or await grants.reserve(CALL, Demand(0, 10)))
            await asyncio.sleep(0)
            grants.settle(each, Demand(0, 4))

        for _ in range(10):
            await asyncio.gather(*(one() for _ in range(20)))
        grants.close()
        wire.close()

    asyncio.run(many())
    assert set(used(store).values()) == {800}


def test_a_refusal_leaves_the_grants_of_other_rows_alone(clock: ManualClock) -> None:
    store = Counting()
    grants = grants_on(store, clock)
    loud, quiet = Call("loud", "one"), Call("quiet", "two")
    for _ in range(20):
        part(got(grants, Demand(0, 10), quiet))
    part(got(grants, Demand(0, SLIDING), loud))
    for _ in range(5):
        assert isinstance(got(grants, Demand(0, 1), loud), Refusal)
    assert grants.take(quiet, Demand(0, 10)) is not None


def test_calls_that_ask_for_themselves_leave_a_larger_grant_in_place(clock: ManualClock) -> None:
    store = MemoryStore()

    class Far:
        """Answers after all have asked."""

        async def run(self, script: Script, key: str, *args: str) -> str:
            await asyncio.sleep(0)
            return str(store.run(script, key, *args))

    grants = grants_on(store, clock, wire=cast(Wire, Far()))

    async def at_once() -> None:
        for each in await asyncio.gather(*(grants.reserve(CALL, Demand(0, 10)) for _ in range(5))):
            grants.settle(part(each), Demand(0, 4))

    now(at_once())
    now(at_once())
    for _ in range(2):
        grants.settle(part(grants.take(CALL, Demand(0, 10)) or pytest.fail("it is gone")), Demand(0, 4))
    grants.close()
    assert set(used(store).values()) == {12 * 4}


def test_a_clock_that_went_back_ends_a_grant(clock: ManualClock) -> None:
    store = MemoryStore()
    grants = grants_on(store, clock)
    for _ in range(20):
        grants.settle(part(got(grants, Demand(0, 10))), Demand(0, 10))
    assert grants.take(CALL, Demand(0, 10)) is not None
    clock.advance(-3600)
    assert grants.take(CALL, Demand(0, 10)) is None


def test_a_greeting_that_is_refused_leaves_no_connection_behind(redis_url: str) -> None:
    client = Redis.from_url(redis_url)
    before = len(client.client_list())

    async def refused() -> None:
        wire = Wire(redis_url.replace("unix://", "unix://nobody:wrong@"), 5.0)
        for _ in range(3):
            with pytest.raises(StoreUnavailable, match="WRONGPASS"):
                await wire.run(STEP, "fusebox:default:quota", encoded("born", []))
        deadline = time.monotonic() + 10
        while len(client.client_list()) > before:
            assert time.monotonic() < deadline, "connections are left"
            await asyncio.sleep(0.01)

    asyncio.run(refused())
    client.close()


class Shared(MemoryStore):
    """One that other processes use, too."""

    shared = True


def test_a_slow_call_outlasts_the_rows_it_holds_nothing_of(clock: ManualClock) -> None:
    store = Shared()
    grants = grants_on(store, clock)
    each = part(got(grants, Demand()))
    for _ in range(4):
        clock.advance(WINDOW / 2)
        grants.tick()
    grants.settle(each, Demand())
    grants.tick()
    assert not used(store)


class GrantMachine(RuleBasedStateMachine):
    """Two processes; what they were let do is counted call by call, at the time at which each was let."""

    def __init__(self) -> None:
        super().__init__()
        self.clock, self.store = ManualClock(1_760_000_000.0), MemoryStore()
        # Leases outlast the whole run: these processes tick when the test says so, not every second.
        limiters = [Limiter(self.store, LIMITS, self.clock, lease_s=3600.0) for _ in range(2)]
        self.processes = [Grants(limiter, self.clock) for limiter in limiters]
        self.open: list[tuple[Grants, Part, list[float]]] = []
        self.charges: list[list[float]] = []

    @rule(process=st.integers(0, 1), tokens=st.integers(1, 900), times=st.integers(1, 12))
    def call(self, process: int, tokens: int, times: int) -> None:
        for _ in range(times):
            answer = got(self.processes[process], Demand(0, tokens))
            if isinstance(answer, Part):
                charge = [self.clock.now(), tokens]
                self.charges.append(charge)
                self.open.append((self.processes[process], answer, charge))

    @precondition(lambda self: self.open)
    @rule(share=st.floats(0, 1), nth=st.integers(0, 50))
    def settle(self, share: float, nth: int) -> None:
        process, mine, charge = self.open.pop(nth % len(self.open))
        charge[1] = int(mine.demand.output_tokens * share)
        process.settle(mine, Demand(0, int(charge[1])))

    @rule(seconds=st.sampled_from([0.2, 0.9, 4.0, 31.0, 66.0]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule()
    def tick(self) -> None:
        for process in self.processes:
            process.tick()

    @invariant()
    def limits_hold(self) -> None:
        first = int(self.clock.now() / SLOT) - WINDOW // SLOT
        assert sum(n for at, n in self.charges if int(at / SLOT) >= first) <= SLIDING
        assert sum(n for at, n in self.charges if int(at / 3600) == int(self.clock.now() / 3600)) <= HOURLY

    def teardown(self) -> None:
        """All that was not spent is back in the end."""
        while self.open:
            self.settle(share=0.5, nth=0)
        for process in self.processes:
            process.close()
        for name, row in states(self.store.read("fusebox:default:quota")).items():
            if name.startswith("tokens/hour"):
                assert row.total == sum(n for at, n in self.charges if int(at / 3600) == row.newest)


TestGrants = GrantMachine.TestCase
TestGrants.settings = settings(max_examples=40, stateful_step_count=25)
