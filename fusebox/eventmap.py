"""From a span's attributes to an Event: the one place that says which span is which fact.

The same reading serves the live detectors and (spelled in SQL by the collector's schema) the tables, and accepts both
our own spans and those of any GenAI instrumentation, old attribute names included.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from fusebox import names
from fusebox.fingerprint import error_hash, exact_hash, is_waiting, literal_hash, request_hash, result_hash
from fusebox.genai import CONTENT, OLDER, asked, got
from fusebox.genai import Value as Value
from fusebox.records import ActionKind, Event, Hop, Lineage
from fusebox.registry import AGENT_ID
from fusebox.simhash import Likeness

_MESSAGING = {"send": ActionKind.PUBLISH, "publish": ActionKind.PUBLISH, "process": ActionKind.CONSUME}
_ACTIONS = {kind.value: kind for kind in ActionKind}
_MAX_HOPS = 64
_MASK: Final = (1 << 64) - 1
_HOP = re.compile(rf"({AGENT_ID.pattern})/([0-9a-f]{{16}})")

_OPERATION: Final = (
    names.OPERATION, names.GEN_AI_TOOL_NAME, names.TOOL_NAME, names.TRACELOOP_ENTITY, names.GEN_AI_REQUEST_MODEL,
    names.LLM_MODEL, names.GEN_AI_RESPONSE_MODEL, names.MESSAGING_DESTINATION, names.GEN_AI_OPERATION,
)  # fmt: skip
"""What an action's operation is taken from: the first of these that says something."""
KINDS: Final = {"tool": ActionKind.TOOL_CALL, "llm": ActionKind.MODEL_CALL, "embedding": ActionKind.MODEL_CALL}
"""What OpenInference and Traceloop call their spans, in lower case."""

READ: Final = (
    names.ACTION, names.COST_USD, names.ERROR_TYPE, names.GEN_AI_AGENT_ID, names.GEN_AI_AGENT_NAME,
    names.GEN_AI_CONVERSATION, names.GEN_AI_INPUT_MESSAGES, names.GEN_AI_OPERATION, names.GEN_AI_OUTPUT_MESSAGES,
    names.GEN_AI_REQUEST_MODEL, names.GEN_AI_RESPONSE_MODEL, names.GEN_AI_TOOL_ARGUMENTS, names.GEN_AI_TOOL_NAME,
    names.GEN_AI_TOOL_RESULT, names.LINEAGE, names.MESSAGING_DESTINATION, names.MESSAGING_OPERATION_TYPE,
    names.OPERATION, names.REQUEST_HASH, names.REQUEST_SIMHASH, names.RESULT_HASH, names.TARGET, names.TENANT,
    names.USAGE_INPUT, names.USAGE_INPUT_OLD, names.USAGE_OUTPUT, names.USAGE_OUTPUT_OLD, names.WORKFLOW,
    names.REQUEST_EXACT, names.RESULT_EXACT, names.RESULT_WAITING, names.OPENINFERENCE_KIND, names.TRACELOOP_KIND,
    names.TRACELOOP_ENTITY, names.TOOL_NAME, names.LLM_MODEL, names.LLM_REQUEST_TYPE, names.LLM_TOKENS_INPUT,
    names.LLM_TOKENS_OUTPUT, names.DELEGATED, names.SUPERSEDED, names.GEN_AI_PROVIDER, names.GEN_AI_SYSTEM_OLD,
    names.RESENT, *OLDER,
)  # fmt: skip
"""Every attribute that is read here, beside those that begin with one of :data:`fusebox.genai.INDEXED`: who reads spans
for this file may leave out all others."""


@dataclass(slots=True)  # not frozen: that doubles the cost of making one, and one is made for every span
class SpanFacts:
    """What an Event is taken from: the parts of a span that matter, whatever library read it."""

    trace_id: str
    span_id: str
    parent_id: str
    start: float
    end: float
    failed: bool
    service: str
    attributes: Mapping[str, Value] = field(default_factory=dict)
    emitter: str = ""
    """Who numbers the spans: its principal and ``service.instance.id``; empty where nobody does."""
    message: str = ""
    """What the span's status says about a failure."""


def agent_of(attributes: Mapping[str, Value], service: str) -> str:
    """The agent a span speaks for: agent id, else agent name, else the service's name."""
    return str(attributes.get(names.GEN_AI_AGENT_ID) or attributes.get(names.GEN_AI_AGENT_NAME) or service)


def action_of(attributes: Mapping[str, Value]) -> ActionKind | None:
    """Which of the four actions a span is; None when it is none of them."""
    own = _ACTIONS.get(str(attributes.get(names.ACTION)))
    if own:
        return own
    operation = attributes.get(names.GEN_AI_OPERATION)
    if operation in names.INFERENCE_OPERATIONS:
        return ActionKind.MODEL_CALL
    if operation == "execute_tool":
        return ActionKind.TOOL_CALL
    if attributes.get(names.LLM_REQUEST_TYPE):
        return ActionKind.MODEL_CALL
    kind = attributes.get(names.OPENINFERENCE_KIND) or attributes.get(names.TRACELOOP_KIND)
    if kind:
        return KINDS.get(str(kind).lower())
    if not operation and names_a_model(attributes):
        return ActionKind.MODEL_CALL
    return _MESSAGING.get(str(attributes.get(names.MESSAGING_OPERATION_TYPE)))


