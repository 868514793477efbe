"""Rates and budgets, on both stores."""

import asyncio
import time
from datetime import datetime
from decimal import Decimal

import pytest

from fusebox.clock import ManualClock
from fusebox.errors import ConfigError
from fusebox.records import Decision
from fusebox.registry import AgentEntry, Registry
from fusebox.store import RedisStore, Store
from gateway.limits import (
    NOTHING,
    Call,
    Demand,
    Learner,
    Limit,
    Limiter,
    Measure,
    Meter,
    Refusal,
    Reservation,
    Scope,
    Wire,
    refuse_unmatched,
    registered_limits,
    worst_case,
)
from gateway.limits.answers import rate_headers
from gateway.limits.line import Line
from gateway.limits.share import Share
from tests.fixtures.store import RedisServer
from tests.need import PATIENCE_S

DAY = 86_400
CALL = Call("helper", team="support", model="gpt-5-mini", workflow="run-1")


def limit(scope: str, measure: str, amount: float, **stretch: object) -> Limit:
    return Limit.model_validate({"scope": scope, "measure": measure, "limit": amount, **stretch})


def taken(answer: Reservation | Refusal) -> Reservation:
    assert isinstance(answer, Reservation), answer
    return answer


def refused(answer: Reservation | Refusal) -> Refusal:
    assert isinstance(answer, Refusal), answer
    return answer


@pytest.mark.parametrize(
    ("scope", "other"),
    [
        ("agent", Call("other", "support", "gpt-5-mini", "run-1")),
        ("team", Call("helper", "sales", "gpt-5-mini", "run-1")),
        ("model", Call("helper", "support", "claude", "run-1")),
        ("workflow", Call("helper", "support", "gpt-5-mini", "run-2")),
        ("tenant", Call("helper", "support", "gpt-5-mini", "run-1", tenant="other")),
    ],
)
def test_a_limit_holds_for_its_subject_and_for_no_other(
    scope: str, other: Call, store: Store, clock: ManualClock
) -> None:
    limiter = Limiter(store, [limit(scope, "requests", 1, window_s=60)], clock)
    taken(limiter.reserve(CALL, Demand()))
    refused(limiter.reserve(CALL, Demand()))
    taken(limiter.reserve(other, Demand()))


def test_no_stretch_of_a_window_holds_more_than_the_limit(store: Store, clock: ManualClock) -> None:
    limiter = Limiter(store, [limit("agent", "requests", 10, window_s=60)], clock)
    admitted = []
    for _ in range(600):
        if isinstance(limiter.reserve(CALL, Demand()), Reservation):
            admitted.append(clock.now())
        clock.advance(0.7)
    assert all(sum(at <= other <= at + 60 for other in admitted) <= 10 for at in admitted)
    assert len(admitted) >= 10 * 600 * 0.7 / 66 * 0.8


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "America/St_Johns"])
@pytest.mark.parametrize(
    ("budget", "turn"),
    [("hour", "2026-11-27T21:00:00"), ("day", "2026-03-29T00:00:00"), ("month", "2028-03-01T00:00:00"),
     ("month", "2027-01-01T00:00:00")],
    ids=["hour", "day", "leap-month", "year"],
)  # fmt: skip
def test_a_budget_turns_with_the_calendar_of_utc_wherever_the_gateway_stands(
    store: Store, monkeypatch: pytest.MonkeyPatch, budget: str, turn: str, zone: str
) -> None:
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        at = datetime.fromisoformat(f"{turn}+00:00").timestamp()
        clock = ManualClock(at - 2)
        limiter = Limiter(store, [limit("agent", "requests", 2, budget=budget)], clock)
        begun = taken(limiter.reserve(CALL, Demand()))
        taken(limiter.reserve(CALL, Demand()))
        assert refused(limiter.reserve(CALL, Demand())).retry_after == 2
        clock.advance(2)
        limiter.settle(begun, Demand())  # what was begun before counts there
        assert [taken(limiter.reserve(CALL, Demand())).rows[0].remaining for _ in range(2)] == [1, 0]
        assert refused(limiter.reserve(CALL, Demand())).rows[0].since == at
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(("budget", "later"), [("hour", 3600), ("day", DAY), ("month", 31 * DAY), ("lifetime", None)])
def test_a_budget_comes_back_with_its_calendar(
    budget: str, later: float | None, store: Store, clock: ManualClock
) -> None:
    limiter = Limiter(store, [limit("workflow", "usd", 1.5, budget=budget)], clock)
    taken(limiter.reserve(CALL, Demand(usd=Decimal("1.5"))))
    refusal = refused(limiter.reserve(CALL, Demand(usd=Decimal("0.000001"))))
    if later is None:
        assert refusal.retry_after is None
        clock.advance(20 * DAY)
        refused(limiter.reserve(CALL, Demand(usd=Decimal("0.000001"))))
    else:
        assert refusal.retry_after is not None
        assert 0 < refusal.retry_after <= later
        clock.advance(refusal.retry_after)
        taken(limiter.reserve(CALL, Demand(usd=Decimal("1.5"))))


