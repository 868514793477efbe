"""Oracle of obligations: what the collector owes after it answered 200, and what it has no right to hold.

The life of a request::

    issued ──► answered 200: owed ─────────────────► each of its spans once in every table
       └─────► given up (no 200 was ever seen): may be there whole or not at all, never twice

What it finds wrong
    lost        owed, and not in a table
    doubled     in a table more than once
    invented    in a table and never issued
    changed     in ``otel_traces`` with another content than was sent
    miscounted  the tokens of a table are not those of the spans in it, or a minute's sums not those of its events
"""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from collector.keep.targets import SPANS, TARGETS
from fusebox.names import SCORE_SPAN

Rows = Callable[[str], list[tuple[Any, ...]]]
"""Asks the database."""

PROOF: Final = "lab.proof"
SPAN_TABLES: Final[Mapping[str, str]] = {
    rows.table: rows.span for rows in (SPANS, *(t.rows for t in TARGETS)) if rows.table != "detector_scores"
}
"""Every table that holds a row for each span of the laboratory (no detector's score is among them), and its column of
span ids."""

MINUTES: Final = """
SELECT minute, agent, sum(actions), sum(tokens) FROM (
    SELECT toStartOfMinute(time) AS minute, agent, 1 AS actions, toInt64(input_tokens) AS tokens FROM agent_events
    UNION ALL SELECT minute, agent, -actions, -input_tokens FROM agent_minutes)
GROUP BY minute, agent HAVING sum(actions) != 0 OR sum(tokens) != 0
"""
"""Where the sums by minute are not those of the events."""


@dataclass(frozen=True, slots=True)
class Issued:
    """A span as it was sent."""

    tokens: int
    proof: str


class Oracle:
    """See the module. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._issued: dict[str, Issued] = {}
        self._owed: set[str] = set()

    def issue(self, spans: Mapping[str, int]) -> dict[str, str]:
        """New spans, by id, with their tokens; the proofs to send with them."""
        proofs = {span: hashlib.sha256(f"{span}:{tokens}".encode()).hexdigest()[:24] for span, tokens in spans.items()}
        with self._lock:
            self._issued |= {span: Issued(tokens, proofs[span]) for span, tokens in spans.items()}
        return proofs

    def owe(self, spans: Iterable[str]) -> None:
        """A request with these spans was answered 200."""
        with self._lock:
            self._owed.update(spans)

    def count(self) -> dict[str, int]:
        """Figures for people."""
        with self._lock:
            return {"spans issued": len(self._issued), "spans acknowledged": len(self._owed)}

    def is_paid(self, rows: Rows) -> bool:
        """True once every table holds every owed span. Counts first: that is asked many times."""
        with self._lock:
            owed = set(self._owed)
        return all(
            int(rows(f"SELECT count() FROM {table}")[0][0]) >= len(owed) and owed <= self._ids(rows, table).keys()
            for table in SPAN_TABLES
        )

    def verdict(self, rows: Rows) -> list[str]:
        """All that is wrong, once everything has had its time."""
        wrong = [text for table in SPAN_TABLES for text in self._verdict_of(table, rows)]
        return wrong + self._changed(rows) + self._miscounted(rows)

    def _verdict_of(self, table: str, rows: Rows) -> list[str]:
        found = self._ids(rows, table)
        lost = [f"lost: {span} is not in {table}" for span in self._owed - found.keys()]
        doubled = [f"doubled: {span} is {count} times in {table}" for span, count in found.items() if count > 1]
        invented = [f"invented: {span} in {table}" for span in found.keys() - self._issued.keys()]
        return lost + doubled + invented

    def _changed(self, rows: Rows) -> list[str]:
        stored = rows(f"SELECT SpanId, SpanAttributes['{PROOF}'] FROM otel_traces")
        return [
            f"changed: {span}" for span, proof in stored if span in self._issued and self._issued[span].proof != proof
        ]

    def _miscounted(self, rows: Rows) -> list[str]:
        ((total,),) = rows("SELECT sum(input_tokens) FROM agent_events")
        expected = sum(self._issued[span].tokens for span in self._ids(rows, "agent_events") if span in self._issued)
        wrong = [] if int(total) == expected else [f"miscounted: {total} tokens instead of {expected}"]
        return wrong + [f"miscounted: {row} in agent_minutes or agent_events alone" for row in rows(MINUTES)]

    def _ids(self, rows: Rows, table: str) -> Counter[str]:
        mine = f" WHERE SpanName != '{SCORE_SPAN}'" if table == SPANS.table else ""  # watch sends those by itself
        return Counter(span for (span,) in rows(f"SELECT {SPAN_TABLES[table]} FROM {table}{mine}"))
