"""The quota against a model that says what should hold, and its two back ends against each other."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fusebox.clock import ManualClock
from fusebox.store import MemoryStore, RedisStore
from gateway.limits import Call, Demand, Limit, Limiter, Refusal, Reservation
from gateway.limits.steps import STEP, decoded, encoded

WINDOW, SLOT = 60, 5
SLIDING, HOURLY = 1000, 2500
LIMITS = [
    Limit.model_validate({"scope": "agent", "measure": "tokens", "limit": SLIDING, "window_s": WINDOW}),
    Limit.model_validate({"scope": "team", "measure": "tokens", "limit": HOURLY, "budget": "hour"}),
]


class Charge:
    """What one call counts for in the model."""

    def __init__(self, agent: str, at: float, units: int) -> None:
        self.agent, self.at, self.units = agent, at, units


class QuotaMachine(RuleBasedStateMachine):
    """Two workers that share a store; the model is a list of charges, each at the time that its slot says."""

    def __init__(self) -> None:
        super().__init__()
        self.clock, self.charges = ManualClock(1_760_000_000.0), list[Charge]()
        self.open: dict[str, tuple[int, Reservation, Charge, Charge]] = {}

    @initialize()
    def start(self) -> None:
        self.store = MemoryStore()
        self.workers = [Limiter(self.store, LIMITS, self.clock, lease_s=30) for _ in range(2)]
        self.hourly = list[Charge]()

    @rule(worker=st.integers(0, 1), agent=st.sampled_from("ab"), tokens=st.integers(0, 700))
    def reserve(self, worker: int, agent: str, tokens: int) -> None:
        got = self.workers[worker].reserve(Call(agent, "team"), Demand(0, tokens))
        fits = not tokens or (self.sliding(agent) + tokens <= SLIDING and self.hour() + tokens <= HOURLY)
        assert isinstance(got, Reservation) is fits
        if isinstance(got, Reservation):
            now = self.clock.now()
            mine = Charge(agent, now, tokens), Charge("team", now, tokens)
            self.charges.append(mine[0])
            self.hourly.append(mine[1])
            self.open[got.id] = (worker, got, *mine)
        else:
            self.refusal_tells_the_truth(got, agent, tokens)

    def refusal_tells_the_truth(self, refusal: Refusal, agent: str, tokens: int) -> None:
        used = {row.name.partition("/")[2]: row.used for row in (*refusal.rows, *refusal.others)}
        assert used == {f"60s/agent/{agent}": self.sliding(agent), "hour/team/team": self.hour()}

    @precondition(lambda self: self.open)
    @rule(nth=st.integers(0, 9), spent=st.integers(0, 900))
    def settle(self, nth: int, spent: int) -> None:
        id_ = self.nth_open(nth)
        worker, reservation, sliding, hourly = self.open.pop(id_)
        expired = f"r:{id_}" not in self.store.read("fusebox:default:quota")
        self.workers[worker].settle(reservation, Demand(0, spent, requests=1))
        self.workers[worker].flush()
        if expired:  # it stays counted in full
            return
        for charge, list_, current in ((sliding, self.charges, self.in_window), (hourly, self.hourly, self.in_hour)):
            if current(charge):
                charge.units = spent
            elif spent > charge.units:  # its slot is over: only the surplus counts, at the newest slot of the row
                list_.append(Charge(charge.agent, self.newest(list_, charge.agent), spent - charge.units))

    @precondition(lambda self: self.open)
    @rule(nth=st.integers(0, 9))
    def forget(self, nth: int) -> None:
        """Nobody will settle it, as when its worker is killed."""
        del self.open[self.nth_open(nth)]

    def nth_open(self, nth: int) -> str:
        return list(self.open)[nth % len(self.open)]

    @rule(seconds=st.sampled_from([0.5, 3.0, 7.0, 31.0, 66.0, 1900.0]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)
        for worker in self.workers:
            worker.tick()

    @invariant()
    def held_is_what_is_open(self) -> None:
        hash_ = self.store.read("fusebox:default:quota")
        records = [text.split("\n")[1:] for field, text in hash_.items() if field.startswith("r:")]
        held: dict[str, int] = {}
        for lines in records:
            for line in filter(None, lines):
                _, units, row = line.split(" ", 2)
                held[row] = held.get(row, 0) + int(units)
        rows = {field[2:]: text.split() for field, text in hash_.items() if field.startswith("w:")}
        assert {row: int(parts[3]) for row, parts in rows.items() if int(parts[3])} == {
            r: n for r, n in held.items() if n
        }

    def in_window(self, charge: Charge) -> bool:
        newest = max(self.newest(self.charges, charge.agent), charge.at)
        return int(charge.at / SLOT) >= int(newest / SLOT) - WINDOW // SLOT

    def in_hour(self, charge: Charge) -> bool:
        return int(charge.at / 3600) >= int(self.newest(self.hourly, charge.agent) / 3600)

    @staticmethod
    def newest(charges: list[Charge], agent: str) -> float:
        return max((each.at for each in charges if each.agent == agent), default=0.0)

    def sliding(self, agent: str) -> int:
        first = int(self.clock.now() / SLOT) - WINDOW // SLOT
        return sum(c.units for c in self.charges if c.agent == agent and int(c.at / SLOT) >= first)

    def hour(self) -> int:
        return sum(c.units for c in self.hourly if int(c.at / 3600) == int(self.clock.now() / 3600))


TestQuota = QuotaMachine.TestCase
TestQuota.settings = settings(max_examples=60, stateful_step_count=30)

ROWS = ("tokens/60s/agent/a", "usd/hour/team/%0A x")
PLACES = st.fixed_dictionaries(
    {
        "row": st.sampled_from(ROWS),
        "limit": st.integers(1, 2000),
        "keep": st.sampled_from([0, 12]),
        "slot": st.integers(100, 130),
        "until": st.integers(1000, 2000),
        "n": st.integers(0, 900),
    }
)
IDS = st.sampled_from(["r1", "r2", "r3"])
TIMES = st.integers(900, 2100)
OPS: st.SearchStrategy[dict[str, Any]] = st.one_of(
    st.fixed_dictionaries(
        {
            "op": st.just("reserve"),
            "id": IDS,
            "lease": TIMES,
            "more": st.integers(0, 5),
            "rows": st.lists(PLACES, min_size=1, max_size=2, unique_by=lambda ask: ask["row"]),
        }
    ),
    st.fixed_dictionaries(
        {"op": st.just("settle"), "id": IDS, "spent": st.dictionaries(st.sampled_from(ROWS), st.integers(0, 10**14))}
    ),
    st.fixed_dictionaries(
        {"op": st.just("lessen"), "id": IDS, "back": st.dictionaries(st.sampled_from(ROWS), st.integers(1, 2000))}
    ),
    st.fixed_dictionaries({"op": st.just("renew"), "id": IDS, "lease": TIMES}),
    st.fixed_dictionaries({"op": st.just("charge"), "rows": st.lists(PLACES, max_size=2)}),
    st.fixed_dictionaries({"op": st.just("expire"), "id": IDS, "now": TIMES}),
    st.fixed_dictionaries({"op": st.just("forget"), "row": st.sampled_from(ROWS), "now": TIMES}),
    st.fixed_dictionaries({"op": st.just("over"), "now": TIMES, "count": st.just(100)}),
    st.fixed_dictionaries({"op": st.just("turn"), "now": TIMES, "every": st.just(30)}),
)


@pytest.fixture(scope="module")
def redis(redis_url: str) -> Iterator[RedisStore]:
    opened = RedisStore(redis_url)
    yield opened
    opened.close()


@settings(max_examples=80)
@given(steps=st.lists(st.lists(OPS, min_size=1, max_size=3), max_size=8))
def test_both_stores_do_the_same(steps: list[list[dict[str, Any]]], redis: RedisStore) -> None:
    memory = MemoryStore()
    redis.delete("twin")
    for ops in steps:
        taken = memory.read("twin")
        fresh = [op for op in ops if op["op"] != "reserve" or f"r:{op['id']}" not in taken]
        answers = [store.run(STEP, "twin", encoded("b", fresh)) for store in (memory, redis)]
        assert answers[0] == answers[1]
        assert decoded(answers[0])[0] == "b"
        assert memory.read("twin") == redis.read("twin")
