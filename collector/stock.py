"""Reads a database that a stock OpenTelemetry Collector fills: only its table ``otel_traces``, and only by reading.

Our views are the same statements over that table, put in front of a query as common table expressions: names and
spellings of any age come out as in our own tables. What a stock table does not have is empty (``batch``), taken from
the span's start (``received``), or not known (prices: a cost is one that the sender wrote on the span).
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final

from collector import schema

_VIEW: Final = (
    r"(?:CREATE MATERIALIZED VIEW IF NOT EXISTS {name}_mv TO {name} AS|ALTER TABLE {name}_mv MODIFY QUERY)\n(.*?);\n"
)
_SOURCE: Final = re.compile(r"^FROM otel_traces$", re.MULTILINE)
_TABLES: Final = {
    "token_costs": ("token_ledger",), "token_ledger": (), "agent_minutes": ("agent_events",), "agent_events": (),
    "otel_traces_trace_id_ts": (), "ledger_repricings": (),
}  # fmt: skip
_TRACES: Final = (
    """(SELECT *, '' AS _batch, '' AS _principal, toDateTime64(Timestamp, 6) AS _received FROM otel_traces)"""
)
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
    return _SOURCE.sub(f"FROM {_TRACES} AS otel_traces", latest)
