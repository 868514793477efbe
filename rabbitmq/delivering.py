"""Delivering: what happens to one message between its arrival and its settlement.

::

    guards ── latch, circuit, snapshot say no ──► held      (no attempt is counted; nothing is lost)
      │
    decode ── does not fit the handler's type ──► dead, with the validation error
      │
    handler ─ Refused (tripped, killed, ring) ──► held
      │     ─ any other exception ──────────────► dead, with type, text and stack
      ▼
     ack

Held and dead messages are published, confirmed, to their queue *before* the original is acknowledged: a crash between
the two leaves a duplicate, never a loss. When even that publish fails the original goes back to its queue; a dead one
that can never be moved (no room for our reasons beside its own headers) is dead-lettered by the broker, as it is.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Final

from opentelemetry.trace import Span, SpanKind

from fusebox import happenings, names
from fusebox.errors import AgentTripped, BadMessage, Permanent, Refused
from fusebox.eventmap import Value, format_lineage
from fusebox.records import Action, ActionKind, Lineage, Verdict
from rabbitmq import tracing
from rabbitmq.broker import Delivery, Message
from rabbitmq.context import Context
from rabbitmq.handlers import Handler
from rabbitmq.running import run_handler
from rabbitmq.runtime import Runtime

_MAX_STACK: Final = 8_000

MESSAGE_HELD: Final = happenings.declare("message_held", logging.INFO, "a message of a stopped agent was held")
MESSAGE_DEAD: Final = happenings.declare("message_dead", logging.ERROR, "a message could not be handled; dead-lettered")
SETTLE_FAILED: Final = happenings.declare(
    "settle_failed", logging.ERROR, "a message could not be moved to its held or dead queue; it goes back"
)


class Delivering:
    """Settles the messages of one agent.

    Args:
        agent: the agent's id.
        handlers: its handlers; a message goes to the first whose key matches.
        runtime: the process's parts.
    """

    def __init__(self, agent: str, handlers: Mapping[str, Handler], runtime: Runtime) -> None:
        self._agent, self._handlers, self._runtime = agent, handlers, runtime

    def handle(self, delivery: Delivery) -> bool:
        """Deal with one message; True when it ran to its end, False when it was held, dead or given back."""
        try:
            return self._try(delivery)
        except Exception as error:  # an unsettled message would keep its worker's place for ever
            self._give_back(delivery, error)
            return False

    def hold(self, delivery: Delivery, verdict: Verdict) -> None:
        """Move a message to the held queue without handling it."""
        try:
            self._hold(delivery, verdict)
        except Exception as error:  # as above
            self._give_back(delivery, error)

    def _give_back(self, delivery: Delivery, error: Exception, *, requeue: bool = True) -> None:
        happenings.emit(SETTLE_FAILED, agent=self._agent, message_id=delivery.message.message_id, error=repr(error))
        delivery.reject(requeue=requeue)

    def _try(self, delivery: Delivery) -> bool:
        lineage = self._runtime.lineage.read(delivery.message.headers, delivery.message.message_id)
        try:
            self._run(delivery, lineage)
        except Refused as refused:
            self._hold(delivery, refused.verdict)
        except BaseException as error:  # a handler may raise anything, sys.exit() too; message and reason are kept
            self._bury(delivery, error)
        else:
            delivery.ack()
            return True
        return False

    def _run(self, delivery: Delivery, lineage: Lineage) -> None:
        key = origin_key(delivery)
        action = self._consume_action(delivery, key, lineage)
        verdict = self._runtime.guards.check(action)
        if not verdict.allowed and verdict.guard != "circuit":  # the circuit itself admits probes, below
            raise AgentTripped(action, verdict)
        handler, payload = self._read(delivery, key, action)
        with self._runtime.circuits.calling(self._agent), self._span(delivery, key, action):
            context = Context(
                self._agent, self._runtime, action.workflow, action.lineage, delivery.message, delivery.redelivered
            )
            run_handler(handler, payload, context)

    def _read(self, delivery: Delivery, key: str, action: Action) -> tuple[Handler, object]:
        """Who takes the message, and its payload; before the circuit, because a stranger's bad message is not the
        agent's failure."""
        try:
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

    def _handler(self, key: str) -> Handler:
        handler = next((h for h in self._handlers.values() if matches(h.key, key)), None)
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

    # --- where a message can end up -------------------------------------------------------------------------------
    def _hold(self, delivery: Delivery, verdict: Verdict) -> None:
        reason = {names.H_HELD_REASON: f"{verdict.guard}: {verdict.reason}"[:500]}
        if verdict.finding:
            reason[names.H_HELD_FINDING] = verdict.finding
        self._move(delivery, names.held_queue(self._agent), reason)
        happenings.emit(MESSAGE_HELD, agent=self._agent, message_id=delivery.message.message_id, guard=verdict.guard)

    def _bury(self, delivery: Delivery, error: BaseException) -> None:
        stack = "".join(traceback.format_exception(error))[-_MAX_STACK:]
        reason = {names.H_DEAD_REASON: f"{type(error).__qualname__}: {error}"[:2_000]}
        try:
            self._move(delivery, names.dead_queue(self._agent), {**reason, names.H_DEAD_STACK: stack})
        except Permanent as refused:
            self._give_back(delivery, refused, requeue=False)
        happenings.emit(
            MESSAGE_DEAD,
            agent=self._agent,
            message_id=delivery.message.message_id,
            error=f"{type(error).__qualname__}: {error}",
        )

    def _move(self, delivery: Delivery, queue: str, reason: Mapping[str, str]) -> None:
        message = delivery.message
        # An error may quote half a surrogate pair, which no header can carry.
        clean = {name: text.encode("utf-8", "replace").decode() for name, text in reason.items()}
        headers = {**message.headers, **clean, names.H_ORIGIN_KEY: origin_key(delivery)}
        moved = Message(
            message.body, headers, message.message_id, message.content_type, message.correlation_id,
            message.reply_to, message.timestamp,
        )  # fmt: skip
        self._runtime.broker.publish("", queue, moved)
        delivery.ack()


def origin_key(delivery: Delivery) -> str:
    """The routing key a message was first published with, however often it was held since."""
    return str(delivery.message.headers.get(names.H_ORIGIN_KEY) or delivery.routing_key)


def matches(pattern: str, key: str) -> bool:
    """AMQP topic matching: ``*`` is one word, ``#`` any number of words."""
    return _match(pattern.split("."), key.split("."))


def _match(pattern: list[str], words: list[str]) -> bool:
    if not pattern:
        return not words
    if pattern[0] == "#":
        return any(_match(pattern[1:], words[i:]) for i in range(len(words) + 1))
    return bool(words) and pattern[0] in ("*", words[0]) and _match(pattern[1:], words[1:])
