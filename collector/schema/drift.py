"""Drift: how a database differs from what this release would build, named object by object and line by line.

``fusebox_schema_shapes`` holds the definition of each of our tables and views as the engine showed it right after it
was built (append-only; the newest row of a name counts). What a person altered since then is a difference to that.
While we alter them ourselves the notes are empty: a start that dies then leaves nothing that looks like a person's.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Final

from clickhouse_connect.driver.client import Client

from collector import schema

CHANGED: Final = "changed"
_SHAPES: Final = """
CREATE TABLE IF NOT EXISTS fusebox_schema_shapes (`name` String, `definition` String, `recorded` DateTime64(6))
ENGINE = MergeTree ORDER BY (`name`, `recorded`) SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
"""
_CREATED: Final = re.compile(r"^CREATE (?:TABLE|VIEW|MATERIALIZED VIEW) IF NOT EXISTS (\w+)", re.MULTILINE)
_NOW: Final = """
SELECT name, create_table_query FROM system.tables WHERE database = currentDatabase() AND create_table_query != ''
"""
_THEN: Final = "SELECT name, argMax(definition, recorded) FROM fusebox_schema_shapes GROUP BY name"
_PIECE: Final = re.compile(
    r",(?![^(]*\)) |(?<=\)) (?=ENGINE|PARTITION|ORDER|TTL|SETTINGS|AS )|(?<=\S) (?=TTL |SETTINGS |FROM )"
)
EXPORTER: Final = (
    "Timestamp", "TraceId", "SpanId", "ParentSpanId", "TraceState", "SpanName", "SpanKind", "ServiceName",
    "ResourceAttributes", "ScopeName", "ScopeVersion", "SpanAttributes", "Duration", "StatusCode", "StatusMessage",
    "Events.Timestamp", "Events.Name", "Events.Attributes", "Links.TraceId", "Links.SpanId", "Links.TraceState",
    "Links.Attributes",
)  # fmt: skip
"""Columns of the OpenTelemetry Collector's exporter, in its order."""
_TYPES: Final[Mapping[str, tuple[str, ...]]] = {
    "Timestamp": ("DateTime64(9",), "Duration": ("UInt64", "Int64"), "Events.Timestamp": ("Array(DateTime64(9",),
    "SpanAttributes": ("Map(",), "ResourceAttributes": ("Map(",), "Events.Attributes": ("Array(Map(",),
    "Links.Attributes": ("Array(Map(",),
}  # fmt: skip
"""How the types begin that the queries count on; all others hold text, or texts."""
_TEXT: Final = ("String", "LowCardinality(String", "Array(String", "Array(LowCardinality(String")


@dataclass(frozen=True, slots=True)
class Drift:
    """One difference. ``kind`` is ``step`` (a file), ``missing`` or ``changed`` (a table or view)."""

    kind: str
    name: str
    detail: str


def record(client: Client, leave: Set[str] = frozenset()) -> None:
    """Remember how our objects look now, where that is new; those to ``leave`` drifted and keep their old note."""
    client.command(_SHAPES)
    known, now = _pairs(client, _THEN), _pairs(client, _NOW)
    rows = [
        [name, now[name]] for name in objects() if name not in leave and name in now and known.get(name) != now[name]
    ]
    for name, definition in rows:
        client.command(
            "INSERT INTO fusebox_schema_shapes SELECT {name:String}, {definition:String}, now64(6)",
            parameters={"name": name, "definition": definition},
        )


def unsettle(client: Client, leave: Set[str] = frozenset()) -> None:
    """Our objects are about to change: nothing of theirs counts as drift before they are recorded again."""
    client.command(_SHAPES)
    noted = sorted({name for name, definition in _pairs(client, _THEN).items() if definition} - leave)
    if noted:
        client.command(
            "INSERT INTO fusebox_schema_shapes SELECT arrayJoin({names:Array(String)}), '', now64(6)",
            parameters={"names": noted},
        )


def objects() -> list[str]:
    """Every table and view that the steps of this release build."""
    found = (name for step in schema.steps() for name in _CREATED.findall(step.text))
    return list(dict.fromkeys(found))  # a view that was built anew stands in two


def drift(client: Client) -> list[Drift]:
    """Every difference between the database and this release; empty when there is none."""
    now = _pairs(client, _NOW)
    if "fusebox_schema" not in now:
        return [Drift("missing", "fusebox_schema", "no Fusebox has built this database")]
    return [*_steps(client), *_objects(now, _pairs(client, _THEN) if "fusebox_schema_shapes" in now else {})]


def exporter_columns(client: Client) -> list[str]:
    """Columns of the exporter that the table ``otel_traces`` lacks, or has of a type that no query of ours reads (it
    stands behind the name); all of them when there is no such table."""
    rows = client.query(
        "SELECT name, type FROM system.columns WHERE database = currentDatabase() AND table = 'otel_traces'"
    ).result_rows
    there = {str(name): str(kind) for name, kind in rows}
    lacking = [name for name in EXPORTER if not there.get(name, "").startswith(_TYPES.get(name, _TEXT))]
    return [f"{name} ({there[name]})" if name in there else name for name in lacking]


def _steps(client: Client) -> Iterator[Drift]:
    applied, known = schema.applied(client), {step.number: step for step in schema.steps()}
    for number in sorted(set(applied) | set(known)):
        if number not in known:
            yield Drift("step", f"{number:04}", "of a newer Fusebox; upgrade this one")
        elif number not in applied:
            yield Drift(
                "step", known[number].name, "not applied; keep does it when it starts, or 'fusebox schema apply'"
            )
        elif applied[number] != known[number].sha256:
            yield Drift("step", known[number].name, "was another file when it was applied")


def _objects(now: dict[str, str], then: dict[str, str]) -> Iterator[Drift]:
    for name in objects():
        if name not in now:
            yield Drift("missing", name, "was dropped, or never built")
        elif then.get(name) and now[name] != then[name]:
            yield Drift(CHANGED, name, "; ".join(_difference(then[name], now[name])))


def _difference(before: str, after: str) -> Iterator[str]:
    lines = difflib.ndiff(_PIECE.split(before), _PIECE.split(after))
    return (line for line in lines if line[0] in "+-")


def _pairs(client: Client, statement: str) -> dict[str, str]:
    return {str(name): str(text) for name, text in client.query(statement).result_rows}
