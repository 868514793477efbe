"""Clocks: scaled alike in every process; security time never scaled."""

import time

import pytest

from fusebox.clock import ManualClock, SystemClock, system_clock
from fusebox.errors import ConfigError


def test_a_fast_clock_agrees_with_another_one_of_the_same_origin(monkeypatch: pytest.MonkeyPatch) -> None:
    origin = 1_760_000_000.0
    monkeypatch.setattr(time, "time", lambda: origin + 10)
    one, other = SystemClock(60, origin), SystemClock(60, origin)
    assert one.now() == other.now() == origin + 600
    assert one.wall() == origin + 10


def test_windows_pass_faster_and_sleeps_are_shorter() -> None:
    clock = SystemClock(1000)
    before, start = clock.monotonic(), time.monotonic()
    clock.sleep(20.0)
    assert clock.monotonic() - before >= 20.0
    assert time.monotonic() - start < 10.0


def test_at_speed_one_it_is_the_machines_clock() -> None:
    before = time.time()
    assert before - 1e-3 <= SystemClock().now() <= time.time() + 1e-3


@pytest.mark.parametrize("speed", ["0", "-1", "nan", "inf", "fast"])
def test_a_clock_must_run_forward(monkeypatch: pytest.MonkeyPatch, speed: str) -> None:
    monkeypatch.setenv("FUSEBOX_CLOCK_SPEED", speed)
    with pytest.raises(ConfigError, match="FUSEBOX_CLOCK_SPEED"):
        system_clock()


def test_the_environment_sets_speed_and_origin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUSEBOX_CLOCK_SPEED", "30")
    monkeypatch.setenv("FUSEBOX_CLOCK_ORIGIN", "1000")
    clock = system_clock()
    assert (clock.speed, clock.origin) == (30.0, 1000.0)


def test_a_manual_clock_moves_when_told_and_its_monotonic_time_never_back() -> None:
    clock = ManualClock(100.0)
    clock.sleep(5.0)
    clock.advance(-60.0)
    clock.advance(1.0)
    assert (clock.now(), clock.wall(), clock.monotonic()) == (46.0, 46.0, 106.0)
