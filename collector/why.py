"""Why something happened: from an effect back to the prompts and messages that led to it.

From the span of an effect (a tool call, a publish) the walk goes up: parents within a handler, and where a handler
began, over the message's link to the span that published it, into the handler before. At each level the model calls
that had finished by then are what the agent had been told and what it answered.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from clickhouse_connect.driver.client import Client

from collector import queries
from fusebox import names
from fusebox.errors import FuseboxError

MAX_STEPS: Final = 100
_TRACE: Final = re.compile(r"[0-9a-f]{32}")
_SPAN: Final = re.compile(r"(?:([0-9a-f]{32}):)?([0-9a-f]{16})")
"""Alerts and findings name a span ``trace:span``."""


class NotFound(FuseboxError):
    """No stored span has this id."""


@dataclass(frozen=True, slots=True)
class ModelCall:
    """A model call that came before an effect. Texts are empty unless content capture is on."""

    model: str
    span_id: str
    prompt: str
    answer: str


@dataclass(frozen=True, slots=True)
class Step:
    """One span on the way back."""

    name: str
    agent: str
    kind: str
    start: float
    trace_id: str
    span_id: str
    detail: str
    """Arguments of a tool call, or the id of a message."""
    failed: bool
    model_calls: tuple[ModelCall, ...] = ()


@dataclass(frozen=True, slots=True)
class Why:
    """The way back from an effect, which is the first step."""

    asked: str
    steps: tuple[Step, ...]
    complete: bool
    """False when the walk ended before an origin: too long, or a span is not stored (yet)."""

    @property
    def cause(self) -> ModelCall | None:
        """The nearest model call: the prompt that caused the effect."""
        return next((call for step in self.steps for call in reversed(step.model_calls)), None)

    def json(self) -> dict[str, Any]:
        """Plain data."""
        return {**asdict(self), "cause": asdict(self.cause) if self.cause else None}


Row = Mapping[str, Any]


def explain(client: Client, id: str) -> Why:
    """Why the span, the trace's last tool call, or the message with this id happened.

    Raises:
        NotFound: nothing stored has the id.
        KeepUnavailable: the database does not answer.
    """
    effect = _find(client, id.strip().lower()) or _message(client, id.strip())
    if effect is None:
        raise NotFound(f"no span, trace or message {id!r} is stored; spans appear about a second after they end")
    rows = _walk(client, effect)
    starts = [effect["start"], *(row["start"] for row in rows)]
    steps = tuple(_step(client, row, before) for row, before in zip(rows, starts, strict=False))
    return Why(id, steps, complete=not (rows[-1]["parent_id"] or rows[-1]["links"]))


def _walk(client: Client, effect: Row) -> list[Row]:
    """The spans from the effect to the origin."""
    rows, seen = [effect], {effect["span_id"]}
    while len(rows) < MAX_STEPS and (row := _origin(client, rows[-1])) and row["span_id"] not in seen:
        seen.add(row["span_id"])
        rows.append(row)
    return rows


def _find(client: Client, id: str) -> Row | None:
    if span := _SPAN.fullmatch(id):
        trace_id, span_id = span.groups()
        if trace_id:
            return _first(queries.run(client, "span", span_id=span_id, trace_id=trace_id))
        return _first(queries.run(client, "span_of_any_trace", span_id=span_id))
    if _TRACE.fullmatch(id):
        event = _first(queries.run(client, "last_call_in_trace", trace_id=id))
        return _first(queries.run(client, "span", span_id=event["span_id"], trace_id=id)) if event else None
    return None


def _message(client: Client, id: str) -> Row | None:
    return _first(queries.run(client, "message_spans", message_id=id))


def _origin(client: Client, row: Row) -> Row | None:
    """The span one step further back: the parent, else the first that a link points to."""
    if row["parent_id"]:
        parent = _first(queries.run(client, "span", span_id=row["parent_id"], trace_id=row["trace_id"]))
        if parent:
            return parent
    linked = (_first(queries.run(client, "span", trace_id=trace, span_id=span)) for trace, span in row["links"])
    return next(filter(None, linked), None)


def _step(client: Client, row: Row, before: float) -> Step:
    attributes = row["attributes"]
    calls = queries.run(client, "span_children", trace_id=row["trace_id"], span_id=row["span_id"])
    return Step(
        name=row["name"],
        agent=attributes.get(names.GEN_AI_AGENT_ID) or row["service"],
        kind=row["kind"],
        start=row["start"],
        trace_id=row["trace_id"],
        span_id=row["span_id"],
        detail=attributes.get(names.GEN_AI_TOOL_ARGUMENTS) or attributes.get(names.MESSAGING_MESSAGE_ID, ""),
        failed=row["status"] in ("Error", "STATUS_CODE_ERROR"),
        model_calls=tuple(_model_calls([row, *calls], before)),
    )


def _model_calls(rows: list[Row], before: float) -> Iterator[ModelCall]:
    for row in rows:
        attributes = row["attributes"]
        inference = attributes.get(names.GEN_AI_OPERATION) in names.INFERENCE_OPERATIONS
        if inference and row["start"] <= before:
            yield ModelCall(
                attributes.get(names.GEN_AI_RESPONSE_MODEL) or attributes.get(names.GEN_AI_REQUEST_MODEL, ""),
                row["span_id"],
                message_text(attributes.get(names.GEN_AI_INPUT_MESSAGES, "")),
                message_text(attributes.get(names.GEN_AI_OUTPUT_MESSAGES, "")),
            )


def message_text(captured: str) -> str:
    """Captured messages (JSON, in the conventions' or the providers' shape) as lines ``role: text``."""
    try:
        messages = json.loads(captured) if captured else []
    except ValueError:
        return captured
    messages = messages if isinstance(messages, list) else [messages]
    return "\n".join(_line(message) for message in messages)


def _line(message: Any) -> str:
    if not isinstance(message, dict):
        return str(message)
    parts = message.get("parts") or message.get("content") or ""
    texts = parts if isinstance(parts, list) else [parts]
    return f"{message.get('role', 'assistant')}: {' '.join(_part(text) for text in texts)}"


def _part(part: Any) -> str:
    if isinstance(part, dict):
        return str(part.get("content") or part.get("text") or json.dumps(part, ensure_ascii=False))
    return str(part)


def _first(rows: list[dict[str, Any]]) -> Row | None:
    return rows[0] if rows else None
