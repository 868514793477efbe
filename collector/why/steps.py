"""The steps of an answer, made of the spans that a walk found."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from clickhouse_connect.driver.client import Client

from collector import queries
from collector.why.model import Direction, ModelCall, Place, Row, Step
from collector.why.rulings import Said, agent_of
from collector.why.text import message_text
from collector.why.walk import Walk, is_inference, place
from fusebox import names

Calls = dict[Place, list[dict[str, Any]]]


def steps(client: Client, found: Walk, direction: Direction, said: Said) -> tuple[Step, ...]:
    """Every span of the walk as a step.

    On the way back a step has the model calls below it that had begun when the step it led to began; on the way
    forward model calls are steps themselves.
    """
    below = _below(client, found) if direction is Direction.BACK else {}
    return tuple(
        _step(row, next_to, below, said, before=_before(found, row, next_to, direction))
        for row, next_to in found.rows.values()
    )


def _before(found: Walk, row: Row, next_to: Place, direction: Direction) -> float:
    """When the effect of a step began."""
    effect = found.rows[next_to][0] if next_to and direction is Direction.BACK else row
    return float(effect["start"])


def _below(client: Client, found: Walk) -> Calls:
    calls: Calls = defaultdict(list)
    for row in queries.run(client, "spans_below", spans=list(found.rows)):
        if is_inference(row):
            calls[f"{row['trace_id']}:{row['parent_id']}"].append(row)
    return calls


def _step(row: Row, next_to: Place, below: Calls, said: Said, *, before: float) -> Step:
    attributes, here = row["attributes"], place(row)
    return Step(
        name=row["name"],
        agent=agent_of(row),
        kind=row["kind"],
        start=row["start"],
        trace_id=row["trace_id"],
        span_id=row["span_id"],
        detail=attributes.get(names.GEN_AI_TOOL_ARGUMENTS) or attributes.get(names.MESSAGING_MESSAGE_ID, ""),
        target=attributes.get(names.TARGET, ""),
        failed=row["status"] in ("Error", "STATUS_CODE_ERROR"),
        next_to=next_to,
        model_calls=tuple(_model_calls([row, *below.get(here, ())], before)),
        rulings=tuple(said.get(here, ())),
    )


def _model_calls(rows: Iterable[Row], before: float) -> Iterator[ModelCall]:
    for row in rows:
        attributes = row["attributes"]
        if is_inference(row) and row["start"] <= before:
            yield ModelCall(
                attributes.get(names.GEN_AI_RESPONSE_MODEL) or attributes.get(names.GEN_AI_REQUEST_MODEL, ""),
                row["span_id"],
                message_text(attributes.get(names.GEN_AI_INPUT_MESSAGES, "")),
                message_text(attributes.get(names.GEN_AI_OUTPUT_MESSAGES, "")),
            )
