"""What the wrappers cost: publishing and consuming against raw pika and against its OpenTelemetry instrumentation.

1 KB persistent messages, mandatory and confirmed; interleaved rounds on one private RabbitMQ; medians of the rounds'
ratios. The agent publishes with guards, lineage, span and fingerprint; the ratio leaves the fingerprint out, as it is
reported apart (and again without its SimHash).
"""

from __future__ import annotations

import argparse
import random
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Final

import pika

from benchmarks.report import Report
from fusebox import fingerprint, names
from fusebox.clock import SystemClock
from fusebox.config import Config
from fusebox.records import Action, ActionKind
from rabbitmq import Agent, Context, Runtime
from rabbitmq.amqp import AmqpBroker
from rabbitmq.broker import Binding, Message, Queue, QueueType, Topology
from rabbitmq.node import PrivateNode

_WORDS: Final = [
    "order",
    "refund",
    "invoice",
    "policy",
    "vendor,",
    "ticket",
    "branch.",
    "schema",
    "release",
    "claim",
    "#4711",
    "at",
    "12:03:59",
    "(budget)",
]


def _body(seed: int) -> bytes:
    words = random.Random(seed).choices(_WORDS, k=140)
    return f'{{"text": "{" ".join(words)[:1010]}"}}'.encode()


BODIES: Final = [_body(seed) for seed in range(256)]
"""All different, so that no cache flatters the figures."""
BODY: Final = BODIES[0]
PEER: Final = Path(".venv/peers/instrumentation/bin/python")
KEY: Final = "bench.x"
_RULES: Final = "breakers/rules.toml"


@dataclass
class Bench:
    """One queue type under test."""

    url: str
    runtime: Runtime
    kind: QueueType
    count: int

    def __post_init__(self) -> None:
        self.queue = f"bench-{self.kind.value}"
        queue = Queue(self.queue, type=self.kind)
        binding = Binding(names.EXCHANGE_EVENTS, self.queue, f"{self.kind.value}.x")
        self.key = binding.key
        self.runtime.broker.declare(Topology(queues=(queue,), bindings=(binding,)))
        self._channel = pika.BlockingConnection(pika.URLParameters(self.url)).channel()
        self._channel.confirm_delivery()
        self._agent = Agent(f"publisher-{self.kind.value}", self.runtime)
        self._agent.start()
        self.peer = Peer(self.url, self.key, self.queue) if PEER.exists() else None

    def raw(self) -> None:
        properties = pika.BasicProperties(delivery_mode=2)
        for body in self._bodies():
            self._channel.basic_publish(names.EXCHANGE_EVENTS, self.key, body, properties, mandatory=True)

    def ours(self) -> None:
        context = self._agent.context()
        for body in self._bodies():
            context.publish(self.key, body)

    def pipelined(self) -> None:
        broker = self.runtime.broker
        for confirm in [broker.publish_soon(names.EXCHANGE_EVENTS, self.key, Message(BODY)) for _ in range(self.count)]:
            confirm()

    def _bodies(self) -> Iterator[bytes]:
        return islice(cycle(BODIES), self.count)

    def purge(self) -> None:
        self._channel.queue_purge(self.queue)


