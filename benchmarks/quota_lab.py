"""Does the quota overshoot? Worker processes with many clients, some of them killed, and an oracle that counts.

Each call reserves its worst case, then uses the upstream, then settles. The upstream is a file that each worker appends
to: what it served is on record in the kernel before the call goes on, whatever kills the worker then. The oracle reads
the files, and knows nothing of the quota but the limits: any stretch of a window, and the whole run against its
lifetime budget. Some calls are streams that end only when their meter cuts them, some are never sent.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fusebox.clock import SystemClock
from fusebox.store import RedisStore
from gateway.hold import split
from gateway.limits import NOTHING, Call, Demand, Grants, Limit, Limiter, Meter, Part, Refusal, Wire

WINDOW_S: Final = 2
_AGENTS: Final = 4
_CHUNK: Final = 10


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a run."""

    calls: int
    admitted: int
    refused: int
    kills: int
    overshoot: int
    """Tokens above any limit, in the worst stretch."""
    fullest: float
    """How full the fullest window was, 1 = to the limit: near 0 the run proves nothing."""
    seconds: float


@dataclass(frozen=True, slots=True)
class _Served:
    agent: str
    at: float
    tokens: int


def run(
    url: str, folder: Path, calls: int, *, workers: int = 3, clients: int = 64, kill_every_s: float = 2.0
) -> Outcome:
    """Make ``calls`` calls from ``workers`` processes, killing one of them every ``kill_every_s`` seconds.

    Args:
        url: a Redis that nobody else uses.
        folder: for the upstream's files.
    """
    started, kills = time.monotonic(), 0
    budget = calls * 60
    command = [sys.executable, "-m", "benchmarks.quota_lab", url, str(folder), str(-(-clients // workers)), str(budget)]
    processes = [subprocess.Popen(command) for _ in range(workers)]
    due = time.monotonic() + kill_every_s
    try:
        while sum(1 for _ in _lines(folder)) < calls:
            time.sleep(0.2)
            victim = random.Random(kills).randrange(workers)
            at_work = (folder / f"upstream-{processes[victim].pid}").exists()
            if time.monotonic() >= due and at_work:
                processes[victim].send_signal(signal.SIGKILL)
                processes[victim].wait()
                processes[victim] = subprocess.Popen(command)
                kills, due = kills + 1, time.monotonic() + kill_every_s
    finally:
        for process in processes:
            process.terminate()
            process.wait()
    lines = list(_lines(folder))
    served = [_Served(line[1], float(line[2]), int(line[3])) for line in lines if line[0] == "served"]
    overshoot, fullest = judge(served, budget)
    seconds = time.monotonic() - started
    return Outcome(len(lines), len(served), len(lines) - len(served), kills, overshoot, fullest, seconds)


def judge(served: Iterable[_Served], budget: int) -> tuple[int, float]:
    """The oracle: tokens above a limit in the worst stretch, and how full the fullest window was."""
    calls = sorted(served, key=lambda call: call.at)
    worst, fullest = max(0, sum(call.tokens for call in calls) - budget), 0.0
    for agent in {call.agent for call in calls}:
        mine, first, inside = [call for call in calls if call.agent == agent], 0, 0
        for call in mine:
            inside += call.tokens
            while call.at - mine[first].at > WINDOW_S:
                inside -= mine[first].tokens
                first += 1
            worst, fullest = max(worst, inside - window_limit()), max(fullest, inside / window_limit())
    return worst, fullest


def window_limit() -> int:
    """Tokens that an agent may use in any :data:`WINDOW_S` seconds."""
    return 40_000


def limits(budget: int) -> list[Limit]:
    """What the workers enforce."""
    return [
        Limit.model_validate({"scope": "agent", "measure": "tokens", "limit": window_limit(), "window_s": WINDOW_S}),
        Limit.model_validate({"scope": "tenant", "measure": "tokens", "limit": budget, "budget": "lifetime"}),
        Limit.model_validate({"scope": "team", "measure": "requests", "limit": 10**8, "budget": "day"}),
    ]


def _lines(folder: Path) -> Iterable[list[str]]:
    for file in folder.glob("upstream-*"):
        with file.open() as opened:
            yield from (line.split() for line in opened if line.endswith("\n"))


class Worker:
    """One worker process: limits as the gateway has them, and clients that call until the process is told to stop."""

    def __init__(self, url: str, folder: Path, budget: int) -> None:
        self._wire, clock = Wire(url, 5.0), SystemClock()
        self._grants = Grants(Limiter(RedisStore(url), limits(budget), clock, lease_s=5, wire=self._wire), clock)
        self._file = os.open(folder / f"upstream-{os.getpid()}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._stopping = False

    async def serve(self, clients: int) -> None:
        """Call until SIGTERM."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._stop)
        at_work = [asyncio.ensure_future(self._client(number)) for number in range(clients)]
        while not self._stopping:
            await asyncio.sleep(0.2)
            await asyncio.to_thread(self._grants.tick)
        await asyncio.wait(at_work, timeout=5)
        self._grants.close()
        self._wire.close()

    def _stop(self) -> None:
        self._stopping = True

    async def _client(self, number: int) -> None:
        chance = random.Random(f"{os.getpid()} {number}")
        while not self._stopping:
            call = Call(f"agent-{chance.randrange(_AGENTS)}", "lab")
            demand = Demand(chance.randrange(1, 200), chance.randrange(10, 60) * _CHUNK)
            got = self._grants.take(call, demand) or await self._grants.reserve(call, demand)
            if isinstance(got, Refusal):
                os.write(self._file, b"refused\n")
                await asyncio.sleep(0.005)
            else:
                await self._use(got, chance)

    async def _use(self, got: Part, chance: random.Random) -> None:
        if chance.random() < 0.05:  # never sent
            self._grants.settle(got, NOTHING)
            return
        parts, output = [got], chance.randrange(got.demand.output_tokens + 1)
        if chance.random() < 0.3:
            output = await self._stream(parts, tells=chance.random() < 0.5)
        spent = Demand(chance.randrange(got.demand.input_tokens + 1), output)
        shares = list(split(spent, [part.demand for part in parts]))
        for part, share in zip(parts, shares, strict=True):
            tokens = share.input_tokens + share.output_tokens
            os.write(self._file, f"served {part.call.agent} {part.at} {tokens}\n".encode())
        await asyncio.sleep(chance.choice((0, 0, 0.002)))  # others come while it is at work
        for part, share in zip(parts, shares, strict=True):
            self._grants.settle(part, share)

    async def _stream(self, parts: list[Part], *, tells: bool) -> int:
        """An upstream that goes on for twice as long as it may, and tells what it uses or does not."""

        async def more(tokens: int) -> bool:
            call, demand = parts[0].call, Demand(0, tokens, requests=0)
            got = self._grants.take(call, demand) or await self._grants.reserve(call, demand)
            if isinstance(got, Part):
                parts.append(got)
            return isinstance(got, Part)

        asked = parts[0].demand.output_tokens
        meter, relayed = Meter(asked - _CHUNK, more), _CHUNK  # the chunk in flight is set aside, too
        while relayed < 2 * asked and await meter.reach(*((relayed, 0) if tells else (0, relayed * 4))):
            relayed += _CHUNK
        return relayed


def main() -> None:
    """The worker's entry point, for :func:`run`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("folder", type=Path)
    parser.add_argument("clients", type=int)
    parser.add_argument("budget", type=int)
    args = parser.parse_args()
    asyncio.run(Worker(args.url, args.folder, args.budget).serve(args.clients))


if __name__ == "__main__":
    main()
