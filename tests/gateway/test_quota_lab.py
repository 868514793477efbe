"""The oracle sees an overshoot where there is one, and none in a short run with a worker killed."""

from pathlib import Path

import pytest

from benchmarks.quota_lab import WINDOW_S, _Served, judge, run, window_limit
from tests.fixtures.store import RedisServer


def test_the_oracle_sees_what_is_above_a_limit() -> None:
    full = [_Served("a", 100.0, window_limit())]
    assert judge(full, 10**9) == (0, 1.0)
    assert judge([*full, _Served("a", 100.0 + WINDOW_S, 7)], 10**9)[0] == 7
    assert judge([*full, _Served("a", 100.1 + WINDOW_S, 7), _Served("b", 100.0, 7)], 10**9)[0] == 0
    assert judge(full, window_limit() - 5)[0] == 5


@pytest.mark.faults
@pytest.mark.timeout(900)
def test_no_overshoot_with_clients_that_race_and_a_worker_that_is_killed(
    redis_server: RedisServer, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    calls = 100_000 if request.config.getoption("--fault-cycles") else 2500
    outcome = run(redis_server.url, tmp_path, calls, clients=24, kill_every_s=0.5)
    assert outcome.overshoot == 0
    assert outcome.kills >= 1
    assert outcome.fullest > 0.9
    assert outcome.refused > 0
