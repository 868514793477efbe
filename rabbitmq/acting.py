"""Acting: the one path every publish, model call and tool call of an agent takes.

::

    guards.enforce ─► span ─► the work itself ─► fence ─► Event ─► inline detectors ─► maybe a trip

The fence: when the agent was killed while the work ran, its result is refused (:class:`AgentKilled`), because a
thread cannot be stopped from outside. Its span stays, marked as refused: people can see that it happened, and the
detectors, who judge what an agent chose to do, leave it out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from opentelemetry.trace import Span, SpanKind

from fusebox import fingerprint, guard, names, telemetry
from fusebox.errors import Refused
from fusebox.eventmap import Value, format_lineage
from fusebox.records import Action, ActionKind, Event, Finding
from fusebox.usage import Usage, usage_of
from rabbitmq.lineage import LAPS, laps
from rabbitmq.runtime import Runtime

_KINDS: Final = {
    ActionKind.PUBLISH: SpanKind.PRODUCER,
    ActionKind.MODEL_CALL: SpanKind.CLIENT,
    ActionKind.TOOL_CALL: SpanKind.INTERNAL,
}
_MAX_CAPTURE: Final = 32_768
R = TypeVar("R")


@dataclass(slots=True)
class Act:
    """An action under way: what the caller fills in before it ends."""

    runtime: Runtime
    action: Action
    span: Span
    request: object
    result: int = 0
    usage: Usage = field(default_factory=Usage)

    def returned(self, value: object) -> None:
        """Note the result (only its fingerprint, unless content capture is on)."""
        self.result = fingerprint.result_hash(value)

    def billed(self, usage: Usage) -> None:
        """Note the tokens of an inference."""
        self.usage = usage
        self.span.set_attribute(names.USAGE_INPUT, usage.input_tokens)
        self.span.set_attribute(names.USAGE_OUTPUT, usage.output_tokens)
        if usage.cache_read or usage.cache_creation:
            self.span.set_attribute(names.USAGE_CACHE_READ, usage.cache_read)
            self.span.set_attribute(names.USAGE_CACHE_CREATION, usage.cache_creation)
        if usage.reasoning:
            self.span.set_attribute(names.USAGE_REASONING, usage.reasoning)

    def capture(self, name: str, value: object) -> None:
        """Record content on the span, if the operator asked for it."""
        if self.runtime.capture_content:
            self.span.set_attribute(name, fingerprint.text_of(value)[:_MAX_CAPTURE])


@contextmanager
def acting(
    runtime: Runtime, action: Action, span_name: str, attributes: dict[str, Value], request: object
) -> Iterator[Act]:
    """Guard, trace, fence and judge one action.

    Raises:
        Refused: a guard said no, before the work or (kill) after it; nothing of the result may be used.
    """
    _admit(runtime, action)
    started = runtime.clock.now()
    with runtime.telemetry.span(span_name, _KINDS[action.kind], {**attributes, **_own(action)}) as span:
        act = Act(runtime, action, span, request)
        try:
            yield act
            runtime.fence(action)
        except BaseException as error:
            act.result = act.result or fingerprint.error_hash(error)
            if not isinstance(error, Refused):
                _judge(act, started, error)
            raise
        _judge(act, started, None)


def _admit(runtime: Runtime, action: Action) -> None:
    try:
        runtime.guards.enforce(action)
    except Refused as refused:
        runtime.denied(action, refused.verdict)
        if refused.verdict.guard == guard.LINEAGE:
            runtime.found(_ring(action, refused.verdict.reason, runtime.clock.now()))
        raise


def _ring(action: Action, reason: str, now: float) -> Finding:
    return Finding(
        agent=action.agent, detector="lineage", time=now, reason=reason, action="open", score=float(laps(action)),
        threshold=float(LAPS), repeated=f"publish {action.operation}", trace_id=action.trace_id,
        tenant=action.tenant, first_time=now,
    )  # fmt: skip


def _own(action: Action) -> dict[str, Value]:
    own: dict[str, Value] = {
        names.GEN_AI_AGENT_ID: action.agent,
        names.TENANT: action.tenant,
        names.ACTION: action.kind.value,
        names.OPERATION: action.operation,
        names.REQUEST_HASH: f"{action.request:016x}" if action.request else "",
        names.TARGET: action.target,
        names.WORKFLOW: action.workflow,
        names.LINEAGE: format_lineage(action.lineage),
    }
    return {name: value for name, value in own.items() if value}


def _judge(act: Act, started: float, error: BaseException | None) -> None:
    action, now = act.action, act.runtime.clock.now()
    similar = fingerprint.simhash(fingerprint.text_of(act.request)) if act.request is not None else 0
    if similar:
        act.span.set_attribute(names.REQUEST_SIMHASH, f"{similar:016x}")
    if act.result:
        act.span.set_attribute(names.RESULT_HASH, f"{act.result:016x}")
    trace_id, span_id = telemetry.ids(act.span)
    act.runtime.observe(
        Event(
            time=now, agent=action.agent, action=action.kind, operation=action.operation, target=action.target,
            tenant=action.tenant, workflow=action.workflow, request=action.request, simhash=similar,
            result=act.result, ok=error is None, error_type=type(error).__qualname__ if error else "",
            input_tokens=act.usage.input_tokens, output_tokens=act.usage.output_tokens,
            duration=max(0.0, now - started), trace_id=trace_id, span_id=span_id, lineage=action.lineage,
        )
    )  # fmt: skip


class ModelCall:
    """The handle inside ``with ctx.model_call(…) as call``."""

    def __init__(self, act: Act) -> None:
        self._act = act

    def record(self, response: R) -> R:
        """Note a provider's response (tokens, ids, result) and hand it back unchanged."""
        usage = usage_of(response)
        if usage:
            self._act.billed(usage)
        text = answer_text(response)
        self._act.returned(text)
        self._act.capture(names.GEN_AI_OUTPUT_MESSAGES, [{"role": "assistant", "content": text}])
        for attribute, value in ((names.GEN_AI_RESPONSE_ID, "id"), (names.GEN_AI_RESPONSE_MODEL, "model")):
            found = _field(response, value)
            if isinstance(found, str):
                self._act.span.set_attribute(attribute, found)
        return response

    def usage(self, usage: Usage) -> None:
        """Note tokens that a client counted itself, for instance from the last chunk of a stream."""
        self._act.billed(usage)


def answer_text(response: object) -> str:
    """The text of a provider's answer (OpenAI chat, OpenAI responses, Anthropic), or its JSON."""
    choices = _field(response, "choices")
    if choices:
        message = _field(choices[0], "message")
        return str(_field(message, "content") or json.dumps(_plain(_field(message, "tool_calls")), default=str))
    return str(_field(response, "output_text") or fingerprint.text_of(_field(response, "content") or response))


def _field(value: object, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else getattr(value, name, None)


def _plain(value: Any) -> Any:
    return [_plain(v) for v in value] if isinstance(value, list) else getattr(value, "model_dump", lambda: value)()
