"""Delivering: what happens to one message between its arrival and its settlement.

::

    guards ── latch, circuit, snapshot say no ──► held      (no attempt is counted; nothing is lost)
      │
    decode ── does not fit the handler's type ──► dead, with the validation error
      │
    claim ─── completed before ─────────────────► acknowledged, not handled again
      │   ─── at work elsewhere ────────────────► a queue of fixed delay, then its own queue again
      │
    handler ─ Refused (tripped, killed, ring) ──► held
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

from collections.abc import Mapping

from fusebox.records import Verdict
from rabbitmq.broker import Delivery
from rabbitmq.context import Context
from rabbitmq.handlers import Handler
from rabbitmq.middleware import Chain
from rabbitmq.run import Done, Outcome, Run, SkipHandler
from rabbitmq.running import run_handler
from rabbitmq.runtime import Runtime
from rabbitmq.settling import Settling


class Delivering:
    """Settles the messages of one agent.

    Args:
        agent: the agent's id.
        handlers: its handlers; a message goes to the first whose key matches.
        runtime: the process's parts.
        chain: its middleware.
    """

    def __init__(self, agent: str, handlers: Mapping[str, Handler], runtime: Runtime, chain: Chain) -> None:
        self._agent, self._handlers, self._runtime, self._chain = agent, handlers, runtime, chain
        self._settling = Settling(agent, runtime.broker)

    def handle(self, delivery: Delivery) -> bool:
        """Deal with one message; True when it ran to its end, False when it was held, dead or given back."""
        try:
            run = Run(self._runtime, self._agent, delivery, self._handlers)
            outcome = self._outcome(run)
            self._settling.settle(delivery, outcome)
            self._chain.settled(run, outcome)
        except Exception as error:  # an unsettled message would keep its worker's place for ever
            self._settling.give_back(delivery, error)
            return False
        return isinstance(outcome, Done)

    def hold(self, delivery: Delivery, verdict: Verdict) -> None:
        """Move a message to the held queue without handling it."""
        try:
            self._settling.hold(delivery, verdict)
        except Exception as error:  # as above
            self._settling.give_back(delivery, error)

    def _outcome(self, run: Run) -> Outcome:
        try:
            with self._chain.handling(run):
                assert run.handler is not None, "Decoding is required"
                run_handler(run.handler, run.payload, self._context(run))
        except SkipHandler as skip:
            return skip.outcome
        except BaseException as error:  # a handler may raise anything, sys.exit() too; message and reason are kept
            return self._chain.verdict(run, error)
        return Done()

    def _context(self, run: Run) -> Context:
        redelivered = run.delivery.redelivered or run.again
        return Context(
            self._agent, self._runtime, self._chain, run.action.workflow, run.lineage, run.message, redelivered
        )
