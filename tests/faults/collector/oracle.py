"""Oracle of obligations: what the collector owes after it answered 200, and what it has no right to hold.

The life of a request::

    issued ──► answered 200: owed ─────────────────► each span and log record of it once in every table it belongs to
       └─────► given up (no 200 was ever seen): may be there whole or not at all, never twice

What it finds wrong
    lost        owed, and not in a table
    halved      given up, and a table has a part of it
    doubled     in a table more than once
    invented    in a table and never issued
    changed     in a table with another content than was sent: text, lists and maps, times, tokens, cost
    miscounted  a minute's sums are not those of its events
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

from collector.keep.targets import SPANS, TARGETS
from tests.faults.collector.content import STORED, Parcel, Texts

Rows = Callable[[str], list[tuple[Any, ...]]]
"""Asks the database."""

MINUTES: Final = """
SELECT minute, agent, sum(actions), sum(tokens), sum(cost) FROM (
    SELECT toStartOfMinute(time) AS minute, agent, 1 AS actions, toInt64(input_tokens + output_tokens) AS tokens,
        toDecimal128(ifNull(cost_usd, 0), 12) AS cost FROM agent_events
    UNION ALL SELECT minute, agent, -actions, -input_tokens - output_tokens, -toDecimal128(cost_usd, 12)
        FROM agent_minutes)
GROUP BY minute, agent HAVING sum(actions) != 0 OR sum(tokens) != 0 OR sum(cost) != 0
"""
"""Where the sums by minute are not those of the events."""

_OF_SPANS: Final = {rows.table for rows in (SPANS, *(t.rows for t in TARGETS)) if rows.table != "detector_scores"}
assert STORED.keys() > _OF_SPANS, "every table with a row for each span of the laboratory is looked into"


class Oracle:
    """See the module. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._issued: dict[str, Texts] = {}
        self._owed: set[str] = set()
        self._parcels: list[frozenset[str]] = []

    def issue(self, parcel: Parcel) -> None:
        """It is about to be sent."""
        with self._lock:
            self._issued |= parcel.expected
            self._parcels.append(frozenset(parcel.expected))

    def owe(self, parcel: Parcel) -> None:
        """It was answered 200."""
        with self._lock:
            self._owed.update(parcel.expected)

    def count(self) -> dict[str, int]:
        """Figures for people."""
        with self._lock:
            return {"spans and logs issued": len(self._issued), "spans and logs acknowledged": len(self._owed)}

    def is_paid(self, rows: Rows) -> bool:
        """True once every table holds all that is owed. Counts first: that is asked many times."""
        return all(self._is_paid(table, rows) for table in STORED)

    def verdict(self, rows: Rows) -> list[str]:
        """All that is wrong, once everything has had its time."""
        wrong = [text for table in STORED for text in self._verdict_of(table, rows)]
        return wrong + [f"miscounted: {row} in agent_minutes or agent_events alone" for row in rows(MINUTES)]

    def _is_paid(self, table: str, rows: Rows) -> bool:
        owed = self._owed_in(table)
        enough = int(rows(f"SELECT count() FROM {table}")[0][0]) >= len(owed)
        return enough and owed <= {id for (id,) in rows(f"SELECT id FROM ({STORED[table]})")}

    def _verdict_of(self, table: str, rows: Rows) -> list[str]:
        stored = rows(STORED[table])
        found = Counter(id for id, _ in stored)
        expected = self._expected_in(table)
        lost = [f"lost: {id} is not in {table}" for id in self._owed_in(table) - found.keys()]
        doubled = [f"doubled: {id} is {count} times in {table}" for id, count in found.items() if count > 1]
        invented = [f"invented: {id} in {table}" for id in found.keys() - expected.keys()]
        changed = [
            f"changed: {id} in {table} is {text!r}, not {expected[id]!r}"
            for id, text in stored if id in expected and text != expected[id]
        ]  # fmt: skip
        return lost + doubled + invented + changed + self._halved(table, expected, found)

    def _halved(self, table: str, expected: Mapping[str, str], found: Counter[str]) -> list[str]:
        given_up = (parcel for parcel in self._parcels if parcel <= expected.keys() and not parcel <= self._owed)
        parts = ((len(parcel & found.keys()), len(parcel)) for parcel in given_up)
        return [f"halved: {part} of {whole} in {table}" for part, whole in parts if 0 < part < whole]

    def _expected_in(self, table: str) -> dict[str, str]:
        with self._lock:
            return {id: texts[table] for id, texts in self._issued.items() if table in texts}

    def _owed_in(self, table: str) -> set[str]:
        with self._lock:
            return {id for id in self._owed if table in self._issued[id]}
