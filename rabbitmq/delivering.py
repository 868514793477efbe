"""Delivering: what happens to one message between its arrival and its settlement.

::

    guards ── latch, circuit, snapshot say no ──► held      (no attempt is counted; nothing is lost)
      │   ── its workflow was killed, or policy denies ─► dead, with the reason: nothing of the agent waits for it
      │   ── people are asked about it ─────────► approvals, until they answer; a no: dead, with the reason
      │   ── policy, or people, cannot be asked ► a queue of fixed delay, then its own queue again
      │
    decode ── does not fit the handler's type ──► dead, with the validation error
      │
    claim ─── completed before ─────────────────► acknowledged, not handled again
      │   ─── at work elsewhere ────────────────► a queue of fixed delay, then its own queue again
      │
    handler ─ Refused (tripped, killed, ring) ──► held
      │     ─ ApprovalPending, ApprovalDenied ──► as above
      │     ─ an error its policy retries ──────► a queue of fixed delay, then its own queue again
      │     ─ any other exception ──────────────► dead, with type, text and stack
      ▼
     ack

Held and dead messages are published, confirmed, to their queue *before* the original is acknowledged: a crash between
the two leaves a duplicate, never a loss. When even that publish fails the original goes back to its queue; a dead one
that can never be moved (no room for our reasons beside its own headers) is dead-lettered by the broker, as it is.

Each of the steps is a middleware (:mod:`rabbitmq.middleware`); what is drawn is the default list.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine, Generator, Mapping
from functools import partial
from typing import Any, Protocol

from breakers.guards import verdict_on
from fusebox.errors import AgentKilled, Refused
from fusebox.records import Action, ActionKind, Verdict
from rabbitmq import tracing
from rabbitmq.broker import Delivery
from rabbitmq.context import AT_WORK, Context
from rabbitmq.handlers import Handler
from rabbitmq.middleware import Chain
from rabbitmq.run import Await, Bury, Done, Hold, Outcome, Postpone, Run, SkipHandler, origin_key
from rabbitmq.running import LOOP
from rabbitmq.runtime import Runtime
from rabbitmq.settling import Settling
from rabbitmq.workers import Step
from rabbitmq.workflow import Workflow, known_of

Steps = Generator[Coroutine[Any, Any, Any], None, Outcome]
"""One handling: yields the coroutine of an ``async def`` handler, is told how that ended, and returns the outcome."""


class Stopped(Protocol):
    """Whom to tell that a message did not run to its end."""

    def __call__(self, *, refused: bool) -> None:
        """``refused``: a guard held it."""


class Delivering:
    """Settles the messages of one agent.

    Args:
        agent: the agent's id.
        handlers: its handlers; a message goes to the first whose key matches.
        runtime: the process's parts.
        chain: its middleware.
        resume: has the next step of a message done, on a worker.
        stopped: called when a message was held, dead or given back instead of running to its end.
    """

    def __init__(
        self, agent: str, handlers: Mapping[str, Handler], runtime: Runtime, chain: Chain,
        resume: Callable[[Step], None], stopped: Stopped,
    ) -> None:  # fmt: skip
        self._agent, self._handlers, self._runtime, self._chain = agent, handlers, runtime, chain
        self._resume, self._stopped = resume, stopped
        self._settling = Settling(agent, runtime.broker)

    def handle(self, delivery: Delivery) -> bool:
        """Deal with one message; True when its coroutine runs now and the rest follows on a worker.

        Each message has a context (:mod:`contextvars`) of its own, which its coroutine shares.
        """
        try:
            run = Run(self._runtime, self._agent, delivery, self._handlers)
        except Exception as error:  # an unsettled message would keep its place for ever
            self._give_back(delivery, error)
            return False
        return self._go_on(run, self._steps(run), contextvars.copy_context(), None)

    def hold(self, delivery: Delivery, verdict: Verdict) -> None:
        """Move a message to the held queue without handling it."""
        try:
            self._settling.hold(delivery, verdict)
            self._runtime.held(self._consuming(delivery), verdict)
        except Exception as error:  # as above
            self._settling.give_back(delivery, error)
        self._stopped(refused=False)

    def _go_on(self, run: Run, steps: Steps, context: contextvars.Context, error: BaseException | None) -> bool:
        try:
            coroutine = context.run(steps.throw, error) if error else context.run(next, steps)
        except StopIteration as end:
            self._settle(run, end.value)
            return False
        except Exception as broken:  # as above
            self._give_back(run.delivery, broken)
            return False

        def ended(error: BaseException | None) -> None:
            self._resume(partial(self._go_on, run, steps, context, error))

        LOOP.start(run.action, coroutine, context, ended)
        return True

    def _steps(self, run: Run) -> Steps:
        try:
            with self._chain.handling(run):
                assert run.handler is not None, "Decoding is required"
                AT_WORK.set(context := self._context(run))
                running = run.handler.function(run.payload, context)
                if run.handler.is_async:
                    yield from self._awaited(run, running)
        except SkipHandler as skip:
            return skip.outcome
        except BaseException as error:  # a handler may raise anything, sys.exit() too; message and reason are kept
            return self._chain.verdict(run, error)
        return Done()

    def _awaited(self, run: Run, coroutine: Coroutine[Any, Any, Any]) -> Generator[Coroutine[Any, Any, Any]]:
        """
        Raises:
            AgentKilled: the coroutine was cancelled by a kill.
        """
        try:
            yield coroutine
        except asyncio.CancelledError as error:
            kill = self._runtime.latch.stops(run.action)
            if kill is None:
                raise  # the handler's own doing
            raise AgentKilled(run.action, verdict_on(kill, "while it waited")) from error

    def _settle(self, run: Run, outcome: Outcome) -> None:
        try:
            self._settling.settle(run.delivery, outcome)
            self._audit(run, outcome)
            self._chain.settled(run, outcome)
        except Exception as error:  # as above
            self._give_back(run.delivery, error)
            return
        if not isinstance(outcome, Done):
            self._stopped(refused=isinstance(outcome, Hold))

    def _audit(self, run: Run, outcome: Outcome) -> None:
        """A message that a guard stopped is on record; what a guard said to an action inside the handler is already."""
        match outcome:
            case Hold(verdict):
                self._runtime.held(self._consuming(run.delivery), verdict)
            case Await(pending) if pending.action is run.action:
                self._runtime.held(self._consuming(run.delivery), pending.verdict)
            case Bury(Refused(action=action, verdict=verdict)) | Postpone(Refused(action=action, verdict=verdict)) if (
                action is run.action
            ):
                self._runtime.denied(self._consuming(run.delivery), verdict)

    def _consuming(self, delivery: Delivery) -> Action:
        created = tracing.created_in(delivery.message.headers)
        trace_id = f"{created.trace_id:032x}" if created.is_valid else ""
        return Action(ActionKind.CONSUME, self._agent, origin_key(delivery), trace_id=trace_id)

    def _give_back(self, delivery: Delivery, error: BaseException) -> None:
        self._settling.give_back(delivery, error)
        self._stopped(refused=False)

    def _context(self, run: Run) -> Context:
        redelivered = run.delivery.redelivered or run.again
        workflow = Workflow(run.action.workflow, self._agent, self._runtime, known_of(run.message.headers))
        permit = self._runtime.circuits.permit(self._agent)
        return Context(self._agent, self._runtime, self._chain, workflow, run.lineage, run.message, redelivered, permit)
