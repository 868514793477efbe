"""Reads what happened from ClickHouse, in the order it ended, page by page, as live detection would have seen it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from clickhouse_connect.driver.client import Client

from collector.backtest.common import Happened
from collector.queries import run
from fusebox import names
from fusebox.eventmap import SpanFacts, event_of

_PAGE: Final = 5_000
_NS: Final = 1_000_000_000


def history(client: Client, *, since: float, until: float, agent: str = "", page: int = _PAGE) -> Iterator[Happened]:
    """The events between two times (Unix seconds), of one agent or of all; ``seq`` counts them.

    Raises:
        KeepUnavailable: the database did not answer.
    """
    after, number = {"after_ns": 0, "after_id": ""}, 0
    while True:
        rows = run(
            client, "spans_between", since_ns=int(since * _NS), until_ns=int(until * _NS), agent=agent, limit=page,
            **after,
        )  # fmt: skip
        for row in rows:
            event = event_of(facts(row))
            if event is not None:
                yield Happened("", None, None, number, event.trace_id, event)
                number += 1
        if len(rows) < page:
            return
        after = {"after_ns": rows[-1]["ended_ns"], "after_id": rows[-1]["span_id"]}


def facts(row: Mapping[str, Any]) -> SpanFacts:
    """The facts of a stored span. The table keeps every attribute as text; numbers are read back."""
    return SpanFacts(
        trace_id=row["trace_id"],
        span_id=row["span_id"],
        parent_id=row["parent_id"],
        start=row["start"],
        end=row["start"] + row["duration_s"],
        failed=row["status"] in ("Error", "STATUS_CODE_ERROR"),
        service=row["service"],
        message=row["status_message"],
        attributes={name: _number(name, text) for name, text in row["attributes"].items()},
    )


def _number(name: str, text: str) -> str | int:
    """Counts are the only attributes whose type decides how they are read."""
    return int(text) if (".usage." in name or name == names.RESENT) and text.isdecimal() else text
