"""Copies the journal that *watch* writes into ``audit_log``.

The journal's files are the record; the table is for SQL. Lines are JSON objects; only whole lines are read. The copy
goes on behind the highest ``seq`` the table has of each writer, so a restart neither repeats nor skips.
"""

from __future__ import annotations

import hashlib
import json
import logging
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from clickhouse_connect.driver.exceptions import ClickHouseError

from collector.keep.engine import Engine
from collector.keep.errors import EngineDown
from fusebox import happenings

COLUMNS: Final = (
    "seq", "writer", "time", "kind", "actor", "subject", "reason", "trace_id", "span_id", "payload", "prev", "hash"
)  # fmt: skip
_INTERVAL_S: Final = 0.25
_AT_ONCE: Final = 1000

COPY_DELAYED: Final = happenings.declare("audit_copy_delayed", logging.WARNING, "the journal could not be copied yet")
UNREADABLE: Final = happenings.declare("audit_line_unreadable", logging.ERROR, "a line of the journal is no entry")

Row = list[Any]


class AuditCopy:
    """One thread that tails ``*.jsonl`` in ``folder``."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self._engine, self._folder = engine, folder
        self._offsets: dict[Path, int] = {}
        self._seen: dict[str, int] | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="audit-copy", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout: float = 10.0) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def step(self) -> int:
        """Copy what is new; how many entries that were.

        Raises:
            ClickHouseError, EngineDown: the database did not take them; call again.
        """
        if self._seen is None:
            self._seen = self._copied()
        return sum(self._copy(path, self._seen) for path in sorted(self._folder.glob("*.jsonl")))

    def _run(self) -> None:
        while not self._stopping.wait(_INTERVAL_S):
            try:
                self.step()
            except (ClickHouseError, EngineDown, OSError) as error:
                self._engine.discard()
                happenings.emit(COPY_DELAYED, error=str(error)[:500])
                self._seen = None
                self._offsets.clear()

    def _copied(self) -> dict[str, int]:
        rows = self._engine.writer().query("SELECT writer, max(seq) FROM audit_log GROUP BY writer").result_rows
        return {str(writer): int(seq) for writer, seq in rows}

    def _copy(self, path: Path, seen: dict[str, int]) -> int:
        lines, end = self._new_lines(path)
        rows = [row for line in lines if (row := _row(path, line)) and row[0] > seen.get(row[1], -1)]
        for start in range(0, len(rows), _AT_ONCE):
            self._insert(rows[start : start + _AT_ONCE], seen)
        self._offsets[path] = end
        return len(rows)

    def _new_lines(self, path: Path) -> tuple[list[bytes], int]:
        """Whole lines behind what was read, and where they end."""
        with path.open("rb") as file:
            offset = min(self._offsets.get(path, 0), path.stat().st_size)
            file.seek(offset)
            data = file.read()
        whole = data.rfind(b"\n") + 1
        return data[:whole].splitlines(), offset + whole

    def _insert(self, rows: list[Row], seen: dict[str, int]) -> None:
        token = hashlib.sha256(json.dumps([row[-1] for row in rows]).encode()).hexdigest()
        self._engine.writer().insert(
            "audit_log", rows, column_names=list(COLUMNS), settings={"insert_deduplication_token": token}
        )
        for row in rows:
            seen[row[1]] = max(seen.get(row[1], -1), row[0])


def _row(path: Path, line: bytes) -> Row | None:
    try:
        entry = json.loads(line)
        moment = datetime.fromtimestamp(float(entry["time"]), UTC)
        payload = json.dumps(entry.get("payload", {}), sort_keys=True, ensure_ascii=False)
        texts = {name: str(entry.get(name, "")) for name in COLUMNS} | {"payload": payload}
        return [int(entry["seq"]), texts["writer"], moment, *(texts[name] for name in COLUMNS[3:])]
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        happenings.emit(UNREADABLE, file=path.name, error=repr(error))
        return None
