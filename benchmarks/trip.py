"""How fast a kill and a trip act, and what a killed agent still does.

*watch* as ``fusebox up`` starts it, a RabbitMQ and a Redis of our own, and agent processes that call a tool without
pause. A kill is timed from just before the operator's call to the first call that is refused, by one monotonic clock.
Half of the kills go to an agent on watch's own host, which has every carrier; half to one that has no HTTP, so that it
depends on Redis while the broker is away, and on the broker while Redis is. Each kind of trouble is a part of its
figure: Redis frozen and ended; the broker under a memory alarm and ended.

``trip_in_flight_ms`` is one ``trip()`` on the real Redis while another thread is inside a call of 60 s, ``check_us``
what latch and circuit take of every action, ``calls_after_kill`` the calls of benchmarks.afterlife.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rich.progress import Progress

from benchmarks.afterlife import FAULTS, Stage, Story, every_story
from benchmarks.killing import Site, Tireless
from benchmarks.report import Report
from breakers.board import Board
from breakers.circuit import Circuits
from breakers.guards import CircuitGuard, LatchGuard
from breakers.latch import Latch
from fusebox.clock import SystemClock
from fusebox.guard import Guards
from fusebox.records import Action, ActionKind
from fusebox.store import open_store
from rabbitmq.node import PrivateNode

IN_FLIGHT_S: Final = 60.0
BY: Final = {"reason": "benchmark", "actor": "operator:bench"}


def p99(values: list[float]) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * 0.99))]


class Killer:
    """Kills two agents in turn, and resumes them."""

    def __init__(self, site: Site, agents: list[Tireless], progress: Progress) -> None:
        self._site, self._agents, self._progress = site, agents, progress

    def times(self, count: int, what: str) -> list[float]:
        """Milliseconds from each order to the first refused call."""
        task = self._progress.add_task(what, total=count)
        taken = []
        for number in range(count):
            taken.append(self._one(self._agents[number % len(self._agents)]))
            self._progress.advance(task)
        return taken

    def _one(self, agent: Tireless) -> float:
        agent.awaited("A", time.monotonic())
        ordered = time.monotonic()
        self._site.kill(agent.agent)
        refused = agent.awaited("R", ordered)
        self._site.resume(agent.agent)
        return (refused - ordered) * 1e3


def measure_kills(report: Report, folder: Path, progress: Progress, count: int) -> None:
    node = PrivateNode(folder / "node")
    node.start()
    try:
        with Site(folder, node.url) as site:
            agents = [site.start("bench-near", site.home), site.start("bench-far", site.host("far", http=False))]
            for agent in agents:
                agent.awaited("A", 0.0)
            measure_troubles(report, site, node, Killer(site, agents, progress), count)
    finally:
        node.stop()


def measure_troubles(report: Report, site: Site, node: PrivateNode, killer: Killer, count: int) -> None:
    report.add("kill_p99_ms", p99(killer.times(count, "kills")), ("<=", 250.0))
    site.redis.freeze(True)
    taken = killer.times(count // 2, "kills, Redis frozen")
    site.redis.stop()
    taken += killer.times(count - count // 2, "kills, Redis ended")
    site.redis.start()
    report.add("kill_p99_ms_store_down", p99(taken), ("<=", 1000.0))
    node.ctl("set_vm_memory_high_watermark", "absolute", "1MB")
    taken = killer.times(count // 2, "kills, broker alarmed")
    node.kill()
    taken += killer.times(count - count // 2, "kills, broker ended")
    report.add("kill_p99_ms_broker_down", p99(taken), ("<=", 1000.0))


@contextmanager
def in_flight(circuits: Circuits) -> Iterator[None]:
    """Another thread is inside a long call."""
    inside, leave = threading.Event(), threading.Event()

    def call() -> None:
        with circuits.calling("bench"):
            inside.set()
            leave.wait(IN_FLIGHT_S)

    thread = threading.Thread(target=call)
    thread.start()
    inside.wait()
    try:
        yield
    finally:
        leave.set()
        thread.join()


def measure_trip(report: Report, url: str, count: int) -> None:
    """Trips on a board that others share, each of a closed circuit."""
    store, clock, taken = open_store(url), SystemClock(), []
    circuits = Circuits(Board(store, clock), clock)
    circuits.refresh()
    with in_flight(circuits):
        for _ in range(count):
            began = time.perf_counter()
            circuits.trip("bench", **BY)
            taken.append((time.perf_counter() - began) * 1e3)
            circuits.reset("bench", **BY)
    store.close()
    report.add("trip_in_flight_ms", p99(taken), ("<=", 5.0))


def measure_check(report: Report, url: str, folder: Path) -> None:
    """The two guards every action asks, with a circuit that moved and a latch that has a kill, of other agents."""
    store, clock = open_store(url), SystemClock()
    circuits, latch = Circuits(Board(store, clock), clock), Latch(folder / "latch.jsonl")
    circuits.trip("other", **BY)
    latch.kill("k", "agent:other")
    action = Action(ActionKind.TOOL_CALL, "bench", "bench.work", workflow="wf_1")
    chain = Guards([LatchGuard(latch), CircuitGuard(circuits)])
    report.add("check_us", micros(lambda: chain.check(action)), ("<=", 1.0))
    store.close()


def micros(work: Callable[[], object], count: int = 20_000) -> float:
    """Median microseconds of this thread's time for one call, over seven batches."""
    taken = []
    for _ in range(7):
        began = time.thread_time()
        for _ in range(count):
            work()
        taken.append((time.thread_time() - began) / count * 1e6)
    return statistics.median(taken)


def stories(quick: bool) -> list[Story]:
    """One fault at a time; in full also two, and all of them. 'make faults' plays every combination."""
    counts = (1,) if quick else (1, 2, len(FAULTS) - 1)
    return [story for story in every_story() if len(story.faults) in counts]


def measure_afterlife(report: Report, site: Site, progress: Progress, quick: bool) -> None:
    stage, told = Stage(site), stories(quick)
    task = progress.add_task("killed agents", total=len(told))
    calls = 0
    for story in told:
        calls += stage.play(story)
        progress.advance(task)
    report.add("stories_after_kill", len(told))
    report.add("calls_after_kill", calls, ("<=", 0.0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="20 kills a figure instead of 200, one fault at a time")
    quick = parser.parse_args().quick
    report, folder = Report("trip"), Path(tempfile.mkdtemp(prefix="fusebox-trip-"))
    try:
        with Progress() as progress:
            (folder / "kills").mkdir()
            measure_kills(report, folder / "kills", progress, 20 if quick else 200)
            (folder / "after").mkdir()
            with Site(folder / "after") as site:
                measure_trip(report, site.redis.url, 50 if quick else 500)
                measure_check(report, site.redis.url, folder)
                measure_afterlife(report, site, progress, quick)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    report.show()


if __name__ == "__main__":
    main()
