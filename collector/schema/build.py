"""Builds a database: steps, then retention, then a note of how it all looks, against which drift is told."""

from __future__ import annotations

import logging
from typing import Final

from clickhouse_connect.driver.client import Client

from collector import schema
from collector.schema import drift, retention
from fusebox import happenings
from fusebox.config import Config

DRIFTED: Final = happenings.declare(
    "schema_drift", logging.WARNING, "a table or view is not as Fusebox built it; it is left as it is"
)


def build(client: Client, config: Config) -> None:
    """Bring the database to this release's schema and this configuration's retention.

    What drifted is found before anything changes, so a table that somebody altered is not taken for ours.

    Raises:
        ConfigError: the database was written by a newer Fusebox, or the audit would go before the spans.
    """
    changed = [difference for difference in drift.drift(client) if difference.kind == drift.CHANGED]
    for difference in changed:
        happenings.emit(DRIFTED, name=difference.name, detail=difference.detail)
    kept, leave = (config.spans_keep_days, config.audit_keep_days), {difference.name for difference in changed}
    if schema.pending(client) or retention.due(client, *kept):
        drift.unsettle(client, leave)
    schema.apply(client)
    retention.apply(client, *kept)
    drift.record(client, leave)
