"""The walk over the graph of causes: back from an effect, or forward from a cause, a level of spans at a time.

A span's causes are its parent and what its links point to (so the walk crosses queues); its effects are the spans
below it and those that link to it. Of a model call the effects are also what its handler did after it: the answer was
known by then. Each span is visited once, so rings end; a walk ends at :data:`MAX_STEPS` spans, or :data:`MAX_LEVELS`
levels of them, and says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from clickhouse_connect.driver.client import Client

from collector import queries
from collector.why.model import Direction, Place, Row
from fusebox import names

MAX_STEPS: Final = 500
MAX_LEVELS: Final = 100
_SHOWN: Final = 5

Neighbours = Callable[["Walk", list[Row]], Iterator[tuple[Row, Place]]]
"""The spans next to those of a level, each with the place it is next to."""


@dataclass(slots=True)
class Walk:
    """Spans in the order they were found, each with the place it was found from."""

    client: Client
    rows: dict[Place, tuple[Row, Place]] = field(default_factory=dict)
    missing: list[Place] = field(default_factory=list)
    cut: bool = False
    has_begin: bool = False
    """True when a span without any cause was met."""

    def go(self, start: Row, neighbours: Neighbours) -> None:
        """Visit everything that can be reached."""
        self.rows[place(start)] = (start, "")
        level = [start]
        for _ in range(MAX_LEVELS):
            level = [row for row, origin in neighbours(self, level) if self._enter(row, origin)]
            if not level or self.cut:
                return
        self.cut = True

    def _enter(self, row: Row, origin: Place) -> bool:
        if place(row) in self.rows:
            return False
        self.cut = self.cut or len(self.rows) >= MAX_STEPS
        if not self.cut:
            self.rows[place(row)] = (row, origin)
        return not self.cut

    def gaps(self) -> Iterator[str]:
        """What the walk did not see, in sentences."""
        if self.missing:
            more = f" and {len(self.missing) - _SHOWN} more" if len(self.missing) > _SHOWN else ""
            yield f"what came before is not stored: {', '.join(self.missing[:_SHOWN])}{more}"
        if self.cut:
            yield f"it goes on: only {MAX_STEPS} spans, and {MAX_LEVELS} levels of them, are followed"
        if not self.has_begin and not self.missing and not self.cut:
            yield "it has no beginning: these spans go round in a ring"


def follow(client: Client, start: Row, direction: Direction) -> Walk:
    """All that led to ``start``, or all that followed from it.

    Raises:
        KeepUnavailable: the database does not answer.
    """
    found = Walk(client, has_begin=direction is Direction.FORWARD)
    found.go(start, _back if direction is Direction.BACK else _forward)
    return found


def place(row: Row) -> Place:
    """Where a span is."""
    return f"{row['trace_id']}:{row['span_id']}"


def is_inference(row: Row) -> bool:
    """True for a model call."""
    return row["attributes"].get(names.GEN_AI_OPERATION) in names.INFERENCE_OPERATIONS


def _back(found: Walk, level: list[Row]) -> Iterator[tuple[Row, Place]]:
    wanted: dict[Place, Place] = {}
    for row in level:
        causes = list(_causes(row))
        found.has_begin = found.has_begin or not causes
        for cause in causes:
            wanted.setdefault(cause, place(row))
    unknown = [cause for cause in wanted if cause not in found.rows]
    stored = {place(row): row for row in _ask(found.client, "spans_at", unknown)}
    found.missing += [cause for cause in unknown if cause not in stored]
    for cause, origin in wanted.items():
        if cause in stored:
            yield stored[cause], origin


def _causes(row: Row) -> Iterator[Place]:
    if row["parent_id"]:
        yield f"{row['trace_id']}:{row['parent_id']}"
    for trace_id, span_id in row["links"]:
        yield f"{trace_id}:{span_id}"


def _forward(found: Walk, level: list[Row]) -> Iterator[tuple[Row, Place]]:
    places = [place(row) for row in level]
    for row in _ask(found.client, "spans_below", places, limit=MAX_STEPS + 1):
        yield row, f"{row['trace_id']}:{row['parent_id']}"
    for row in _ask(found.client, "spans_linking", places, limit=MAX_STEPS + 1):
        yield row, next(cause for cause in _causes(row) if cause in places)
    start = level[0]
    if len(found.rows) == 1 and is_inference(start) and start["parent_id"]:
        yield from ((row, place(start)) for row in _later(found.client, start))


def _later(client: Client, call: Row) -> Iterator[dict[str, Any]]:
    """What the handler of a model call did once it had the answer."""
    ended = call["start"] + call["duration_s"]
    for row in _ask(client, "spans_below", [f"{call['trace_id']}:{call['parent_id']}"]):
        if row["start"] >= ended and place(row) != place(call):
            yield row


def _ask(client: Client, query: str, places: Iterable[Place], **more: int) -> list[dict[str, Any]]:
    spans = list(places)
    return queries.run(client, query, spans=spans, **more) if spans else []