def test_what_was_not_spent_comes_back_and_what_was_spent_stays(store: Store, clock: ManualClock) -> None:
    limiter = Limiter(store, [limit("agent", "tokens", 1000, window_s=60)], clock)
    first = taken(limiter.reserve(CALL, Demand(100, 800)))
    refused(limiter.reserve(CALL, Demand(100, 100)))
    limiter.settle(first, Demand(50, 250))
    second = taken(limiter.reserve(CALL, Demand(100, 600)))
    refused(limiter.reserve(CALL, Demand(0, 1)))
    limiter.settle(second, NOTHING)
    taken(limiter.reserve(CALL, Demand(100, 600)))


def test_settling_twice_gives_back_once(store: Store, clock: ManualClock) -> None:
    limiter = Limiter(store, [limit("agent", "tokens", 1000, window_s=60)], clock)
    first = taken(limiter.reserve(CALL, Demand(0, 600)))
    for _ in range(3):
        limiter.settle(first, Demand(0, 500))
        limiter.flush()
    (row,) = limiter.rows(CALL)
    assert (row.used, row.held) == (500, 0)


def test_what_a_provider_says_it_spent_above_the_reservation_counts(store: Store, clock: ManualClock) -> None:
    limiter = Limiter(store, [limit("agent", "tokens", 1000, window_s=60)], clock)
    limiter.settle(taken(limiter.reserve(CALL, Demand(0, 100))), Demand(0, 1500))
    refusal = refused(limiter.reserve(CALL, Demand(0, 1)))
    assert refusal.rows[0].used == 1500


def test_all_rows_are_charged_or_none(store: Store, clock: ManualClock) -> None:
    limits = [limit("agent", "tokens", 1000, window_s=60), limit("team", "requests", 1, budget="day")]
    limiter = Limiter(store, limits, clock)
    taken(limiter.reserve(CALL, Demand(0, 100)))
    refused(limiter.reserve(CALL, Demand(0, 100)))
    assert [row.used for row in limiter.rows(CALL)] == [100, 1]


def test_a_refusal_names_the_rows_behind_it(store: Store, clock: ManualClock) -> None:
    limits = [limit("agent", "tokens", 1000, window_s=60), limit("tenant", "usd", 100, budget="month")]
    limiter = Limiter(store, limits, clock)
    taken(limiter.reserve(CALL, Demand(0, 900, Decimal(1))))
    refusal = refused(limiter.reserve(CALL, Demand(0, 200, Decimal(1))))
    assert refusal.verdict.decision is Decision.DENY
    assert refusal.verdict.guard == "quota"
    assert refusal.verdict.narrow
    assert "tokens/60s/agent/helper: 900 of 1000, 900 of it reserved" in refusal.verdict.reason
    assert [row.name for row in refusal.rows] == ["tokens/60s/agent/helper"]
    assert [row.name for row in refusal.others] == ["usd/month/tenant/default"]
    assert "agent = 'helper'" in refusal.rows[0].ledger
    assert f"time >= {int(refusal.rows[0].since)}" in refusal.rows[0].ledger


