"""Context: what a handler is given beside its payload, and through which everything it does is guarded and traced."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import xor
from typing import Any, Final, NoReturn, ParamSpec, TypeVar

from opentelemetry import trace

from breakers.rounds import next_hop
from fusebox import fingerprint, guard, names
from fusebox.errors import AgentTripped, ApprovalPending
from fusebox.eventmap import Value
from fusebox.genai import latest
from fusebox.records import Action, ActionKind, Lineage, Verdict, new_id
from governance.approvals.client import asked_elsewhere
from governance.approvals.request import text_of
from rabbitmq import tracing
from rabbitmq.act import Act
from rabbitmq.batch import Batch
from rabbitmq.broker import Message
from rabbitmq.calls import arguments_of, contract_of, judged, thing_in
from rabbitmq.confirms import Confirm, confirmed
from rabbitmq.handlers import encode
from rabbitmq.middleware import Chain
from rabbitmq.middleware.chain import Within
from rabbitmq.model_call import ModelCall, asking
from rabbitmq.parking import envelope
from rabbitmq.runtime import Runtime
from rabbitmq.workflow import Workflow

P = ParamSpec("P")
R = TypeVar("R")
PUBLISH_TIMEOUT_S: Final = 5.0
_CAME: Final = 64
AT_WORK: Final[ContextVar[Context | None]] = ContextVar("fusebox_at_work", default=None)
"""What the handler that runs here was given."""


@dataclass(frozen=True, slots=True)
class Context:
    """One unit of an agent's work: usually one message being handled."""

    agent: str
    runtime: Runtime
    chain: Chain
    workflow: Workflow
    lineage: Lineage = ()
    message: Message | None = None
    redelivered: bool = False
    permit: str = ""
    """The probe permit under which the message at hand is handled: threads of the handler's own act under it, too."""
    came: set[int] = field(default_factory=set, compare=False, repr=False)
    """Hashes of what tools gave so far: who says "done" after other work does not say the same again."""

    def handed_to(self, agent: str, runtime: Runtime, chain: Chain) -> Context:
        """The same work as another agent of this process sees it; itself for its own."""
        if agent == self.agent:
            return self
        return Context(agent, runtime, chain, self.workflow.handed_to(agent, runtime), self.lineage, came=self.came)

    @property
    def trace_id(self) -> str:
        """Trace id of the work at hand (32 hex digits)."""
        return f"{trace.get_current_span().get_span_context().trace_id:032x}"

    @property
    def idempotency_key(self) -> str:
        """The same for every run of this handler for this message: give it to systems that can refuse a repetition."""
        message_id = self.message.message_id if self.message else self.workflow.id
        return hashlib.sha256(f"{self.agent}\0{message_id}".encode()).hexdigest()[:32]

    @property
    def approval(self) -> str:
        """Id of the approval for which the message at hand has waited; empty when it has not."""
        return str(self.message.headers.get(names.H_APPROVAL, "")) if self.message else ""

    def await_approval(self, approval: str) -> NoReturn:
        """Have the message at hand wait until people have answered; it is then handled again, with :attr:`approval`.

        For a call that the gateway answered with an approval's id; what is held on the bus waits by itself. Without one
        (503: it could ask nobody) the message comes again in a moment.

        Raises:
            ApprovalPending, ApprovalUnavailable: always one of them; let it pass.
        """
        raise asked_elsewhere(self._action(ActionKind.CONSUME, self.agent, "", None), approval)

    def publish(
        self, key: str, payload: object, *, timeout: float = PUBLISH_TIMEOUT_S, outbox: bool = False,
        park: bool = False, message_id: str = "",
    ) -> str:  # fmt: skip
        """Publish ``payload`` under routing key ``key``; returns the message id once the broker has confirmed.

        With ``outbox``, it returns too when the broker cannot take the message now: the message then waits in this
        process's outbox (in a file, with ``durable_outbox``) and goes out, in order, when the broker is back.

        With ``park``, it returns too when the agent's circuit is open, or when people are asked first: the message
        then waits in the agent's held or approvals queue (the agent must have been started once) and is published when
        the held messages are released, or when they have agreed.

        Raises:
            Refused: a guard said no.
            Unroutable, PublishNacked, PublishBlocked, PublishTimeout, BrokerUnavailable: see :mod:`fusebox.errors`.
            OutboxFull: with ``outbox``, in place of the retryable ones of these, when there is no room.
        """
        own = message_id or (new_id("msg") if park else "")
        act, message = self._outgoing(key, payload, own)
        try:
            with self.chain.acting(act):
                if outbox:
                    self.runtime.outbox.publish(names.EXCHANGE_EVENTS, key, message, timeout=timeout)
                else:
                    self._hand_over(key, act, message, timeout)()
        except AgentTripped as refused:
            if not park or refused.verdict.guard != guard.CIRCUIT:
                raise
            self._park(names.held_queue(self.agent), envelope(key, self._unsent(message), refused.verdict), timeout)
        except ApprovalPending as asked:
            if not park:
                raise
            waiting = envelope(key, self._unsent(message), asked.verdict, asked.approval)
            self._park(names.approvals_queue(self.agent), waiting, timeout)
        return message.message_id

    @contextmanager
    def batch(self, *, timeout: float = PUBLISH_TIMEOUT_S) -> Iterator[Batch]:
        """Publish many: ``batch.publish(key, payload)`` does not wait, the end of the block waits for every confirm.

        ``timeout`` is seconds for each message, from its hand-over.

        Raises:
            BatchError: some were not published: ``BatchUnconfirmed`` when each may be tried again, or ``BatchFailed``.
            Refused: a guard said no to one; nothing after it was handed over.
        """

        def hand_over(key: str, act: Act, message: Message) -> Confirm:
            return self._hand_over(key, act, message, timeout)

        with Batch(self._outgoing, self.chain.acting, hand_over) as batch:
            yield batch

    def publish_many(self, items: Iterable[tuple[str, object]], *, timeout: float = PUBLISH_TIMEOUT_S) -> list[str]:
        """Publish each ``(key, payload)``; returns the message ids once all are confirmed. Raises as :meth:`batch`."""
        with self.batch(timeout=timeout) as batch:
            for key, payload in items:
                batch.publish(key, payload)
        return batch.ids

    async def publish_async(
        self, key: str, payload: object, *, timeout: float = PUBLISH_TIMEOUT_S, outbox: bool = False,
        park: bool = False,
    ) -> str:  # fmt: skip
        """:meth:`publish` for coroutines: waits for the confirm without holding the event loop, nor a thread.

        A thread is taken where waiting cannot be left to the broker: for an outbox, a parked publish, and while too
        many messages are on their way; and while policy, or *watch*, is asked about it.
        """
        if outbox or park or self.runtime.broker.busy:
            return await asyncio.to_thread(self.publish, key, payload, timeout=timeout, outbox=outbox, park=park)
        act, message = self._outgoing(key, payload)
        async with self.chain.acting(act):
            await confirmed(self._hand_over(key, act, message, timeout), timeout)
        return message.message_id

    def tool(self, name: str, function: Callable[..., R], /, *args: Any, target: str = "", **kwargs: Any) -> R:
        """Call ``function(*args, **kwargs)`` as the tool ``name``, guarded and traced.

        ``target`` names what the tool works on (a ticket, a table): repetition is judged per target.

        Raises:
            Refused: a guard said no; the function was not called, or (kill) its result must not be used.
        """
        with self._tool(name, function, target, args, kwargs) as act:
            act.capture(names.GEN_AI_TOOL_ARGUMENTS, act.request)
            result = function(*args, **kwargs)
            self._returned(act, result)
        return result

    async def tool_async(
        self, name: str, function: Callable[..., Awaitable[R]], /, *args: Any, target: str = "", **kwargs: Any
    ) -> R:
        """:meth:`tool` for a coroutine function; what guards take to answer does not hold the event loop."""
        async with self._tool(name, function, target, args, kwargs) as act:
            act.capture(names.GEN_AI_TOOL_ARGUMENTS, act.request)
            result = await function(*args, **kwargs)
            self._returned(act, result)
        return result

    @contextmanager
    def model_call(
        self, model: str, *, provider: str, messages: object = None, operation: str = "chat"
    ) -> Iterator[ModelCall]:
        """Guard and trace one inference; give ``call.record()`` the provider's response.

        Args:
            model: the model asked for.
            provider: its provider, as ``gen_ai.provider.name`` spells it.
            messages: the prompt (of a conversation the last message), for its fingerprint (and, with
                ``capture_content``, for the span).
            operation: ``chat``, ``text_completion``, ``generate_content`` or ``embeddings``.

        Raises:
            Refused: a guard said no before the call, the gateway said so, or the agent was killed during it.
        """
        with self._inference(model, provider, messages, operation) as act, asking(act, messages):
            yield ModelCall(act)

    @asynccontextmanager
    async def model_call_async(
        self, model: str, *, provider: str, messages: object = None, operation: str = "chat"
    ) -> AsyncIterator[ModelCall]:
        """:meth:`model_call` for coroutines (``async with``); the time guards take does not hold the event loop."""
        async with self._inference(model, provider, messages, operation) as act:
            with asking(act, messages):
                yield ModelCall(act)

    def acting(
        self, action: Action, span_name: str, attributes: dict[str, Value], request: object,
        approve: Callable[[Verdict], str] | None = None, about: str = "",
    ) -> Within[Act]:  # fmt: skip
        """The one path of every action: the agent's middleware around the work.

        Raises:
            Refused: a guard said no, before the work or (kill) after it; nothing of the result may be used.
        """
        started = self.runtime.clock.now()
        act = Act(self.runtime, action, span_name, attributes, request, started=started, approve=approve, about=about)
        return self.chain.acting(act)

    def _inference(self, model: str, provider: str, messages: object, operation: str) -> Within[Act]:
        asking_now = latest(messages)
        action = self._action(ActionKind.MODEL_CALL, model, "", asking_now)
        attributes: dict[str, Value] = {
            names.GEN_AI_OPERATION: operation,
            names.GEN_AI_PROVIDER: provider,
            names.GEN_AI_REQUEST_MODEL: model,
        }
        asked = self._approve(action, lambda: {"operation": operation, "messages": messages})
        approve = None if messages is None else asked
        return self.acting(action, f"{operation} {model}", attributes, asking_now, approve)

    def _outgoing(self, key: str, payload: object, message_id: str = "") -> tuple[Act, Message]:
        """One publish: what surrounds it, and the message; its headers are complete once the middleware is entered."""
        started = self.runtime.clock.now()
        body = encode(payload)
        text = body.decode("utf-8", "replace")
        asked = self._action(ActionKind.PUBLISH, key, key, text, payload)
        hop = next_hop(
            self.agent, asked.request, self.lineage, lambda: reduce(xor, self.came, fingerprint.exact_hash(text))
        )
        action = replace(asked, hop=hop.request)
        approve = self._approve(action, lambda: {"key": key, "body": text_of(body)}, origin=message_id)
        message_id = message_id or new_id("msg")
        about = tracing.described("publish", "send", names.EXCHANGE_EVENTS, key)
        own = {names.MESSAGING_MESSAGE_ID: message_id, names.MESSAGING_CONVERSATION: self.workflow.id}
        attributes = {**about.attributes, **own}
        act = Act(
            self.runtime, action, about.span_name, attributes, text, message_id, self.workflow.headers,
            started=started, approve=approve,
        )  # fmt: skip
        return act, Message(body, act.headers, message_id, correlation_id=self.workflow.id)

    def _hand_over(self, key: str, act: Act, message: Message, timeout: float) -> Confirm:
        confirm = self.runtime.broker.publish_soon(names.EXCHANGE_EVENTS, key, message, timeout=timeout)
        self.chain.handed_over(act)
        return confirm

    def _park(self, queue: str, parked: Message, timeout: float) -> None:
        self.runtime.broker.publish(names.EXCHANGE_OWN, queue, parked, timeout=timeout)

    def _unsent(self, message: Message) -> Message:
        """A message as it stands before its publish begins: the hop is added when it goes out."""
        lineage = self.runtime.lineage.write(self.lineage, message.message_id)
        created = tracing.headers_of(trace.get_current_span().get_span_context())
        headers = {**created, **lineage, **self.workflow.headers}
        return Message(message.body, headers, message.message_id, correlation_id=self.workflow.id)

    def _approve(
        self, action: Action, arguments: Callable[[], object], *, contract: Callable[[], str] = str, origin: str = ""
    ) -> Callable[[Verdict], str]:
        """What asks people about an action.

        Args:
            origin: what it belongs to, where that is not the message at hand.
        """

        def approve(verdict: Verdict) -> str:
            belongs = origin or (self.message.message_id if self.message else "") or self.workflow.id
            return self.runtime.approvals.require(
                action, verdict, arguments, contract=contract(), origin=belongs, named=self.approval
            )  # fmt: skip

        return approve

    def _tool(
        self, name: str, function: Callable[..., Any], target: str, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Within[Act]:
        request = {"args": list(args), **kwargs}
        arguments = judged(function, args, kwargs) if self.runtime.policy is not None else None
        action = self._action(ActionKind.TOOL_CALL, name, target, request, arguments)
        attributes: dict[str, Value] = {names.GEN_AI_OPERATION: "execute_tool", names.GEN_AI_TOOL_NAME: name}
        approve = self._approve(
            action, lambda: arguments_of(function, args, kwargs), contract=lambda: contract_of(function)
        )  # fmt: skip
        about = "" if target else thing_in(args, kwargs)
        return self.acting(action, f"execute_tool {name}", attributes, request, approve, about)

    def _returned(self, act: Act, result: object) -> None:
        """Note what a tool gave."""
        act.returned(result)
        if len(self.came) < _CAME:
            self.came.add(act.result)
        act.capture(names.GEN_AI_TOOL_RESULT, result)

    def _action(
        self, kind: ActionKind, operation: str, target: str, request: object, arguments: object = None
    ) -> Action:
        return Action(
            kind=kind, agent=self.agent, operation=operation, target=target, tenant=self.runtime.config.tenant,
            workflow=self.workflow.id, trace_id=self.trace_id, lineage=self.lineage, permit=self.permit,
            request=0 if request is None else fingerprint.request_hash(operation, target, request), arguments=arguments,
        )  # fmt: skip
