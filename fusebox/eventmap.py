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
from fusebox.fingerprint import request_hash, result_hash, simhash
from fusebox.records import ActionKind, Event, Hop, Lineage
from fusebox.registry import AGENT_ID

_MESSAGING = {"send": ActionKind.PUBLISH, "publish": ActionKind.PUBLISH, "process": ActionKind.CONSUME}
_ACTIONS = {kind.value: kind for kind in ActionKind}
_MAX_HOPS = 64
_HOP = re.compile(rf"({AGENT_ID.pattern})/([0-9a-f]{{16}})")

Value = str | int | float | bool

READ: Final = (
    names.ACTION, names.COST_USD, names.ERROR_TYPE, names.GEN_AI_AGENT_ID, names.GEN_AI_AGENT_NAME,
    names.GEN_AI_CONVERSATION, names.GEN_AI_INPUT_MESSAGES, names.GEN_AI_OPERATION, names.GEN_AI_OUTPUT_MESSAGES,
    names.GEN_AI_REQUEST_MODEL, names.GEN_AI_TOOL_ARGUMENTS, names.GEN_AI_TOOL_NAME, names.GEN_AI_TOOL_RESULT,
    names.LINEAGE, names.MESSAGING_DESTINATION, names.MESSAGING_OPERATION_TYPE, names.OPERATION, names.REQUEST_HASH,
    names.REQUEST_SIMHASH, names.RESULT_HASH, names.TARGET, names.TENANT, names.USAGE_INPUT, names.USAGE_INPUT_OLD,
    names.USAGE_OUTPUT, names.USAGE_OUTPUT_OLD, names.WORKFLOW,
)  # fmt: skip
"""Every attribute that is read here: who reads spans for this file may leave out all others."""


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
    instance: str = ""
    """Who numbers the spans (``service.instance.id``)."""


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
    return _MESSAGING.get(str(attributes.get(names.MESSAGING_OPERATION_TYPE)))


def event_of(span: SpanFacts) -> Event | None:
    """The Event a span reports, or None when the span is no action of an agent."""
    a = span.attributes
    action = action_of(a)
    if action is None:
        return None
    operation, target = _operation(a), str(a.get(names.TARGET, ""))
    request = _text(a, names.GEN_AI_TOOL_ARGUMENTS, names.GEN_AI_INPUT_MESSAGES)
    result = _text(a, names.GEN_AI_TOOL_RESULT, names.GEN_AI_OUTPUT_MESSAGES)
    return Event(
        time=span.end,
        agent=agent_of(a, span.service),
        action=action,
        operation=operation,
        target=target,
        tenant=str(a.get(names.TENANT, "default")),
        workflow=str(a.get(names.WORKFLOW) or a.get(names.GEN_AI_CONVERSATION) or ""),
        request=_hex(a.get(names.REQUEST_HASH)) or (request_hash(operation, target, request) if request else 0),
        simhash=_hex(a.get(names.REQUEST_SIMHASH)) or _likeness(action, request),
        result=_hex(a.get(names.RESULT_HASH)) or (result_hash(result) if result else 0),
        ok=not span.failed,
        error_type=str(a.get(names.ERROR_TYPE, "")),
        input_tokens=_count(a, names.USAGE_INPUT, names.USAGE_INPUT_OLD),
        output_tokens=_count(a, names.USAGE_OUTPUT, names.USAGE_OUTPUT_OLD),
        cost=_float(a.get(names.COST_USD)),
        duration=max(0.0, span.end - span.start),
        trace_id=span.trace_id,
        span_id=span.span_id,
        parent_id=span.parent_id,
        lineage=parse_lineage(str(a.get(names.LINEAGE, ""))) or (),
    )


def _likeness(action: ActionKind, request: str) -> int:
    """What a model is asked is never told by likeness: prompts share their instructions, and are long."""
    return simhash(request) if request and action is not ActionKind.MODEL_CALL else 0


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
    named = _text(a, names.OPERATION, names.GEN_AI_TOOL_NAME, names.GEN_AI_REQUEST_MODEL, names.MESSAGING_DESTINATION)
    return named or str(a.get(names.GEN_AI_OPERATION, ""))


def _text(a: Mapping[str, Value], *candidates: str) -> str:
    for name in candidates:
        value = a.get(name)
        if value:
            return str(value)
    return ""


def _count(a: Mapping[str, Value], *candidates: str) -> int:
    """The first attribute that holds a sane token count; spans are other people's data."""
    for name in candidates:
        value = a.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 53:
            return value
    return 0


def _float(value: Value | None) -> float:
    try:
        number = float(value or 0)
    except (ValueError, OverflowError):
        return 0.0
    return number if 0 < number < math.inf else 0.0


def _hex(value: Value | None) -> int:
    try:
        return int(str(value), 16) & (1 << 64) - 1 if value else 0
    except ValueError:
        return 0