def test_the_headers_are_those_clients_know(store: Store, clock: ManualClock) -> None:
    limits = [limit("agent", "tokens", 1000, window_s=60), limit("agent", "requests", 5, window_s=60)]
    limiter = Limiter(store, limits, clock)
    headers = rate_headers(taken(limiter.reserve(CALL, Demand(0, 400))).told)
    assert headers["x-ratelimit-limit-tokens"] == "1000"
    assert headers["x-ratelimit-remaining-tokens"] == "600"
    assert headers["x-ratelimit-remaining-requests"] == "4"
    assert headers["x-ratelimit-reset-tokens"].endswith("s")
    refusal = refused(limiter.reserve(CALL, Demand(0, 700)))
    clock.advance(int(refusal.headers()["retry-after"]))
    taken(limiter.reserve(CALL, Demand(0, 700)))


def test_what_can_never_fit_says_so(store: Store, clock: ManualClock) -> None:
    limiter = Limiter(store, [limit("agent", "tokens", 1000, window_s=60)], clock)
    refusal = refused(limiter.reserve(CALL, Demand(0, 2000)))
    assert refusal.retry_after is None
    assert "retry-after" not in refusal.headers()


def test_a_reservation_nobody_settles_ends_with_its_lease_and_counts_in_full(store: Store, clock: ManualClock) -> None:
    limits = [limit("agent", "tokens", 1000, budget="month")]
    dead = Limiter(store, limits, clock, lease_s=60)
    taken(dead.reserve(CALL, Demand(0, 400)))
    alive = Limiter(store, limits, clock, lease_s=60)
    taken(alive.reserve(CALL, Demand(0, 100)))
    clock.advance(40)
    alive.tick()
    clock.advance(40)
    alive.tick()
    (row,) = alive.rows(CALL)
    assert (row.used, row.held, row.expired) == (500, 100, 400)
    assert sum(key.startswith("r:") for key in store.read("fusebox:default:quota")) == 1


def test_a_call_that_goes_on_is_renewed_and_a_forgotten_one_is_not(store: Store, clock: ManualClock) -> None:
    limiter = Limiter(store, [limit("agent", "tokens", 1000, budget="month")], clock, lease_s=60)
    taken(limiter.reserve(CALL, Demand(0, 400)))
    for _ in range(100):
        clock.advance(30)
        limiter.tick()
    assert limiter.rows(CALL)[0].held == 400
    for _ in range(30):
        clock.advance(30)
        limiter.tick()
    assert limiter.rows(CALL)[0].held == 0


def test_rows_that_say_nothing_any_more_are_forgotten(store: Store, clock: ManualClock) -> None:
    limiter = Limiter(store, [limit("workflow", "requests", 5, window_s=60)], clock)
    for number in range(20):
        limiter.settle(taken(limiter.reserve(Call("helper", workflow=f"run-{number}"), Demand())), Demand())
    clock.advance(200)
    limiter.tick()
    assert not [key for key in store.read("fusebox:default:quota") if key.startswith(("w:", "r:"))]


def test_a_quota_of_very_many_runs_is_looked_after_piece_by_piece(
    redis_server: RedisServer, clock: ManualClock
) -> None:
    """Who read it whole would keep every call waiting, and give up: nothing would ever be forgotten again."""
    client, stale, silent = redis_server.client(), f"{clock.now() - 60:.0f}", f"{clock.now() + 86_400:.0f}"
    rows = {f"w:tokens/lifetime/workflow/run-{n}": f"{silent if n % 2 else stale} 0 0 0 0 0:10" for n in range(30_000)}
    client.hset("fusebox:default:quota", mapping={**rows, "r:dead": f"{stale}\n0 5 tokens/lifetime/workflow/run-1"})
    store = RedisStore(redis_server.url, timeout=PATIENCE_S)
    limiter = Limiter(store, [limit("agent", "requests", 5, window_s=60)], clock)
    taken(limiter.reserve(CALL, Demand()))
    client.config_resetstat()
    for _ in range(4):
        clock.advance(31)
        limiter.tick()
    assert "cmdstat_hgetall" not in client.info("commandstats")
    fields = client.hgetall("fusebox:default:quota")
    assert sum(field.startswith(b"w:tokens/lifetime") for field in fields) == 15_000
    assert b"r:dead" not in fields
    assert fields[b"w:tokens/lifetime/workflow/run-1"].split()[4] == b"5", "its worker died: spent in full"
    store.close()
    client.close()


