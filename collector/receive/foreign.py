"""GenAI spans in other words than OpenTelemetry's: what they say is said again under the names of its conventions.

OpenInference and Traceloop's older spans name kinds, models and tokens in words of their own, and inferences from the
conventions' first years name no operation. Tables, prices and queries read the conventions' names; so these are added
beside, and nothing is replaced. Which span is which action, :mod:`fusebox.eventmap` says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from collector.receive.clean import Attributes
from fusebox import names
from fusebox.eventmap import Value, action_of, names_a_model
from fusebox.records import ActionKind

MARKS: Final = (names.OPENINFERENCE_KIND, names.TRACELOOP_KIND, names.LLM_REQUEST_TYPE)
OPERATIONS: Final = {"embedding": "embeddings", "completion": "text_completion"}
"""Of model calls that are no chat, by kind in lower case."""
_MODEL_CALL: Final = {
    names.GEN_AI_PROVIDER: (names.LLM_PROVIDER, names.LLM_SYSTEM),
    names.GEN_AI_REQUEST_MODEL: (names.LLM_MODEL,),
    names.USAGE_INPUT: (names.LLM_TOKENS_INPUT,),
    names.USAGE_OUTPUT: (names.LLM_TOKENS_OUTPUT,),
    names.USAGE_CACHE_READ: (names.LLM_TOKENS_CACHE_READ,),
    names.USAGE_CACHE_CREATION: (names.LLM_TOKENS_CACHE_CREATION,),
    names.USAGE_REASONING: (names.LLM_TOKENS_REASONING, names.USAGE_REASONING_OLD),
}
_TOOL_CALL: Final = {names.GEN_AI_TOOL_NAME: (names.TOOL_NAME, names.TRACELOOP_ENTITY)}
WORDS: Final[Mapping[ActionKind, Mapping[str, tuple[str, ...]]]] = {
    ActionKind.MODEL_CALL: _MODEL_CALL,
    ActionKind.TOOL_CALL: _TOOL_CALL,
}
"""The conventions' names, and those that say the same, the best first."""


def translate(attributes: Attributes, facts: dict[str, Value]) -> None:
    """Add to ``attributes`` and ``facts`` what such a span says; nothing to any other."""
    if names.GEN_AI_OPERATION in facts and names.USAGE_REASONING_OLD not in facts:
        return  # which is nearly always so
    said = _said(facts)
    for name, value in said.items():
        _put(attributes, name, value)
    facts |= said


def _said(facts: Mapping[str, Value]) -> dict[str, Value]:
    if names.GEN_AI_OPERATION in facts:
        older = facts.get(names.USAGE_REASONING_OLD)
        return {names.USAGE_REASONING: older} if older and names.USAGE_REASONING not in facts else {}
    if not (any(mark in facts for mark in MARKS) or names_a_model(facts)):
        return {}
    action = action_of(facts)
    if action is None or action not in WORDS:
        return {}
    said: dict[str, Value] = {names.GEN_AI_OPERATION: _operation(action, facts)}
    for name, others in WORDS[action].items():
        found = next((facts[other] for other in others if facts.get(other)), None)
        if found is not None and name not in facts:
            said[name] = found
    return said


def _operation(action: ActionKind, facts: Mapping[str, Value]) -> str:
    if action is ActionKind.TOOL_CALL:
        return "execute_tool"
    kind = str(facts.get(names.LLM_REQUEST_TYPE) or facts.get(names.OPENINFERENCE_KIND)).lower()
    return OPERATIONS.get(kind, "chat")


def _put(attributes: Attributes, name: str, value: Value) -> None:
    pair = attributes.add()
    pair.key = name
    if isinstance(value, int) and not isinstance(value, bool):
        pair.value.int_value = value
    else:
        pair.value.string_value = str(value)
