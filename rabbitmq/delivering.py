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
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

from opentelemetry.trace import Span, SpanKind

from fusebox import happenings, names
from fusebox.errors import AgentTripped, BadMessage, Refused
from fusebox.eventmap import Value, format_lineage
from fusebox.records import Action, ActionKind, Lineage, Verdict
from rabbitmq import tracing
from rabbitmq.broker import Delivery
from rabbitmq.claims import DUPLICATE, Claim
from rabbitmq.context import Context
from rabbitmq.handlers import Handler
from rabbitmq.identity import check_sender
from rabbitmq.running import run_handler
from rabbitmq.runtime import Runtime
from rabbitmq.settling import Settling, attempt_of, origin_key
from rabbitmq.topology import topic_matches


class Delivering:
    """Settles the messages of one agent.

    Args:
        agent: the agent's id.
        handlers: its handlers; a message goes to the first whose key matches.
        runtime: the process's parts.
    """

    def __init__(self, agent: str, handlers: Mapping[str, Handler], runtime: Runtime) -> None:
        self._agent, self._handlers, self._runtime = agent, handlers, runtime
        self._settling = Settling(agent, runtime.broker)

    def handle(self, delivery: Delivery) -> bool:
        """Deal with one message; True when it ran to its end, False when it was held, dead or given back."""
        try:
            return self._try(delivery)
        except Exception as error:  # an unsettled message would keep its worker's place for ever
            self._settling.give_back(delivery, error)
            return False

    def hold(self, delivery: Delivery, verdict: Verdict) -> None:
        """Move a message to the held queue without handling it."""
        try:
            self._settling.hold(delivery, verdict)
        except Exception as error:  # as above
            self._settling.give_back(delivery, error)

    def _try(self, delivery: Delivery) -> bool:
        try:
            claim = self._run(delivery)
        except Refused as refused:
            self._settling.hold(delivery, refused.verdict)
            return False
        except BaseException as error:  # a handler may raise anything, sys.exit() too; message and reason are kept
            self._fail(delivery, error)
            return False
        if claim is Claim.BUSY:
            self._settling.postpone(delivery)
            return False
        delivery.ack()
        return True

    def _fail(self, delivery: Delivery, error: BaseException) -> None:
        handler, attempt = self._find(origin_key(delivery)), attempt_of(delivery)
        delay = handler.retry.delay(error, attempt) if handler and isinstance(error, Exception) else None
        if delay is None:
            self._settling.bury(delivery, error)
        else:
            self._settling.retry(delivery, error, delay, attempt + 1)

    def _run(self, delivery: Delivery) -> Claim:
        """Run the handler, unless it has completed before (DONE) or is at work elsewhere (BUSY)."""
        key, lineage = origin_key(delivery), self._lineage(delivery)
        action = self._consume_action(delivery, key, lineage)
        verdict = self._runtime.guards.check(action)
        if not verdict.allowed and verdict.guard != "circuit":  # the circuit itself admits probes, below
            raise AgentTripped(action, verdict)
        handler, payload = self._read(delivery, key, action)
        repeated = delivery.redelivered or attempt_of(delivery) > 1
        claim = self._runtime.claims.take(self._agent, delivery.message.message_id, repeated=repeated)
        if claim is Claim.DONE:
            happenings.emit(DUPLICATE, agent=self._agent, message_id=delivery.message.message_id)
        elif claim is not Claim.BUSY:
            again = delivery.redelivered or claim is Claim.AGAIN
            context = Context(self._agent, self._runtime, action.workflow, lineage, delivery.message, again)
            with (
                self._claimed(delivery),
                self._runtime.circuits.calling(self._agent),
                self._span(delivery, key, action),
            ):
                run_handler(handler, payload, context)
        return claim

    @contextmanager
    def _claimed(self, delivery: Delivery) -> Iterator[None]:
        """The claim ends with the run: done, or free for whoever gets the message next."""
        claims, message_id = self._runtime.claims, delivery.message.message_id
        try:
            yield
        except BaseException:
            claims.give_up(self._agent, message_id)
            raise
        claims.done(self._agent, message_id)

    def _lineage(self, delivery: Delivery) -> Lineage:
        return self._runtime.lineage.read(delivery.message.headers, delivery.message.message_id)

    def _read(self, delivery: Delivery, key: str, action: Action) -> tuple[Handler, object]:
        """Who takes the message, and its payload; before the circuit, because a stranger's bad message is not the
        agent's failure."""
        try:
            if self._runtime.config.require_sender and self._runtime.broker.remote:
                check_sender(delivery.message, action.lineage, self._agent)
            handler = self._handler(key)
            return handler, handler.decode(delivery.message.body)
        except BadMessage:
            with self._span(delivery, key, action):
                raise

    def _span(self, delivery: Delivery, key: str, action: Action) -> AbstractContextManager[Span]:
        parent = tracing.incoming_context(delivery.message.headers)
        name = f"consume {tracing.destination(names.EXCHANGE_EVENTS, key, delivery.queue)}"
        return self._runtime.telemetry.span(
            name, SpanKind.CONSUMER, self._attributes(delivery, key, action), parent=parent,
            links=list(tracing.creation_links(parent)),
        )  # fmt: skip

    def _find(self, key: str) -> Handler | None:
        return next((h for h in self._handlers.values() if topic_matches(h.key, key)), None)

    def _handler(self, key: str) -> Handler:
        handler = self._find(key)
        if handler is None:
            raise BadMessage(f"no handler of {self._agent} takes routing key {key!r}")
        return handler

    def _consume_action(self, delivery: Delivery, key: str, lineage: Lineage) -> Action:
        message = delivery.message
        workflow = str(message.headers.get(names.H_WORKFLOW) or message.correlation_id or message.message_id)[:128]
        return Action(
            ActionKind.CONSUME, self._agent, key, target=delivery.queue, tenant=self._runtime.config.tenant,
            workflow=workflow, lineage=lineage,
        )  # fmt: skip

    def _attributes(self, delivery: Delivery, key: str, action: Action) -> dict[str, Value]:
        return {
            **tracing.consume_attributes(delivery, names.EXCHANGE_EVENTS, key),
            names.GEN_AI_AGENT_ID: self._agent,
            names.TENANT: action.tenant,
            names.ACTION: ActionKind.CONSUME.value,
            names.OPERATION: key,
            names.WORKFLOW: action.workflow,
            names.LINEAGE: format_lineage(action.lineage),
        }