def test_a_process_remembers_a_bounded_number_of_rows_and_forgets_the_silent_ones_first(clock: ManualClock) -> None:
    share = Share(workers=1, max_rows=10)
    ask = {"keep": 0, "slot": 0, "until": clock.now() + 60, "limit": 10**6, "n": 7}
    for number in range(50):
        for row in ("steady", f"run-{number}"):
            assert share.reserve({"id": f"{row} {number}", "rows": [{**ask, "row": row}]})[0] == "ok"
    assert len(share.used(clock.now())) == 10
    assert share.used(clock.now())["steady"].total == 350
    share.lessen("run-0 0", {"run-0": 3})
    share.settle("run-0 0", {"run-0": 1})
    share.settle("steady 0", {"steady": 0})
    assert share.used(clock.now())["steady"].total == 343


def test_the_most_exact_name_counts_alone(store: Store, clock: ManualClock) -> None:
    limits = [
        limit("agent", "requests", 1, window_s=60),
        limit("agent", "requests", 2, window_s=60, name="help*"),
        limit("agent", "requests", 3, window_s=60, name="helper"),
    ]
    limiter = Limiter(store, limits, clock)
    for agent, allowed in (("stranger", 1), ("help-desk", 2), ("helper", 3)):
        answers = [limiter.reserve(Call(agent), Demand()) for _ in range(5)]
        assert sum(isinstance(answer, Reservation) for answer in answers) == allowed


def test_a_prefix_is_one_row_for_all_it_fits(store: Store, clock: ManualClock) -> None:
    limiter = Limiter(store, [limit("model", "requests", 2, window_s=60, name="gpt-5*")], clock)
    taken(limiter.reserve(Call("a", model="gpt-5"), Demand()))
    taken(limiter.reserve(Call("a", model="gpt-5-mini"), Demand()))
    refused(limiter.reserve(Call("a", model="gpt-5-nano"), Demand()))


@pytest.mark.parametrize("name", ["a b", "a\nb 9:9", "w:x", "é/../x", "0 0 0 0 0 1:5"])
def test_names_cannot_write_into_rows(name: str, store: Store, clock: ManualClock) -> None:
    limiter = Limiter(store, [limit("workflow", "requests", 2, window_s=60)], clock)
    call = Call("helper", workflow=name)
    limiter.settle(taken(limiter.reserve(call, Demand())), Demand())
    taken(limiter.reserve(call, Demand()))
    refused(limiter.reserve(call, Demand()))
    assert [row.used for row in limiter.rows(call)] == [2]
    assert limiter.rows(call)[0].subject == name


def test_a_clock_that_is_behind_charges_the_newest_slot(store: Store) -> None:
    ahead, behind = ManualClock(1_760_000_000), ManualClock(1_759_999_000)
    limits = [limit("agent", "requests", 2, window_s=60), limit("agent", "requests", 3, budget="hour")]
    taken(Limiter(store, limits, ahead).reserve(CALL, Demand()))
    taken(Limiter(store, limits, behind).reserve(CALL, Demand()))
    refused(Limiter(store, limits, ahead).reserve(CALL, Demand()))


def test_worst_case_counts_bytes_media_and_choices() -> None:
    demand = worst_case(100, 50, media=1, choices=2, price=lambda taken, given: Decimal(taken + given))
    assert demand.output_tokens == 100
    assert demand.input_tokens > 100
    assert demand.usd == demand.input_tokens + demand.output_tokens


def test_the_learner_reserves_twice_what_99_of_100_answers_need() -> None:
    learner = Learner(default=4096)
    assert learner.output("helper", "m") == 4096
    for tokens in range(1, 101):
        learner.saw("helper", "m", tokens)
    assert learner.output("helper", "m") == 198
    assert learner.output("helper", "other") == 4096


def test_a_reservation_that_cuts_answers_grows() -> None:
    learner = Learner()
    for _ in range(100):
        learner.saw("helper", "m", 50)
    for _ in range(10):
        learner.saw("helper", "m", min(1000, learner.output("helper", "m")))
    assert learner.output("helper", "m") >= 1000


