"""Prints how many bytes a chDB folder's tables take once all parts are merged: ``python -m benchmarks.merged DIR``."""

from __future__ import annotations

import sys
from pathlib import Path

from collector.keep.engine import Engine

_TABLES = "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree'"
_BYTES = "SELECT sum(bytes_on_disk) FROM system.parts WHERE database = currentDatabase() AND active"


def merge() -> None:
    engine = Engine(Path(sys.argv[1]))
    client = engine.writer()
    for (table,) in client.query(_TABLES).result_rows:
        client.command(f"OPTIMIZE TABLE {table} FINAL")
    print(client.query(_BYTES).result_rows[0][0])
    engine.close()


if __name__ == "__main__":
    merge()
