"""Agent: what agent authors import.

::

    agent = Agent("ticket-helper")

    @agent.on("ticket.commented")
    def suggest(comment: Comment, ctx):
        ctx.tool("jira.comment", post_comment, comment.ticket, "…", target=comment.ticket)

    agent.run()
"""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from fusebox import guard, lifecycle
from fusebox.config import load_config
from fusebox.errors import ConfigError, FuseboxError
from fusebox.records import new_id
from fusebox.registry import AGENT_ID
from rabbitmq.awaiting import Awaiting
from rabbitmq.broker import Consumer, Delivery
from rabbitmq.context import AT_WORK, Context
from rabbitmq.delivering import Delivering
from rabbitmq.handlers import Function, Handler, make_handler
from rabbitmq.held import Valve
from rabbitmq.middleware import REQUIRED, Chain, Middleware, default_middleware
from rabbitmq.retry import NEVER, Retry
from rabbitmq.running import LOOP
from rabbitmq.runtime import Runtime
from rabbitmq.topology import agent_topology
from rabbitmq.workers import Job, Step, Workers
from rabbitmq.workflow import Workflow

F = TypeVar("F", bound=Function)
_DEFAULT: Final[dict[str, Runtime]] = {}
_DEFAULT_LOCK: Final = threading.Lock()
_EXIT_S: Final = 2.0


def default_runtime(name: str) -> Runtime:
    """The runtime shared by the Agents of this process that were given none; named after the first of them.

    Nobody else owns it, so it stops when the interpreter ends: a script that only publishes loses no span.
    """
    with _DEFAULT_LOCK:
        if not _DEFAULT:
            _DEFAULT["runtime"] = runtime = Runtime.from_config(load_config(), name=name)
            atexit.register(runtime.stop, _EXIT_S)
        return _DEFAULT["runtime"]