@pytest.mark.parametrize(
    ("tells", "room", "end"),
    [
        (True, 0, 12),  # the provider says how many tokens: the chunk beyond the tenth is the last
        (True, 1000, 12),
        (False, 0, 12),  # it is silent: a token for four bytes, and no more of them than are to be had
        (False, 64, 75),
        (False, 1000, 90),  # the text of more than eighty tokens no answer of ten has
    ],
)
def test_a_stream_ends_at_the_chunk_that_is_not_set_aside(tells: bool, room: int, end: int) -> None:
    got: list[int] = []

    async def more(tokens: int) -> bool:
        got.append(tokens)
        return sum(got) <= room

    async def stream() -> int:
        meter, relayed = Meter(10, more), 3
        while await meter.reach(*((relayed, 0) if tells else (0, 4 * relayed))):
            relayed += 3
        return relayed

    assert asyncio.run(stream()) == end
    assert sum(got) <= room + 64


def test_limits_that_can_never_count_are_refused() -> None:
    with pytest.raises(ConfigError, match="no agent is called 'helpr'"):
        refuse_unmatched([limit("agent", "requests", 1, window_s=60, name="helpr")], {Scope.AGENT: {"helper"}})
    refuse_unmatched([limit("agent", "requests", 1, window_s=60, name="help*")], {Scope.AGENT: {"helper"}})
    with pytest.raises(ValueError, match="either window_s or budget"):
        limit("agent", "requests", 1)
    with pytest.raises(ValueError, match="either window_s or budget"):
        limit("agent", "requests", 1, window_s=60, budget="day")
    with pytest.raises(ValueError, match="whole number"):
        limit("agent", "requests", 0.5, window_s=60)
    with pytest.raises(ValueError, match="more than can be counted"):
        limit("agent", "usd", 10**9, budget="month")


def test_a_months_budget_may_be_more_tokens_than_any_agent_ever_had(store: Store, clock: ManualClock) -> None:
    limiter = Limiter(store, [limit("tenant", "tokens", 10**13, budget="month")], clock)
    assert taken(limiter.reserve(CALL, Demand(9 * 10**12))).rows[0].remaining == 10**12
    assert refused(limiter.reserve(CALL, Demand(10**12 + 1))).rows[0].used == 9 * 10**12
    assert taken(limiter.reserve(CALL, Demand(10**12))).rows[0].remaining == 0


def test_two_limits_in_one_place_are_refused_for_one_of_them_would_never_count() -> None:
    registry = Registry(agents={"helper": AgentEntry(owner="jo", tokens_per_minute=500)})
    mine = limit("agent", "tokens", 100, window_s=60, name="helper")
    with pytest.raises(ConfigError, match="tokens/60s/agent/helper is limited twice, to 100 and 500"):
        refuse_unmatched([mine, *registered_limits(registry)], {})
    others = [limit("agent", "tokens", 9, window_s=60), limit("agent", "tokens", 9, budget="day", name="helper")]
    refuse_unmatched([*others, mine], {})


def test_the_registry_gives_limits() -> None:
    registry = Registry(
        agents={
            "helper": AgentEntry(owner="jo", tokens_per_minute=500, usd_per_minute=0.25),
            "other": AgentEntry(owner="jo"),
        }
    )
    found = registered_limits(registry)
    assert {(each.scope, each.name, each.window_s) for each in found} == {(Scope.AGENT, "helper", 60)}
    assert {each.measure: each.limit for each in found} == {Measure.TOKENS: 500, Measure.USD: Decimal("0.25")}


BAD = {"op": "renew", "id": "a", "lease": 2**64}
"""Nothing that JSON can say."""


def waits(line: Line) -> None:
    """An op waits for its turn; what cannot be sent at all is asked beside it."""
    line.later("default", {"op": "forget", "row": "a", "now": 1})


def test_what_waits_outlives_whatever_goes_wrong_beside_it(store: Store) -> None:
    line = Line(store, lambda _: None)
    waits(line)
    with pytest.raises(TypeError):
        line.step("default", BAD)
    assert line.waiting == ("default",)
    assert line.step("default") == ["ok"]
    assert line.waiting == ()


def test_what_waits_outlives_it_also_on_the_event_loop(redis_url: str) -> None:
    async def asked() -> None:
        wire = Wire(redis_url, 2.0)
        line = Line(RedisStore(redis_url), lambda _: None, wire)
        waits(line)
        with pytest.raises(TypeError):
            await line.asked("default", BAD)
        assert line.waiting == ("default",)
        assert await line.asked("default") == ["ok"]
        wire.close()

    asyncio.run(asked())
