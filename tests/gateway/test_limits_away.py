"""The quota while its store is away, lost or slow: real Redis, stopped and killed."""

import pytest

from fusebox import happenings
from fusebox.clock import ManualClock
from fusebox.store import RedisStore
from gateway.limits import Call, Demand, Limit, Limiter, Refusal, Reservation
from tests.fixtures.agents import eventually
from tests.fixtures.store import RedisServer

CALL = Call("helper")
LIMIT = Limit.model_validate({"scope": "agent", "measure": "requests", "limit": 12, "window_s": 3600})


def admitted(limiter: Limiter, tries: int) -> int:
    answers = [limiter.reserve(CALL, Demand()) for _ in range(tries)]
    for answer in answers:
        if isinstance(answer, Reservation):
            limiter.settle(answer, Demand())
    return sum(isinstance(answer, Reservation) for answer in answers)


@pytest.fixture
def limiter(redis_server: RedisServer, clock: ManualClock) -> Limiter:
    return Limiter(RedisStore(redis_server.url, timeout=0.2), [LIMIT], clock, workers=3)


def test_a_stopped_redis_leaves_each_worker_its_share_and_no_more(limiter: Limiter, redis_server: RedisServer) -> None:
    assert admitted(limiter, 1) == 1
    redis_server.stop()
    answers = [limiter.reserve(CALL, Demand()) for _ in range(20)]
    assert sum(isinstance(answer, Reservation) for answer in answers) == 12 // 3 - 1
    refusal = answers[-1]
    assert isinstance(refusal, Refusal)
    assert refusal.local
    assert "share" in refusal.verdict.reason
    assert refusal.rows[0].limit == 4
    limiter.close()


@pytest.mark.parametrize("stretch", [{"budget": "month"}, {"window_s": 3600}, {"budget": "lifetime"}])
@pytest.mark.parametrize("units", [2, 12], ids=["no-share", "used-share"])
def test_who_is_refused_for_want_of_the_store_is_told_to_come_back_soon(
    redis_server: RedisServer, clock: ManualClock, units: int, stretch: dict[str, object]
) -> None:
    limit = Limit.model_validate({"scope": "agent", "measure": "requests", "limit": units, **stretch})
    limiter = Limiter(RedisStore(redis_server.url, timeout=0.2), [limit], clock, workers=3)
    redis_server.stop()
    refusal = [limiter.reserve(CALL, Demand()) for _ in range(5)][-1]
    assert isinstance(refusal, Refusal)
    assert (refusal.local, refusal.retry_after, refusal.headers()["retry-after"]) == (True, 5.0, "5")
    limiter.close()


def test_what_was_let_through_is_counted_when_redis_is_back(limiter: Limiter, redis_server: RedisServer) -> None:
    assert admitted(limiter, 1) == 1
    redis_server.pause()
    assert admitted(limiter, 20) == 3
    redis_server.resume()
    eventually(
        lambda: happenings.counts()["quota_store_back"] > 0 and not limiter.reserve(CALL, Demand(requests=0)).local
    )
    limiter.flush()
    (row,) = limiter.rows(CALL)
    assert row.used == 4
    assert admitted(limiter, 20) == 8
    limiter.close()


def test_a_redis_that_lost_its_rows_is_told_what_this_process_has_used(
    limiter: Limiter, redis_server: RedisServer
) -> None:
    assert admitted(limiter, 10) == 10
    limiter.flush()
    redis_server.client().flushall()
    lost = happenings.counts()["quota_lost"]
    assert admitted(limiter, 1) == 1  # the step that finds out
    assert happenings.counts()["quota_lost"] == lost + 1
    assert admitted(limiter, 20) == 1
    limiter.close()


def test_a_slow_redis_is_waited_for_once(limiter: Limiter, redis_server: RedisServer) -> None:
    assert admitted(limiter, 1) == 1
    away = happenings.counts()["quota_store_away"]
    redis_server.pause()
    assert admitted(limiter, 50) == 3
    assert happenings.counts()["quota_store_away"] == away + 1
    redis_server.resume()
    limiter.close()
