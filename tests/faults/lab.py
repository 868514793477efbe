"""The laboratory: a RabbitMQ node, a TCP proxy before it, a Redis for claims, worker processes, and a publisher here.

::

    this process ── Agent ──┐                             ┌── worker process (tests.faults.worker), PREFETCH handlers
          │                 ├─► proxy ─► RabbitMQ node ◄──┤
          │                 └── outbox (in a file)        └── a second one, while a fault needs it
          └──────────── oracle ◄── notes file ◄───────────────┘        claims in Redis
"""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from breakers.rules import SHIPPED
from fusebox.clock import SystemClock
from fusebox.config import Config
from fusebox.errors import BrokerUnavailable
from rabbitmq import Runtime
from rabbitmq.amqp import AmqpBroker
from rabbitmq.node import PrivateNode
from rabbitmq.retry import DELAYS_S, retry_exchange
from tests.faults.notes import Notes, noting_happenings
from tests.faults.oracle import Oracle
from tests.faults.sender import Sender
from tests.faults.worker import AGENT
from tests.faults.workers import Process, Workers
from tests.fixtures.agents import eventually
from tests.fixtures.proxy import Proxy

HEARTBEAT_S: Final = 2
CONSUMER_TIMEOUT_S: Final = 10
WAIT_S: Final = 60.0


class Lab:
    """See the module; a context manager.

    Args:
        folder: where everything of it lives.
        redis_url: for the workers' claims.
        seed: of what is published.
    """

    def __init__(self, folder: Path, redis_url: str, seed: int) -> None:
        self._folder, self._seed = folder, seed
        self.notes = Notes(folder / "notes.jsonl")
        self.oracle = Oracle(self.notes)
        self.node = PrivateNode(folder / "node", settings=f"consumer_timeout = {CONSUMER_TIMEOUT_S * 1000}\n")
        self._rules = folder / "rules.toml"
        self._rules.write_text(SHIPPED.read_text().replace('mode = "enforce"', 'mode = "observe"'))
        self._redis_url = redis_url

    def __enter__(self) -> Lab:
        with ExitStack() as stack:
            self._open(stack)
            self._open_parts = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._open_parts.close()

    def _open(self, stack: ExitStack) -> None:
        stack.callback(self.notes.close)
        stack.enter_context(noting_happenings(self.notes))
        stack.callback(self.node.stop)
        self.start_node()
        self.proxy = stack.enter_context(Proxy(self.node.url))
        self.runtime = self._new_runtime()
        stack.callback(self.runtime.stop, 5)
        self.runtime.start()
        self.sender = Sender(self.runtime, self.oracle, self._seed)
        self._workers = self._new_workers()
        stack.callback(self._workers.kill)
        stack.callback(self.proxy.thaw)
        self.worker = self.start_worker()
        eventually(self._is_registered, WAIT_S, "RabbitMQ has the worker's queue on disk")

    # --- RabbitMQ -----------------------------------------------------------------------------------------------------
    def start_node(self) -> None:
        """Start RabbitMQ; it looks for overdue acknowledgements every second instead of every minute."""
        self.node.start()
        self.node.ctl("eval", "application:set_env(rabbit, channel_tick_interval, 1000).")

    def _is_registered(self) -> bool:
        """RabbitMQ writes the registry of quorum queues half a second late; one killed before that loses the queue."""
        work_queue = re.compile(rb"%b(?!\.)" % AGENT.encode())
        return any(work_queue.search(file.read_bytes()) for file in self.node.folder.glob("data/**/names.dets"))

    def _new_runtime(self) -> Runtime:
        config = Config(
            data_dir=self._folder / "publisher", agents_file=self._folder / "none.toml", rules_file=self._rules,
            durable_outbox=True,
        )  # type: ignore[call-arg]  # fmt: skip
        return Runtime.from_config(config, broker=AmqpBroker(self._url), name="lab-publisher", clock=SystemClock())

    def _new_workers(self) -> Workers:
        settings = {
            "AMQP_URL": self._url, "REDIS_URL": self._redis_url, "DATA_DIR": str(self._folder / "worker"),
            "AGENTS_FILE": str(self._folder / "none.toml"), "RULES_FILE": str(self._rules),
        }  # fmt: skip
        return Workers(self._folder, settings)

    @property
    def _url(self) -> str:
        return f"{self.proxy.url}?heartbeat={HEARTBEAT_S}"

    # --- workers ------------------------------------------------------------------------------------------------------
    def start_worker(self) -> Process:
        """One more worker process, once it consumes."""
        worker = self._workers.start()
        self.until(lambda: self.seen("ready", str(worker.pid)), "a worker consumes")
        return worker

    def end_worker(self, worker: Process, number: signal.Signals | None, expected: int) -> None:
        """Send a signal (or none: it ends by itself), wait for the end and note it."""
        status = self._workers.end(worker, number, WAIT_S)
        self.notes.write("ended", "", str(worker.pid))
        assert status == expected, f"a worker ended with {status}: {self._workers.last_words()}"

    # --- looking ------------------------------------------------------------------------------------------------------
    def seen(self, what: str, text: str = "") -> int:
        """How often a happening (whose line contains ``text``) or another note was written."""
        self.oracle.read()
        return sum(text in detail for detail in self.oracle.seen[what])

    def until(self, condition: Callable[[], object], what: str) -> None:
        """Poll until it is true; what is wrong by then ends the run."""

        def holds() -> object:
            assert not self.oracle.violations, f"{what}: {self.oracle.violations[:5]}"
            return condition()

        eventually(holds, WAIT_S, what)

    def drain(self) -> None:
        """Wait until everything confirmed was handled and no handler is at work."""
        self.until(lambda: not self.runtime.outbox.waiting, "the outbox is empty")
        self.until(lambda: not self.oracle.lost(), "every confirmed parcel was handled")
        self.until(lambda: not self.oracle.at_work(), "no handler is at work")
        self.until(lambda: self._are_empty(AGENT), "the agent's queue is empty")

    def drain_retries(self) -> None:
        """Wait until what was put off has come again too."""
        self.until(lambda: self._are_empty(*(retry_exchange(delay) for delay in DELAYS_S)), "nothing is put off")
        self.drain()

    def _are_empty(self, *queues: str) -> bool:
        try:
            return not any(self.runtime.broker.depth(queue) for queue in queues)
        except BrokerUnavailable:  # the connection that answers is not back yet
            return False
