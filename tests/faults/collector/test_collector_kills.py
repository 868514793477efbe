"""SIGKILL of every role, at named points and at random, during recovery too: nothing answered 200 is lost.

A cycle kills a role in the middle of its work, starts it doomed to die at a failpoint, and starts it again, all under
traffic. Points of recovery are passed by a role whose predecessor died with work begun: three kills in a row. Then all
must be stored, once. ``make faults`` plays some 500 cycles, a run without ``--fault-cycles`` each point once.

Every verdict reads all that was ever stored, so after some hundred kills a collector has done its duty and a new one
takes over; else a run would take time by the square of its length.
"""

from __future__ import annotations

import random
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path
from typing import Final

import pytest

from tests.faults.collector.failpoints import FAILPOINTS, Failpoint
from tests.faults.collector.lab import Lab

_CYCLES_FOR_ONE: Final = 6
"""Ours for one cycle of the bus: a kill costs less here."""
_FOR_A_VERDICT: Final = 5
_VERDICTS: Final = 10
"""Of one collector."""
_INTERRUPTING: Final = {
    "receive": ("record half written", "record written", "after fdatasync", "segment begun"),
    "keep": ("during the insert", "inserted", "before the commit"),
}
"""Points at which a death leaves work to recover."""


@pytest.mark.faults
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("embedded", [False, True], ids=["server", "chdb"])
def test_nothing_that_was_answered_200_is_lost_or_counted_twice(
    tmp_path: Path, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str], embedded: bool
) -> None:
    seed, cycles = request.config.getoption("--fault-seed"), request.config.getoption("--fault-cycles")
    figures: Counter[str] = Counter()
    began = time.monotonic()
    planned = plan(cycles * _CYCLES_FOR_ONE, embedded, random.Random(seed))
    try:
        for number in count():
            some = list(islice(planned, _VERDICTS))
            if not some:
                break
            with Lab(tmp_path / str(number), seed + number, embedded=embedded) as lab:
                for points in some:
                    figures.update(play(lab, points))
                figures.update({"SIGKILLs": lab.kills, **lab.oracle.count()})
            shutil.rmtree(tmp_path / str(number))
    finally:
        with capsys.disabled():
            print(f"\n\n{table(figures)}\n{time.monotonic() - began:.0f} s, --fault-seed {seed}")


@pytest.mark.faults
@pytest.mark.timeout(1200)
def test_ten_kills_in_a_row_while_it_starts_cost_nothing(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    with Lab(tmp_path, request.config.getoption("--fault-seed"), embedded=False) as lab:
        for name in ("receive", "keep"):
            role = lab.roles[name]
            with lab.sender.traffic():
                role.kill()
                for _ in range(10):
                    role.launch()
                    time.sleep(lab.chance.uniform(0, 0.5))  # the moment of the kill is what varies
                    role.kill()
                role.start()
            lab.drain()
            assert lab.oracle.verdict(lab.rows) == [], name
        assert lab.kills == 22
        assert lab.rows("SELECT count() < 1000 FROM system.parts WHERE active") == [(1,)]


def plan(cycles: int, embedded: bool, chance: random.Random) -> Iterator[list[Failpoint]]:
    """Rounds of failpoints, each in an order of its own, a few to a verdict.

    With chDB, which starts slowly, only *keep*'s, and without ``--fault-cycles`` only those amid an insert.
    """
    points = [point for point in FAILPOINTS if point.role == "keep" or not embedded]
    if embedded and not cycles:
        points = [point for point in points if point.name in _INTERRUPTING["keep"] or point.recovering]
    played = []
    while len(played) < max(cycles // (3 if embedded else 1), len(points)):
        played += chance.sample(points, len(points))
    return (played[start : start + _FOR_A_VERDICT] for start in range(0, len(played), _FOR_A_VERDICT))


def play(lab: Lab, points: list[Failpoint]) -> list[str]:
    """Some failpoints under traffic, and the verdict; where roles died."""
    with lab.sender.traffic():
        died = [doom for point in points for doom in cycle(lab, point)]
    lab.drain()
    assert lab.sender.refused == []
    assert lab.oracle.verdict(lab.rows) == [], died
    return died


def cycle(lab: Lab, point: Failpoint) -> list[str]:
    """One failpoint; where the role died."""
    role = lab.roles[point.role]
    dooms = [_interrupting(lab, point), point] if point.recovering else [point]
    role.kill()
    for doom in dooms:
        role.launch(doom, 1 if point.recovering else lab.chance.randint(1, 4))
        role.await_death()
    role.start()
    return [f"{doom.role}: {doom.name}" for doom in dooms]


def _interrupting(lab: Lab, point: Failpoint) -> Failpoint:
    names = _INTERRUPTING[point.role]
    return lab.chance.choice([other for other in FAILPOINTS if other.role == point.role and other.name in names])


def table(figures: Counter[str]) -> str:
    """What a run did, for people."""
    return "\n".join(f"{name:40} {times:6}" for name, times in sorted(figures.items()))