class Peer:
    """The instrumented pika in its own environment."""

    def __init__(self, url: str, key: str, queue: str) -> None:
        script = Path(__file__).parent / "peers" / "instrumented_pika.py"
        command = [str(PEER), str(script), url, names.EXCHANGE_EVENTS, key, queue, BODY.decode()]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def order(self, what: str, count: int) -> float:
        """Seconds the peer took."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{what} {count}\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


def seconds(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def micros(work: Callable[[], object], count: int = 2_000) -> float:
    """Median microseconds of one call, over five batches."""
    return statistics.median(seconds(lambda: [work() for _ in range(count)] and None) / count * 1e6 for _ in range(5))


def publish_rounds(bench: Bench, rounds: int) -> dict[str, list[float]]:
    """Seconds per round of each variant, interleaved."""
    taken: dict[str, list[float]] = {"raw": [], "ours": [], "pipelined": [], "instrumented": []}
    for _ in range(rounds + 1):  # the first warms up and is dropped below
        taken["raw"].append(seconds(bench.raw))
        taken["ours"].append(seconds(bench.ours))
        taken["pipelined"].append(seconds(bench.pipelined))
        if bench.peer:
            taken["instrumented"].append(bench.peer.order("publish", bench.count))
        bench.purge()
    return {name: values[1:] for name, values in taken.items() if values}


def consume_seconds(bench: Bench) -> float:
    """Seconds from the first to the last of ``count`` messages handled and acknowledged by an Agent."""
    name, done, left = f"consumer-{time.monotonic_ns()}", threading.Event(), [bench.count]
    agent = Agent(name, bench.runtime, concurrency=8)

    @agent.on(f"{name}.x")
    def handle(body: bytes, ctx: Context) -> None:
        left[0] -= 1
        if left[0] <= 0:
            done.set()

    agent.start()
    agent.stop()
    fill(bench, f"{name}.x")
    taken = seconds(lambda: (agent.start(), done.wait(60), None)[-1])
    agent.stop()
    return taken


def fill(bench: Bench, key: str) -> None:
    broker = bench.runtime.broker
    for confirm in [broker.publish_soon(names.EXCHANGE_EVENTS, key, Message(BODY)) for _ in range(bench.count)]:
        confirm()


def ratio(taken: dict[str, list[float]], other: str, overhead: float = 0.0, of: str = "ours") -> float:
    return statistics.median((a - overhead) / b for a, b in zip(taken[of], taken[other], strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="3 rounds of 150 messages instead of 9 of 500")
    quick = parser.parse_args().quick
    report = Report("publish")
    folder = Path(tempfile.mkdtemp(prefix="fusebox-bench-"))
    rules = folder / "rules.toml"
    rules.write_text(Path(_RULES).read_text().replace('mode = "enforce"', 'mode = "observe"'))
    node = PrivateNode(folder / "node")
    node.start()
    try:
        config = Config(data_dir=folder / "data", agents_file=folder / "none.toml", rules_file=rules)
        runtime = Runtime.from_config(config, broker=AmqpBroker(node.url), name="bench", clock=SystemClock())
        runtime.start()
        measure(report, node.url, runtime, rounds=3 if quick else 9, count=150 if quick else 500)
        runtime.stop()
    finally:
        node.stop()
    report.show()


def measure(report: Report, url: str, runtime: Runtime, *, rounds: int, count: int) -> None:
    action = Action(ActionKind.PUBLISH, "publisher-quorum", KEY, request=1)
    texts = cycle([body.decode() for body in BODIES])
    hashed = micros(lambda: fingerprint.request_hash(KEY, KEY, next(texts)), 500)
    both = micros(lambda: fingerprint.simhash(next(texts)), 200)  # normalises too: what an action pays in all
    confirmed, against, pipelined, consumed = [], [], [], []
    for kind in QueueType:
        bench = Bench(url, runtime, kind, count)
        overhead = both * count / 1e6
        taken = publish_rounds(bench, rounds)
        confirmed.append(ratio(taken, "raw", overhead))
        pipelined.append(1 / ratio(taken, "raw", of="pipelined"))
        if bench.peer:
            against.append(ratio(taken, "instrumented", overhead))
            consumed.append(consume_ratio(bench, rounds))
            bench.peer.close()
    report.add("confirmed_vs_raw", max(confirmed), ("<=", 1.20))
    report.add("pipelined_vs_raw", min(pipelined), (">=", 5.0))
    report.add("guard_us", micros(lambda: runtime.guards.check(action)), ("<=", 25.0))
    report.add("fingerprint_us", hashed, ("<=", 40.0))
    if against:
        report.add("confirmed_vs_instrumentation", max(against), ("<=", 1.05))
        report.add("consume_vs_instrumentation", max(consumed), ("<=", 1.15))
    else:
        report.skipped.append("opentelemetry-instrumentation-pika")


def consume_ratio(bench: Bench, rounds: int) -> float:
    assert bench.peer
    ratios = []
    for _ in range(rounds):
        ours = consume_seconds(bench)
        fill(bench, bench.key)
        ratios.append(ours / bench.peer.order("consume", bench.count))
        bench.purge()
    return statistics.median(ratios)


if __name__ == "__main__":
    main()