def names_a_model(attributes: Mapping[str, Value]) -> bool:
    """True when a span says which model it asks and whose: where it names no operation, it is from the conventions'
    first years (or from Vercel's AI SDK, LiteLLM and others that follow those), when inferences were all they knew.
    """
    said = attributes.get
    whose = said(names.GEN_AI_PROVIDER) or said(names.GEN_AI_SYSTEM_OLD)
    return bool(whose and said(names.GEN_AI_REQUEST_MODEL) and not said(names.GEN_AI_TOOL_NAME))


_YES: Final = (True, "true")


def told_elsewhere(span: SpanFacts) -> bool:
    """True for a call that another span tells, too: the gateway's own of it, or the attempt that followed this one."""
    a = span.attributes
    return a.get(names.DELEGATED) in _YES or a.get(names.SUPERSEDED) in _YES


def event_of(span: SpanFacts) -> Event | None:
    """The Event a span reports, or None when the span is no action of an agent."""
    a = span.attributes
    action = action_of(a)
    if action is None:
        return None
    said, operation, target, failed = a.get, _operation(a), str(a.get(names.TARGET, "")), span.failed
    request, result = ("", "") if CONTENT.isdisjoint(a) else (asked(a), got(a))
    outcome, known = result or span.message, _hex(said(names.RESULT_HASH))
    return Event(  # by place: two dozen names, looked up for every span, cost more than all that is read here
        span.end,
        agent_of(a, span.service),
        action,
        operation,
        target,
        str(said(names.TENANT, "default")),
        str(said(names.WORKFLOW) or said(names.GEN_AI_CONVERSATION) or ""),
        _hex(said(names.REQUEST_HASH)) or (request_hash(operation, target, request) if request else 0),
        _hex(said(names.REQUEST_EXACT)) or (literal_hash(request) if request else 0),
        _hex(said(names.REQUEST_SIMHASH)) or _likeness(action, request),
        known or _result(span, result),
        _hex(said(names.RESULT_EXACT)) or (exact_hash(outcome) if outcome else 0),
        bool(said(names.RESULT_WAITING)) or (not known and not failed and is_waiting(result)),
        not failed,
        str(said(names.ERROR_TYPE, "")),
        _count(a, names.USAGE_INPUT, names.USAGE_INPUT_OLD, names.LLM_TOKENS_INPUT),
        _count(a, names.USAGE_OUTPUT, names.USAGE_OUTPUT_OLD, names.LLM_TOKENS_OUTPUT),
        _float(said(names.COST_USD)),
        max(0.0, span.end - span.start),
        span.trace_id,
        span.span_id,
        span.parent_id,
        parse_lineage(str(said(names.LINEAGE, ""))) or (),
        names.COST_USD in a,
        _count(a, names.RESENT),
    )


def _likeness(action: ActionKind, request: str) -> int | Likeness:
    """What a model is asked is never told by likeness: prompts share their instructions, and are long."""
    return Likeness(request) if request and action is not ActionKind.MODEL_CALL else 0


def format_lineage(lineage: Lineage) -> str:
    """``agent/0123456789abcdef,…``, oldest hop first."""
    return ",".join(f"{hop.agent}/{hop.request:016x}" for hop in lineage)


def parse_lineage(text: str) -> Lineage | None:
    """Read what :func:`format_lineage` wrote; None when it is malformed or longer than 64 hops."""
    if not text:
        return ()
    if len(text) > _MAX_HOPS * 160:
        return None
    hops = [_HOP.fullmatch(part) for part in text.split(",", _MAX_HOPS)]
    if len(hops) > _MAX_HOPS:
        return None
    parsed = tuple(Hop(hop[1], int(hop[2], 16)) for hop in hops if hop)
    return parsed if len(parsed) == len(hops) else None


def _operation(a: Mapping[str, Value]) -> str:
    for name in _OPERATION:
        value = a.get(name)
        if value:
            return str(value)
    return ""


def _result(span: SpanFacts, result: str) -> int:
    """Hash of a result that came without one; of a failure that told nothing else, its signature."""
    if span.failed:
        told = result or span.message
        kind = str(span.attributes.get(names.ERROR_TYPE, ""))
        return error_hash(kind, told) if told or kind else 0
    return result_hash(result) if result else 0


def _count(a: Mapping[str, Value], *candidates: str) -> int:
    """The first attribute that holds a sane token count other than 0; spans are other people's data."""
    for name in candidates:
        value = a.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1 << 53:
            return value
    return 0


def _float(value: Value | None) -> float:
    if not value:
        return 0.0
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return 0.0
    return number if 0 < number < math.inf else 0.0


def _hex(value: Value | None) -> int:
    if not value:
        return 0
    try:
        return int(str(value), 16) & _MASK
    except ValueError:
        return 0
