"""What ``benchmarks.publish`` compares: raw pika, instrumented pika in an environment of its own, and an Agent."""

from __future__ import annotations

import random
import re
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count, cycle, islice
from pathlib import Path
from typing import Final
from unittest.mock import patch

import pika
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from breakers.rules import SHIPPED
from fusebox import fingerprint, names
from fusebox.clock import SystemClock
from fusebox.config import Config
from rabbitmq import Agent, Context, Runtime
from rabbitmq.amqp import AmqpBroker
from rabbitmq.broker import Binding, Message, Queue, QueueType, Topology
from rabbitmq.node import PrivateNode

_WORDS: Final = [
    "order", "refund", "invoice", "policy", "vendor,", "ticket", "branch.", "schema", "release", "claim", "#4711",
    "at", "12:03:59", "(budget)",
]  # fmt: skip
PEER: Final = Path(".venv/peers/instrumentation/bin/python")
PREFETCH: Final = 8


def _body(seed: int) -> bytes:
    words = random.Random(seed).choices(_WORDS, k=140)
    return f'{{"text": "{" ".join(words)[:1010]}"}}'.encode()


BODIES: Final = [_body(seed) for seed in range(256)]
"""1 KB each, all different, so that no cache flatters the figures."""


@dataclass
class Bench:
    """One queue type under test, on one RabbitMQ."""

    url: str
    runtime: Runtime
    kind: QueueType
    count: int

    def __post_init__(self) -> None:
        self.queue, self.key = f"bench-{self.kind.value}", f"{self.kind.value}.x"
        queue = Queue(self.queue, type=self.kind)
        self.runtime.broker.declare(
            Topology(queues=(queue,), bindings=(Binding(names.EXCHANGE_EVENTS, self.queue, self.key),))
        )
        self._channel = pika.BlockingConnection(pika.URLParameters(self.url)).channel()
        self._channel.confirm_delivery()
        self._agent = Agent(f"publisher-{self.kind.value}", self.runtime)
        self._agent.start()
        self.peer = Peer(self.url, self.key, self.queue) if PEER.exists() else None

    def raw(self) -> None:
        properties = pika.BasicProperties(delivery_mode=2)
        for body in self.bodies():
            self._channel.basic_publish(names.EXCHANGE_EVENTS, self.key, body, properties, mandatory=True)

    def whole(self) -> None:
        context = self._agent.context()
        for body in self.bodies():
            context.publish(self.key, body)

    def ours(self) -> None:
        with no_fingerprints():
            self.whole()

    def pipelined(self) -> None:
        self.fill(self.key)

    def fill(self, key: str) -> None:
        """Put ``count`` messages where ``key`` leads."""
        publish = self.runtime.broker.publish_soon
        for confirm in [publish(names.EXCHANGE_EVENTS, key, Message(body)) for body in self.bodies()]:
            confirm()

    def bodies(self) -> Iterator[bytes]:
        return islice(cycle(BODIES), self.count)

    def purge(self) -> None:
        self._channel.queue_purge(self.queue)

    def consume(self) -> float:
        """Seconds from the first message an Agent handles to the last."""
        watch = Laps(self.count)
        agent = Agent(f"consumer-{time.monotonic_ns()}", self.runtime, prefetch=PREFETCH)

        @agent.on(f"{agent.name}.x")
        def handle(body: bytes, ctx: Context) -> None:
            watch.lap()

        agent.start()
        agent.stop()
        self.fill(f"{agent.name}.x")
        agent.start()
        taken = watch.wait()
        agent.stop()
        return taken


class Laps:
    """Seconds from the first lap to the last of ``count``."""

    def __init__(self, count: int) -> None:
        self._left, self._done, self._lock = count, threading.Event(), threading.Lock()
        self._first = self._last = 0.0

    def lap(self) -> None:
        with self._lock:
            self._first = self._first or time.perf_counter()
            self._left -= 1
            if not self._left:
                self._last = time.perf_counter()
                self._done.set()

    def wait(self) -> float:
        if not self._done.wait(120):
            raise SystemExit(f"{self._left} messages never came")
        return self._last - self._first


@contextmanager
def no_fingerprints() -> Iterator[None]:
    """Inside, fingerprints cost nothing. Each is another: of an agent that repeats itself detectors write findings."""
    with ExitStack() as stack:
        for name in ("request_hash", "simhash", "literal_hash"):
            stack.enter_context(patch.object(fingerprint, name, _another))
        yield


_NUMBERS: Final = count(1)


def _another(*_: object) -> int:
    return next(_NUMBERS) * 0x9E3779B97F4A7C15 % (1 << 64)


class Nowhere(SpanExporter):
    """Takes every span and drops it, like the peer's: what the collector costs is measured elsewhere."""

    def __init__(self, *_: object) -> None:
        pass

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return SpanExportResult.SUCCESS


@contextmanager
def laboratory() -> Iterator[tuple[str, Runtime]]:
    """A private RabbitMQ and a started runtime on it; nothing is enforced, because what a benchmark does is a loop, and
    no rate is too high."""
    folder = Path(tempfile.mkdtemp(prefix="fusebox-bench-"))
    rules = folder / "rules.toml"
    text = SHIPPED.read_text().replace('mode = "enforce"', 'mode = "observe"')
    rules.write_text(re.sub(r"per_minute = [0-9.]+", "per_minute = 1e12", text))
    node = PrivateNode(folder / "node")
    node.start()
    try:
        config = Config(data_dir=folder / "data", agents_file=folder / "none.toml", rules_file=rules)
        with patch("rabbitmq.runtime.CollectorExporter", Nowhere):
            runtime = Runtime.from_config(config, broker=AmqpBroker(node.url), name="bench", clock=SystemClock())
        runtime.start()
        yield node.url, runtime
        runtime.stop()
    finally:
        node.stop()
        shutil.rmtree(folder, ignore_errors=True)


class Peer:
    """The instrumented pika in its own environment."""

    def __init__(self, url: str, key: str, queue: str) -> None:
        script = Path(__file__).parent / "peers" / "instrumented_pika.py"
        command = [str(PEER), str(script), url, names.EXCHANGE_EVENTS, key, queue, str(PREFETCH), BODIES[0].decode()]
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
