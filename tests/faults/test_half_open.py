"""Processes race for the probe on a real Redis: exactly as many are admitted as may be, and the dead make room."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from breakers.board import Board
from breakers.circuit import Circuits, CircuitSettings
from fusebox.clock import SystemClock
from fusebox.store import RedisStore
from tests.faults.racer import AGENT
from tests.faults.workers import ROOT
from tests.fixtures.store import RedisServer

BY = {"reason": "race", "actor": "operator:jo"}
LEASE_S = 4.0


@dataclass
class Race:
    """Racing processes, and the person who opens the circuit for them."""

    server: RedisServer
    probes: int
    racers: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.redis: Any = self.server.client()
        clock = SystemClock()
        self.circuits = Circuits(Board(RedisStore(self.server.url), clock), clock, CircuitSettings(probes=self.probes))

    def join(self, count: int) -> None:
        for number in range(count):
            command = [sys.executable, "-m", "tests.faults.racer", self.server.url, f"r{number}"]
            command += [str(self.probes), str(LEASE_S)]
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            self.racers[f"r{number}"] = subprocess.Popen(command, cwd=ROOT, env=environment)

    def run(self, round_: int) -> list[str]:
        """One round, up to the last word of it; who was admitted."""
        self.circuits.trip(AGENT, **BY)
        self.circuits.half_open(AGENT, **BY)
        return self.ask(round_, list(self.racers))

    def ask(self, round_: int, racers: list[str]) -> list[str]:
        """Let some ask; who of them was admitted."""
        for name in racers:
            self.redis.rpush(f"start:{name}", round_)
        said = [self.redis.blpop([f"said:{round_}"], timeout=60)[1].decode().split() for _ in racers]
        return [name for word, name in said if word == "admitted"]

    def end(self, round_: int, admitted: list[str]) -> None:
        for _ in admitted:
            self.redis.rpush(f"end:{round_}", "now")

    def stop(self) -> None:
        for racer in self.racers.values():
            racer.kill()
            racer.wait()


@pytest.fixture(params=[1, 3])
def race(request: pytest.FixtureRequest, redis_server: RedisServer) -> Iterator[Race]:
    racing = Race(redis_server, request.param)
    yield racing
    racing.stop()


@pytest.mark.faults
@pytest.mark.timeout(3600)
def test_exactly_so_many_are_admitted_and_the_dead_make_room(race: Race, request: pytest.FixtureRequest) -> None:
    """Sixteen processes and ten thousand rounds by ``make faults``."""
    processes, rounds = (16, 10_000) if request.config.getoption("--fault-cycles") else (8, 30)
    race.join(processes)
    for round_ in range(1, rounds + 1):
        admitted = race.run(round_)
        assert len(admitted) == race.probes, f"round {round_}"
        race.end(round_, admitted)
    asked = time.monotonic()
    for name in race.run(0):
        race.racers.pop(name).kill()
    others, round_ = list(race.racers), 0
    admitted: list[str] = []
    while not admitted and time.monotonic() < asked + 30:
        round_ -= 1
        admitted = race.ask(round_, others)
    assert time.monotonic() >= asked + LEASE_S, "their permits outlive them for a lease"
    assert 1 <= len(admitted) <= race.probes
