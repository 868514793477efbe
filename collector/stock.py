"""Reads a database that a stock OpenTelemetry Collector fills: only its table ``otel_traces``, and only by reading.

Our views are the same statements over that table, put in front of a query as common table expressions: names and
spellings of any age come out as in our own tables, those of OpenInference and Traceloop too, as *receive* translates
them (:mod:`collector.receive.foreign`). What a stock table does not have is empty (``batch``), taken from
the span's start (``received``), or not known (prices: a cost is one that the sender wrote on the span).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import Final

from collector import schema
from collector.receive.foreign import OPERATIONS, WORDS
from fusebox import names
from fusebox.eventmap import KINDS
from fusebox.records import ActionKind

_VIEW: Final = (
    r"(?:CREATE MATERIALIZED VIEW IF NOT EXISTS {name}_mv TO {name} AS|ALTER TABLE {name}_mv MODIFY QUERY)\n(.*?);\n"
)
_SOURCE: Final = re.compile(r"^FROM otel_traces$", re.MULTILINE)
_TABLES: Final = {
    "token_costs": ("token_ledger",), "token_ledger": (), "agent_minutes": ("agent_events",), "agent_events": (),
    "otel_traces_trace_id_ts": (), "ledger_repricings": (),
}  # fmt: skip
_TRACES: Final = """
(
    WITH SpanAttributes AS said, {kind} AS kind,
        multiIf({silent}, '', kind = 'tool', 'tool_call', kind IN ({models}) OR said['{type}'] != '', 'model_call',
            kind = '' AND {whose} != '' AND said['{asked}'] != '' AND said['{named}'] = '', 'model_call', '') AS action,
        multiIf(action = 'tool_call', map('{operation}', 'execute_tool', {tool}),
            action = 'model_call', map('{operation}', transform(kind, [{others}], [{called}], 'chat'), {model}),
            map('{reasoning}', said['{older}'])) AS told
    SELECT * REPLACE (mapUpdate(
            CAST(mapFilter((name, value) -> value != '', told), 'Map(LowCardinality(String), String)'), SpanAttributes
        ) AS SpanAttributes),
        '' AS _batch, '' AS _principal, toDateTime64(Timestamp, 6) AS _received
    FROM otel_traces)"""
_WITH: Final = re.compile(r"\s*WITH (RECURSIVE)?")


def over_stock(statement: str) -> str | None:
    """The statement for a stock table, or None when it asks for what such a database does not have."""
    wanted = [name for name in _TABLES if re.search(rf"\b{name}\b", statement)]
    names = dict.fromkeys([needed for name in wanted for needed in (*_TABLES[name], name)])
    if not names:
        return None
    tables = ", ".join(f"{name} AS ({view(name)})" for name in names)
    own = _WITH.match(statement)
    if own is None:
        return f"WITH {tables} {statement}"
    return f"WITH {own[1] or ''} {tables}, {statement[own.end() :]}"


@cache
def view(name: str) -> str:
    """The SELECT that makes a table or view of ours of a stock ``otel_traces``, where nothing was repriced.

    Raises:
        KeyError: there is no such view.
    """
    if name == "token_costs":
        return "SELECT *, toUInt8(0) AS repriced FROM token_ledger"
    if name == "ledger_repricings":
        return "SELECT '' AS trace_id WHERE false"
    if name not in _TABLES:
        raise KeyError(name)
    *_, latest = (
        found for step in schema.steps() for found in re.findall(_VIEW.format(name=name), step.text, re.DOTALL)
    )
    return _SOURCE.sub(f"FROM {_traces()} AS otel_traces", latest)


def _traces() -> str:
    """The table as *receive* would have stored it."""
    return _TRACES.format(
        kind=f"lower({_first(names.LLM_REQUEST_TYPE, names.OPENINFERENCE_KIND, names.TRACELOOP_KIND)})",
        silent=f"mapContains(said, '{names.GEN_AI_OPERATION}')", type=names.LLM_REQUEST_TYPE,
        whose=_first(names.GEN_AI_PROVIDER, names.GEN_AI_SYSTEM_OLD), asked=names.GEN_AI_REQUEST_MODEL,
        named=names.GEN_AI_TOOL_NAME, reasoning=names.USAGE_REASONING, older=names.USAGE_REASONING_OLD,
        models=_quoted(name for name, action in KINDS.items() if action is ActionKind.MODEL_CALL),
        operation=names.GEN_AI_OPERATION, others=_quoted(OPERATIONS), called=_quoted(OPERATIONS.values()),
        tool=_words(ActionKind.TOOL_CALL), model=_words(ActionKind.MODEL_CALL),
    )  # fmt: skip


def _words(action: ActionKind) -> str:
    return ", ".join(f"'{name}', {_first(*others)}" for name, others in WORDS[action].items())


def _first(*attributes: str) -> str:
    """The first of them that says something."""
    said = ", ".join(f"nullIf(said['{each}'], '')" for each in attributes)
    return f"coalesce({said}, '')"


def _quoted(texts: Iterable[str]) -> str:
    return ", ".join(f"'{text}'" for text in texts)
