"""Counting what was written: as the engine counts its rows, which says what is there and not what was sent."""

from __future__ import annotations

import logging
from typing import Final

from collector.keep.errors import EngineDown, EngineRefused
from collector.keep.targets import Do
from fusebox import happenings

WRITTEN: Final = happenings.declare("spans_written", logging.DEBUG, "spans written to the database")
LOGS_WRITTEN: Final = happenings.declare("logs_written", logging.DEBUG, "log records written to the database")
_TABLES: Final = {WRITTEN: "otel_traces", LOGS_WRITTEN: "otel_logs"}
_ROWS: Final = """
SELECT name, total_rows FROM system.tables
WHERE database = currentDatabase() AND total_rows IS NOT NULL AND NOT startsWith(name, '.') ORDER BY name
"""


class RowCount:
    """How many rows each table had when it was looked at last; nobody else writes."""

    def __init__(self, do: Do) -> None:
        self._do = do
        self.rows: dict[str, int] = {}
        """By table; empty before the first batch."""

    def begin(self) -> None:
        """Look, before the first batch.

        Raises:
            EngineDown, EngineRefused: not now.
        """
        self.rows = self.rows or self._lengths()

    def count(self) -> None:
        """Count what came since. Where that is not known now, the next batch counts it too."""
        try:
            now = self._lengths()
        except (EngineDown, EngineRefused):
            return
        for kind, table in _TABLES.items():
            happenings.emit(kind, count=max(0, now.get(table, 0) - self.rows.get(table, 0)))  # old ones may expire
        self.rows = now

    def _lengths(self) -> dict[str, int]:
        """The engine knows them without counting."""
        return self._do(lambda client: {str(name): int(rows) for name, rows in client.query(_ROWS).result_rows})
