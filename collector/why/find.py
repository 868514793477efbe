"""What an id names: a span, a trace, an entry of the audit log, a message, or a row that a tool call touched."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Final

from clickhouse_connect.driver.client import Client

from collector import queries
from collector.why.model import NotFound, Row

_TRACE: Final = re.compile(r"[0-9a-f]{32}")
_SPAN: Final = re.compile(r"(?:([0-9a-f]{32}):)?([0-9a-f]{16})")
"""Alerts and findings name a span ``trace:span``."""
_ENTRY: Final = re.compile(r"([a-z][a-z0-9_-]{0,31})[:/]([0-9]{1,15})")


@dataclass(frozen=True, slots=True)
class Start:
    """Where the walk begins: a span, an entry, or an entry and the newest span it is about."""

    span: Row | None
    entry: Row | None = None


def find(client: Client, id: str) -> Start:
    """What has this id.

    Raises:
        NotFound: nothing stored has it.
        KeepUnavailable: the database does not answer.
    """
    text = id.strip()
    if entry := _ENTRY.fullmatch(text):
        return _entry(client, entry[1], int(entry[2]))
    span = _span(client, text.lower()) or (_message(client, text) if text else None)
    if span is None:
        raise NotFound(
            f"no span, trace, message or row {id!r} is stored; spans appear about a second after they end, and an "
            "entry of the audit log is named by its writer and number, as watch:12"
        )
    return Start(span)


def _span(client: Client, id: str) -> Row | None:
    if span := _SPAN.fullmatch(id):
        if span[1]:
            return _first(queries.run(client, "span", span_id=span[2], trace_id=span[1]))
        return _first(queries.run(client, "span_of_any_trace", span_id=span[2]))
    if _TRACE.fullmatch(id):
        event = _first(queries.run(client, "last_call_in_trace", trace_id=id))
        return _first(queries.run(client, "span", span_id=event["span_id"], trace_id=id)) if event else None
    return None


def _message(client: Client, id: str) -> Row | None:
    return _first(queries.run(client, "message_spans", message_id=id)) or _first(
        queries.run(client, "row_spans", row=id)
    )


def _entry(client: Client, writer: str, seq: int) -> Start:
    entry = _first(queries.run(client, "audit_entry", writer=writer, seq=seq))
    if entry is None:
        raise NotFound(f"{writer} has no entry {seq} in audit_log; the newest appear within a second")
    last = (entry["span_id"] and f"{entry['trace_id']}:{entry['span_id']}") or _evidence(entry) or entry["trace_id"]
    return Start(_span(client, last), entry)


def _evidence(entry: Row) -> str:
    """The newest action that a finding in the entry names."""
    try:
        payload = json.loads(entry["payload"])
        finding = payload.get("finding") or (payload.get("transition") or {}).get("finding") or {}
        spans = finding.get("spans") or [""]
        return str(spans[-1])
    except (ValueError, AttributeError, TypeError):
        return ""


def _first(rows: list[dict[str, object]]) -> Row | None:
    return rows[0] if rows else None
