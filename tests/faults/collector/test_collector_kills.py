"""SIGKILL of every role, at named points and at random, during recovery too: nothing answered 200 is lost."""

from __future__ import annotations

import random
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.faults.collector.failpoints import FAILPOINTS, Failpoint
from tests.faults.collector.lab import Lab

_INTERRUPTED = {
    "receive": [p for p in FAILPOINTS if p.role == "receive" and not p.recovering],
    "keep": [p for p in FAILPOINTS if p.name in ("inserted", "during the insert", "before the commit")],
}


@pytest.mark.faults
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("embedded", [False, True], ids=["server", "chdb"])
def test_nothing_that_was_answered_200_is_lost_or_counted_twice(
    tmp_path: Path, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str], embedded: bool
) -> None:
    seed = request.config.getoption("--fault-seed")
    cycles = request.config.getoption("--fault-cycles")
    passed: Counter[str] = Counter()
    began = time.monotonic()
    with Lab(tmp_path, seed, embedded=embedded) as lab:
        try:
            for point in plan(cycles, embedded, lab.chance):
                t = time.monotonic()
                cycle(lab, point)
                print(point.role, point.name, time.monotonic() - t, lab.kills, flush=True)
                passed[f"{point.role}: {point.name}"] += 1
        finally:
            with capsys.disabled():
                rows = [f"{name:40} {count:6}" for name, count in sorted(passed.items())]
                rows += [
                    f"{name:40} {count:6}" for name, count in {"SIGKILLs": lab.kills, **lab.oracle.count()}.items()
                ]
                print("\n\n" + "\n".join(rows))
                print(f"{sum(passed.values())} cycles in {time.monotonic() - began:.0f} s, --fault-seed {seed}")


def plan(cycles: int, embedded: bool, chance: random.Random) -> list[Failpoint]:
    """Rounds of every failpoint, each in an order of its own."""
    points = [point for point in FAILPOINTS if point.role == "keep" or not embedded]
    played: list[Failpoint] = []
    while len(played) < max(cycles, len(points)):
        chance.shuffle(points)
        played += points
    return played[: max(cycles, len(points))]


def cycle(lab: Lab, point: Failpoint) -> None:
    role = lab.roles[point.role]
    with lab.sender.traffic():
        if point.recovering and point.role in _INTERRUPTED:
            lab.doom(lab.chance.choice(_INTERRUPTED[point.role]), 1)
            role.launch(point, 1)
            role.await_death()
        else:
            lab.doom(point, lab.chance.randint(1, 4))
        role.start()
    lab.drain()
    assert lab.sender.refused == []
    assert lab.oracle.verdict(lab.rows) == []