class Agent:
    """One agent: a name, its handlers, and the circuit that goes with the name.

    Args:
        name: agent id (letters, digits, ``._:-``; at most 128).
        runtime: the process's parts; by default one is built from ``fusebox.toml`` and the environment.
        concurrency: how many messages are handled at once: ``def`` handlers on as many threads, ``async def`` ones as
            tasks of one event loop.
        prefetch: how many messages this process holds at once, those being handled included; at least ``concurrency``,
            which is the default: a message behind a call of ten minutes is better off with another process. More pays
            where handlers are quicker than the broker's round trip.
        middleware: what surrounds its actions and messages, outermost first; by default ``default_middleware()``.

    Raises:
        ConfigError: the name or the configuration is wrong.
    """

    def __init__(
        self, name: str, runtime: Runtime | None = None, *, concurrency: int = 1,
        prefetch: int | None = None, middleware: Sequence[Middleware] | None = None,
    ) -> None:  # fmt: skip
        if not AGENT_ID.fullmatch(name):
            raise ConfigError(f"agent id {name!r} must match {AGENT_ID.pattern}")
        self.name = name
        self.runtime = runtime or default_runtime(name)
        if concurrency < 1 or (prefetch is not None and prefetch < concurrency):
            raise ConfigError(f"{name}: concurrency must be at least 1 and prefetch at least that; see Agent")
        self._concurrency, self._prefetch = concurrency, prefetch or concurrency
        self._handlers: dict[str, Handler] = {}
        self._chain = Chain(default_middleware() if middleware is None else middleware, REQUIRED)
        self._delivering = Delivering(
            name, self._handlers, self.runtime, self._chain, self._resume, self._something_stopped
        )
        self._workers: Workers | None = None
        self._consumer: Consumer | None = None
        self._valve: Valve | None = None
        self._awaiting: Awaiting | None = None

    def on(self, key: str, *, retry: Retry = NEVER) -> Callable[[F], F]:
        """Register the handler of a routing key (``*`` one word, ``#`` any number); takes ``(payload, ctx)``.

        Args:
            key: the routing key, or a topic pattern.
            retry: which errors are worth another attempt, and when; by default none.
        """

        def register(function: F) -> F:
            if key in self._handlers:
                raise ConfigError(f"{self.name} already handles {key!r}")
            self._handlers[key] = make_handler(key, function, retry)
            return function

        return register

    def publish(self, key: str, payload: object, *, outbox: bool = False, park: bool = False) -> str:
        """As :meth:`Context.publish`: in a handler for the work at hand, elsewhere as the start of a new workflow."""
        return self.context().publish(key, payload, outbox=outbox, park=park)

    def context(self) -> Context:
        """A fresh workflow for work that no message caused; in a handler, the work at hand, whichever agent's it is."""
        if at_work := AT_WORK.get():
            return at_work.handed_to(self.name, self.runtime, self._chain)
        return Context(self.name, self.runtime, self._chain, Workflow(new_id("wf"), self.name, self.runtime))

    @property
    def held(self) -> int:
        """Messages that wait because the circuit is, or was, open; as last seen."""
        valve = self._valve
        return valve.waiting if valve else 0

    # --- lifecycle ------------------------------------------------------------------------------------------------
    def start(self) -> None:
        """Connect and begin to consume; returns at once."""
        self.runtime.start()
        self.runtime.join(self)
        self.runtime.broker.declare(agent_topology(self.name, tuple(self._handlers)))
        self._workers = Workers(self.name, self._concurrency, self._attend)
        self._consumer = self.runtime.broker.consume(self.name, self._deliver, prefetch=self._prefetch)
        self._valve = Valve(self.name, self.runtime, self._consumer, self)
        self._awaiting = Awaiting(self.name, self.runtime, self)
        self.tick()

    def stop(self, timeout: float = 10.0) -> None:
        """Stop consuming and let running handlers finish; the runtime stays up (others may use it).

        Messages that no worker has begun go back to the queue.
        """
        if self._consumer is not None and self._workers is not None:
            self._consumer.cancel()
            self._valve, awaiting, self._awaiting = None, self._awaiting, None
            if awaiting:
                awaiting.stop()
            self._workers.stop(timeout)
        self.runtime.part(self)

    def run(self) -> None:
        """Run as a program until SIGTERM or SIGINT, then drain and stop everything.

        Raises:
            SystemExit: it cannot start; what is wrong and how to fix it is printed in one line.
        """
        try:
            lifecycle.serve(_Program(self), supervised=False)  # a shell that ends takes no agent with it
        except FuseboxError as error:
            raise SystemExit(f"{self.name}: {error}") from error

    # --- what the runtime calls: ``stop`` may take the valve away at any moment ---------------------------------------
    def tick(self) -> None:
        if valve := self._valve:
            valve.tick()
        if awaiting := self._awaiting:
            awaiting.tick()

    def shut(self) -> None:
        if valve := self._valve:
            valve.shut()

    def cut(self) -> None:
        LOOP.cancel(lambda action: action.agent == self.name and self.runtime.latch.stops(action))

    # --- work -----------------------------------------------------------------------------------------------------
    def _deliver(self, delivery: Delivery) -> None:
        """A consumer's delivery: prefetch bounds how many wait for a worker."""
        self._submit(self._work, delivery)

    def idle(self) -> bool:
        """True when a worker is free."""
        return self._workers is not None and self._workers.idle

    def take(self, delivery: Delivery) -> None:
        """Handle a message that was released."""
        self._submit(self._delivering.handle, delivery)

    def _submit(self, job: Job, delivery: Delivery) -> None:
        if self._workers is not None:
            self._workers.submit(job, delivery)

    def _resume(self, step: Step) -> None:
        if self._workers is not None:
            self._workers.resume(step)

    def _attend(self, over: Callable[[], bool]) -> None:
        if self._consumer is not None:
            self._consumer.attend(over)

    def _work(self, delivery: Delivery) -> bool:
        valve = self._valve
        if valve is None or not valve.is_shut:
            return self._delivering.handle(delivery)
        self._delivering.hold(delivery, guard.deny(guard.CIRCUIT, "waits behind held messages"))
        return False

    def _something_stopped(self, *, refused: bool) -> None:
        if valve := self._valve:
            valve.changed(refused=refused)


class _Program:
    """An Agent and its runtime as one service."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def start(self) -> None:
        self._agent.start()

    def stop(self, timeout: float = 10.0) -> None:
        self._agent.stop(timeout)
        self._agent.runtime.stop(timeout)
