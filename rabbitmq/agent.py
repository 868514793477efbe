"""Agent: what agent authors import.

::

    agent = Agent("ticket-helper")

    @agent.on("ticket.commented")
    def suggest(comment: Comment, ctx):
        ctx.tool("jira.comment", post_comment, comment.ticket, "…", target=comment.ticket)

    agent.run()
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from fusebox import guard, lifecycle
from fusebox.config import load_config
from fusebox.errors import ConfigError
from fusebox.records import new_id
from fusebox.registry import AGENT_ID
from fusebox.shadow import check_packages
from rabbitmq.broker import Consumer, Delivery
from rabbitmq.context import Context
from rabbitmq.delivering import Delivering
from rabbitmq.handlers import Function, Handler, make_handler
from rabbitmq.held import Valve
from rabbitmq.running import LOOP
from rabbitmq.runtime import Runtime
from rabbitmq.topology import agent_topology

F = TypeVar("F", bound=Function)
_DEFAULT: Final[dict[str, Runtime]] = {}
_DEFAULT_LOCK: Final = threading.Lock()


def default_runtime(name: str) -> Runtime:
    """The runtime shared by the Agents of this process that were given none; named after the first of them."""
    with _DEFAULT_LOCK:
        if not _DEFAULT:
            _DEFAULT["runtime"] = Runtime.from_config(load_config(), name=name)
        return _DEFAULT["runtime"]


class Agent:
    """One agent: a name, its handlers, and the circuit that goes with the name.

    Args:
        name: agent id (letters, digits, ``._:-``; at most 128).
        runtime: the process's parts; by default one is built from ``fusebox.toml`` and the environment.
        concurrency: how many messages are handled at once; also the prefetch.

    Raises:
        ConfigError: the name or the configuration is wrong.
        Shadowed: a file of yours hides one of our packages.
    """

    def __init__(self, name: str, runtime: Runtime | None = None, *, concurrency: int = 1) -> None:
        check_packages()
        if not AGENT_ID.fullmatch(name):
            raise ConfigError(f"agent id {name!r} must match {AGENT_ID.pattern}")
        self.name = name
        self.runtime = runtime or default_runtime(name)
        self._concurrency = concurrency
        self._handlers: dict[str, Handler] = {}
        self._delivering = Delivering(name, self._handlers, self.runtime)
        self._workers: ThreadPoolExecutor | None = None
        self._consumer: Consumer | None = None
        self._valve: Valve | None = None
        self._free = threading.Semaphore(concurrency)

    def on(self, key: str) -> Callable[[F], F]:
        """Register the handler of a routing key (``*`` one word, ``#`` any number); takes ``(payload, ctx)``."""

        def register(function: F) -> F:
            if key in self._handlers:
                raise ConfigError(f"{self.name} already handles {key!r}")
            self._handlers[key] = make_handler(key, function)
            return function

        return register

    def publish(self, key: str, payload: object) -> str:
        """Publish outside a handler, as the start of a new workflow; see :meth:`Context.publish`."""
        return self.context().publish(key, payload)

    def context(self) -> Context:
        """A fresh workflow for work that no message caused."""
        return Context(self.name, self.runtime, new_id("wf"))

    @property
    def held(self) -> int:
        """Messages that wait because the circuit is, or was, open; as last seen."""
        return self._valve.waiting if self._valve else 0

    # --- lifecycle ------------------------------------------------------------------------------------------------
    def start(self) -> None:
        """Connect and begin to consume; returns at once."""
        self.runtime.start()
        self.runtime.join(self)
        self.runtime.broker.declare(agent_topology(self.name, tuple(self._handlers)))
        self._workers = ThreadPoolExecutor(self._concurrency, thread_name_prefix=f"fusebox-{self.name}")
        self._consumer = self.runtime.broker.consume(self.name, self._deliver, prefetch=self._concurrency)
        self._valve = Valve(self.name, self.runtime, self._consumer, self)
        self.tick()

    def stop(self, timeout: float = 10.0) -> None:
        """Stop consuming and let running handlers finish; the runtime stays up (others may use it).

        Messages that no worker has begun go back to the queue with the connection.
        """
        if self._consumer is not None and self._workers is not None:
            self._consumer.cancel()
            self._valve = None
            self._workers.shutdown(wait=False, cancel_futures=True)
            self._workers = None
            self._drain(timeout)
        self.runtime.part(self)

    def run(self) -> None:
        """Run until SIGTERM or SIGINT, then drain and stop everything."""
        lifecycle.serve(_Program(self))

    def _drain(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        taken = [self._free.acquire(timeout=max(0.0, deadline - time.monotonic())) for _ in range(self._concurrency)]
        for _ in range(sum(taken)):
            self._free.release()

    # --- what the runtime calls -----------------------------------------------------------------------------------
    def tick(self) -> None:
        if self._valve is not None:
            self._valve.tick()

    def shut(self) -> None:
        if self._valve is not None:
            self._valve.shut()

    def cut(self) -> None:
        LOOP.cancel(self.name)

    # --- work -----------------------------------------------------------------------------------------------------
    def _deliver(self, delivery: Delivery) -> None:
        """A consumer's delivery: prefetch bounds them, so the pool's queue stays short."""
        if self._workers is not None:
            self._workers.submit(self._work, delivery)

    def idle(self) -> bool:
        """True when a worker is free."""
        free = self._free.acquire(blocking=False)
        if free:
            self._free.release()
        return free

    def take(self, delivery: Delivery) -> None:
        """Handle a message that was released."""
        if self._workers is not None:
            self._workers.submit(self._handle, delivery)

    def _work(self, delivery: Delivery) -> None:
        if self._valve is not None and self._valve.is_shut:
            self._delivering.hold(delivery, guard.deny(guard.CIRCUIT, "waits behind held messages"))
            self._valve.changed()
        else:
            self._handle(delivery)

    def _handle(self, delivery: Delivery) -> None:
        with self._free:
            if not self._delivering.handle(delivery) and self._valve is not None:
                self._valve.changed()


class _Program:
    """An Agent and its runtime as one service."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def start(self) -> None:
        self._agent.start()

    def stop(self, timeout: float = 10.0) -> None:
        self._agent.stop(timeout)
        self._agent.runtime.stop(timeout)
