"""Context: what a handler is given beside its payload, and through which everything it does is guarded and traced."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, ParamSpec, TypeVar

from opentelemetry import trace

from fusebox import fingerprint, names
from fusebox.records import Action, ActionKind, Hop, Lineage, new_id
from rabbitmq import tracing
from rabbitmq.acting import Act, ModelCall, acting
from rabbitmq.batch import Batch
from rabbitmq.broker import Header, Message
from rabbitmq.confirms import Confirm
from rabbitmq.handlers import encode
from rabbitmq.runtime import Runtime

P = ParamSpec("P")
R = TypeVar("R")
PUBLISH_TIMEOUT_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Context:
    """One unit of an agent's work: usually one message being handled."""

    agent: str
    runtime: Runtime
    workflow: str
    lineage: Lineage = ()
    message: Message | None = None
    redelivered: bool = False

    @property
    def trace_id(self) -> str:
        """Trace id of the work at hand (32 hex digits)."""
        return f"{trace.get_current_span().get_span_context().trace_id:032x}"

    @property
    def idempotency_key(self) -> str:
        """The same for every run of this handler for this message: give it to systems that can refuse a repetition."""
        message_id = self.message.message_id if self.message else self.workflow
        return hashlib.sha256(f"{self.agent}\0{message_id}".encode()).hexdigest()[:32]

    def publish(self, key: str, payload: object, *, timeout: float = PUBLISH_TIMEOUT_S, outbox: bool = False) -> str:
        """Publish ``payload`` under routing key ``key``; returns the message id once the broker has confirmed.

        With ``outbox``, it returns too when the broker cannot take the message now: the message then waits in this
        process's outbox (in a file, with ``durable_outbox``) and goes out, in order, when the broker is back.

        Raises:
            Refused: a guard said no.
            Unroutable, PublishNacked, PublishBlocked, PublishTimeout, BrokerUnavailable: see :mod:`fusebox.errors`.
            OutboxFull: with ``outbox``, in place of the retryable ones of these, when there is no room.
        """
        with self._publishing(key, payload) as message:
            way = self.runtime.outbox if outbox else self.runtime.broker
            way.publish(names.EXCHANGE_EVENTS, key, message, timeout=timeout)
        return message.message_id

    @contextmanager
    def batch(self, *, timeout: float = PUBLISH_TIMEOUT_S) -> Iterator[Batch]:
        """Publish many: ``batch.publish(key, payload)`` does not wait, the end of the block waits for every confirm.

        ``timeout`` is seconds for each message, from its hand-over.

        Raises:
            BatchError: some were not published: ``BatchUnconfirmed`` when each may be tried again, or ``BatchFailed``.
            Refused: a guard said no to one; nothing after it was handed over.
        """

        def hand_over(key: str, message: Message) -> Confirm:
            return self.runtime.broker.publish_soon(names.EXCHANGE_EVENTS, key, message, timeout=timeout)

        with Batch(self._publishing, hand_over) as batch:
            yield batch

    def publish_many(self, items: Iterable[tuple[str, object]], *, timeout: float = PUBLISH_TIMEOUT_S) -> list[str]:
        """Publish each ``(key, payload)``; returns the message ids once all are confirmed. Raises as :meth:`batch`."""
        with self.batch(timeout=timeout) as batch:
            for key, payload in items:
                batch.publish(key, payload)
        return batch.ids

    async def publish_async(
        self, key: str, payload: object, *, timeout: float = PUBLISH_TIMEOUT_S, outbox: bool = False
    ) -> str:
        """:meth:`publish` for coroutines: waits for the confirm without holding the event loop."""
        return await asyncio.to_thread(self.publish, key, payload, timeout=timeout, outbox=outbox)

    def tool(self, name: str, function: Callable[..., R], /, *args: Any, target: str = "", **kwargs: Any) -> R:
        """Call ``function(*args, **kwargs)`` as the tool ``name``, guarded and traced.

        ``target`` names what the tool works on (a ticket, a table): repetition is judged per target.

        Raises:
            Refused: a guard said no; the function was not called, or (kill) its result must not be used.
        """
        with self._tool(name, target, args, kwargs) as act:
            result = function(*args, **kwargs)
            act.returned(result)
            act.capture(names.GEN_AI_TOOL_RESULT, result)
        return result

    async def tool_async(
        self, name: str, function: Callable[..., Awaitable[R]], /, *args: Any, target: str = "", **kwargs: Any
    ) -> R:
        """:meth:`tool` for a coroutine function."""
        with self._tool(name, target, args, kwargs) as act:
            result = await function(*args, **kwargs)
            act.returned(result)
            act.capture(names.GEN_AI_TOOL_RESULT, result)
        return result

    @contextmanager
    def model_call(
        self, model: str, *, provider: str, messages: object = None, operation: str = "chat"
    ) -> Iterator[ModelCall]:
        """Guard and trace one inference; give ``call.record()`` the provider's response.

        Args:
            model: the model asked for.
            provider: its provider, as ``gen_ai.provider.name`` spells it.
            messages: the prompt, for its fingerprint (and, with ``capture_content``, for the span).
            operation: ``chat``, ``text_completion``, ``generate_content`` or ``embeddings``.

        Raises:
            Refused: a guard said no before the call, or the agent was killed during it.
        """
        action = self._action(ActionKind.MODEL_CALL, model, "", messages)
        attributes = {
            names.GEN_AI_OPERATION: operation,
            names.GEN_AI_PROVIDER: provider,
            names.GEN_AI_REQUEST_MODEL: model,
        }
        with acting(self.runtime, action, f"{operation} {model}", dict(attributes), messages) as act:
            if messages is not None:
                act.capture(names.GEN_AI_INPUT_MESSAGES, messages)
            yield ModelCall(act)

    @contextmanager
    def _publishing(self, key: str, payload: object) -> Iterator[Message]:
        """Guards and span of one publish, around the message to send."""
        body = encode(payload)
        text = body.decode("utf-8", "replace")
        action = self._action(ActionKind.PUBLISH, key, key, text)
        message_id = new_id("msg")
        attributes = tracing.publish_attributes(names.EXCHANGE_EVENTS, key, message_id, self.workflow)
        span_name = f"publish {tracing.destination(names.EXCHANGE_EVENTS, key)}"
        with acting(self.runtime, action, span_name, attributes, text) as act:
            yield Message(body, self._headers(act, message_id), message_id, correlation_id=self.workflow)

    @contextmanager
    def _tool(self, name: str, target: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[Act]:
        request = {"args": list(args), **kwargs}
        action = self._action(ActionKind.TOOL_CALL, name, target, request)
        attributes = {names.GEN_AI_OPERATION: "execute_tool", names.GEN_AI_TOOL_NAME: name}
        with acting(self.runtime, action, f"execute_tool {name}", dict(attributes), request) as act:
            act.capture(names.GEN_AI_TOOL_ARGUMENTS, request)
            yield act

    def _action(self, kind: ActionKind, operation: str, target: str, request: object) -> Action:
        return Action(
            kind=kind, agent=self.agent, operation=operation, target=target, tenant=self.runtime.config.tenant,
            workflow=self.workflow, trace_id=self.trace_id, lineage=self.lineage,
            request=0 if request is None else fingerprint.request_hash(operation, target, request),
        )  # fmt: skip

    def _headers(self, act: Act, message_id: str) -> dict[str, Header]:
        lineage = (*self.lineage, Hop(self.agent, act.action.request))
        return {
            **tracing.outgoing_headers(),
            **self.runtime.lineage.write(lineage, message_id),
            names.H_AGENT: self.agent,
            names.H_WORKFLOW: self.workflow,
        }
