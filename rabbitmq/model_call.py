"""ModelCall: the handle inside ``with ctx.model_call(…) as call``, and what an answer of a provider says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from fusebox import fingerprint, guard, names
from fusebox.errors import AgentKilled, AgentTripped
from fusebox.records import Action
from fusebox.usage import Usage, field_of, usage_of
from rabbitmq import tracing
from rabbitmq.act import Act

R = TypeVar("R")
TRIPPED: Final = "agent_tripped"
"""The gateway's code for a stopped agent."""

_TOLD: Final = (
    (names.GEN_AI_RESPONSE_ID, "id"), (names.GEN_AI_RESPONSE_MODEL, "model"), (names.SERVICE_TIER, "service_tier")
)  # fmt: skip


class ModelCall:
    """What the caller knows of an inference."""

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
        for attribute, value in _TOLD:
            found = field_of(response, value)
            if isinstance(found, str):
                self._act.span.set_attribute(attribute, found)
        return response

    def through_gateway(self) -> dict[str, str]:
        """Headers for a call that goes through the gateway, which then counts it: its span joins this trace.

        ::

            client.chat.completions.create(…, extra_headers=call.through_gateway())
        """
        self._act.span.set_attribute(names.DELEGATED, True)
        trace = tracing.headers_of(self._act.span.get_span_context())
        return {name: str(value) for name, value in trace.items()} | {names.HTTP_WORKFLOW: self._act.action.workflow}

    def usage(self, usage: Usage) -> None:
        """Note tokens that a client counted itself, for instance from the last chunk of a stream."""
        self._act.billed(usage)

    def cut(self) -> None:
        """Note that a stream was left before its end: the ledger counts what it used as wasted."""
        self._act.span.set_attribute(names.CUT, True)


@contextmanager
def asking(act: Act, messages: object) -> Iterator[None]:
    """While the provider is asked: a refusal of the gateway is raised in our own words."""
    if messages is not None:
        act.capture(names.GEN_AI_INPUT_MESSAGES, messages)
    try:
        yield
    except Exception as error:
        refused = _refused_by_gateway(error, act.action)
        if refused is None:
            raise
        raise refused from error


def _refused_by_gateway(error: Exception, action: Action) -> AgentTripped | None:
    """The gateway's 403 ``agent_tripped``, as a client library raises it, in our own words: the message is then held.

    Libraries keep the body of an error as ``body``; OpenAI's unwraps it, Anthropic's does not.
    """
    body = getattr(error, "body", None)
    told = body.get("error", body) if isinstance(body, dict) else None
    if not isinstance(told, dict) or told.get("code") != TRIPPED:
        return None
    finding, reason = str(told.get("finding") or ""), str(told.get("message") or "")
    if told.get("guard") == guard.LATCH:
        return AgentKilled(action, guard.deny(guard.LATCH, reason, finding=finding))
    return AgentTripped(action, guard.deny(guard.CIRCUIT, reason, finding=finding))


def answer_text(response: object) -> str:
    """The text of a provider's answer (OpenAI chat, OpenAI responses, Anthropic), or its JSON."""
    choices = field_of(response, "choices")
    if choices:
        message = field_of(choices[0], "message")
        return str(field_of(message, "content") or json.dumps(_plain(field_of(message, "tool_calls")), default=str))
    return str(field_of(response, "output_text") or fingerprint.text_of(field_of(response, "content") or response))


def _plain(value: Any) -> Any:
    return [_plain(v) for v in value] if isinstance(value, list) else getattr(value, "model_dump", lambda: value)()
