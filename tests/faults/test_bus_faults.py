"""The bus under random violence: nothing confirmed is lost, nothing completed runs again, every publish ends in time.

``make faults`` plays 60 cycles; without ``--fault-cycles`` each fault is played once. A run prints its seed;
``--fault-seed`` plays the same order again.
"""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Final

import pytest

from rabbitmq.node import PrivateNode
from tests.faults import agent_faults as agent
from tests.faults import broker_faults as broker
from tests.faults.fault import Fault
from tests.faults.lab import Lab
from tests.faults.sender import PUBLISH_S
from tests.faults.tally import Tally
from tests.need import missing

FAULTS: Final[tuple[type[Fault], ...]] = (
    broker.BrokerKilled, broker.AppStopped, broker.ConnectionCut, broker.HalfOpen, broker.MemoryAlarm, broker.QueueFull,
    agent.ChannelClosed, agent.Overdue, agent.Outlasting, agent.WorkerKilled, agent.Forked, agent.Terminated,
)  # fmt: skip
_AROUND: Final = 5
"""Parcels that go through before each fault, after it, and at the end."""


@pytest.mark.faults
@pytest.mark.timeout(3600)
def test_the_bus_keeps_its_promises_under_every_fault(
    tmp_path: Path, redis_url: str, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    if not PrivateNode.available():
        missing("rabbitmq-server is not installed; apt-get install rabbitmq-server")
    seed, cycles = request.config.getoption("--fault-seed"), request.config.getoption("--fault-cycles")
    tally, began = Tally(), time.monotonic()
    with Lab(tmp_path, redis_url, seed) as lab:
        try:
            for fault in plan(cycles, random.Random(seed)):
                cycle(lab, fault, tally)
            lab.drain_retries()
            flow(lab)
            assert lab.oracle.verdict() == []
        finally:
            with capsys.disabled():
                print(f"\n\n{table(lab, tally)}")
                print(f"{tally.cycles} cycles in {time.monotonic() - began:.0f} s, --fault-seed {seed}")


def plan(cycles: int, order: random.Random) -> list[Fault]:
    """Rounds of every fault, each round in an order of its own, the last one cut off at ``cycles``."""
    faults, played = [kind() for kind in FAULTS], list[Fault]()
    while len(played) < max(cycles, len(faults)):
        order.shuffle(faults)
        played += faults
    return played[: max(cycles, len(faults))]


def cycle(lab: Lab, fault: Fault, tally: Tally) -> None:
    """Traffic before, during and after one fault; then everything must come to rest and be right."""
    before, began = fault.evidence(lab), time.monotonic()
    tally.struck(fault.name)
    with lab.sender.traffic():
        flow(lab)
        try:
            fault.strike(lab)
        finally:
            fault.heal(lab)
        flow(lab)
    lab.drain()
    tally.played(fault.name, seen=fault.evidence(lab) > before, seconds=time.monotonic() - began)
    assert lab.oracle.verdict() == [], fault.name
    assert tally.unseen() == []


def flow(lab: Lab) -> None:
    """The bus is alive: parcels are confirmed and handled."""
    for parcel in [lab.sender.send() for _ in range(_AROUND)]:
        lab.until(lambda parcel=parcel: lab.oracle.is_completed(parcel), "a parcel is handled")  # type: ignore[misc]


def table(lab: Lab, tally: Tally) -> str:
    """What a run did and found."""
    oracle = lab.oracle
    counts = {
        **oracle.count(),
        "repeated deliveries dropped": lab.seen("duplicate_dropped"),
        "lost": len(oracle.lost()),
        "rerun, or otherwise wrong": len(oracle.violations),
    }
    return tally.table(counts, oracle.slowest, PUBLISH_S)
