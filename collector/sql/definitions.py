"""What the sandbox is told to create: each table of *keep*'s database, over the same files, read-only."""

from __future__ import annotations

from typing import Final

from clickhouse_connect.driver.client import Client

from collector.schema.drift import objects
from collector.sql.database import REFRESH_S

_TABLES: Final = """
SELECT name, engine, create_table_query, data_paths FROM system.tables
WHERE database = currentDatabase() AND (engine LIKE '%MergeTree' OR engine = 'View') ORDER BY name
"""


def definitions(writer: Client) -> list[str]:
    """Statements for :class:`collector.sql.database.Embedded`: tables, then views over them, in the order of the steps.

    A view may read the views of earlier steps.
    """
    built = {name: place for place, name in enumerate(objects())}
    rows = writer.query(_TABLES).result_rows
    rows = sorted(rows, key=lambda row: (row[1] == "View", built.get(row[0], len(built))))
    return [text if engine == "View" else _over(text, paths[0]) for _, engine, text, paths in rows]


def _over(text: str, path: str) -> str:
    """The table's own definition, on a disk that is the folder where *keep* writes its parts.

    Removed parts stay on disk for ``old_parts_lifetime`` (8 minutes), far longer than a statement or a refresh.
    """
    quoted = path.replace("\\", "\\\\").replace("'", "\\'")
    disk = f"type = object_storage, object_storage_type = local, metadata_type = plain, path = '{quoted}', readonly = 1"
    more = f"refresh_parts_interval = {REFRESH_S}, table_disk = 1, disk = disk({disk})"
    return f"{text}, {more}" if " SETTINGS " in text else f"{text} SETTINGS {more}"
