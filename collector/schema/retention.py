"""Retention: how long each table keeps its rows, as ClickHouse's TTL.

What happened (spans, events, dead letters) is kept for ``spans_keep_days``; what was paid (the ledger) for
``audit_keep_days``, which must be longer: what was decided must not go before the spans it speaks of. The journal's
copy has no TTL: its rows go when the journal says so, behind a checkpoint (:mod:`collector.audit.retention`). 0 keeps
for ever. A row's age counts from its receipt, so old spans that arrive late are not gone at
once. The engine drops whole parts where it can.
"""

from __future__ import annotations

from typing import Final

from clickhouse_connect.driver.client import Client

from fusebox.errors import ConfigError

SPANS: Final = (
    "otel_traces", "otel_traces_trace_id_ts", "otel_logs", "agent_events", "emitters", "dead_letters",
    "dead_letters_replayed", "detector_scores", "agent_minutes",
)  # fmt: skip
AUDIT: Final = ("token_ledger", "ledger_repricings")
COPIES: Final = ("audit_log",)
_BY: Final = ("_received", "received", "End", "time", "Timestamp", "minute")
_COLUMNS: Final = """
SELECT table, groupArray(name) FROM system.columns WHERE database = currentDatabase() GROUP BY table
"""
_ENGINES: Final = "SELECT name, engine_full FROM system.tables WHERE database = currentDatabase()"


def apply(client: Client, spans_days: int, audit_days: int) -> None:
    """Set the TTL of every table of ours that is there and has another one.

    Raises:
        ConfigError: the audit would go before the spans.
    """
    for statement in due(client, spans_days, audit_days):
        client.command(statement)


def due(client: Client, spans_days: int, audit_days: int) -> list[str]:
    """The statements that are needed for that. Raises likewise."""
    if audit_days and not 0 < spans_days < audit_days:
        raise ConfigError(
            f"audit_keep_days = {audit_days} must be longer than spans_keep_days = {spans_days} (0 is for ever): "
            "what was decided must outlive what it was decided about"
        )
    engines = {str(name): str(full) for name, full in client.query(_ENGINES).result_rows}
    columns = {str(table): frozenset(names) for table, names in client.query(_COLUMNS).result_rows}
    kept = {**dict.fromkeys(SPANS, spans_days), **dict.fromkeys(AUDIT, audit_days), **dict.fromkeys(COPIES, 0)}
    there = {table: expression(columns[table], days) for table, days in kept.items() if table in engines}
    return [_alteration(table, wanted) for table, wanted in there.items() if not _has(engines[table], wanted)]


def expression(columns: frozenset[str], days: int) -> str:
    """The TTL of a table with these columns, as the engine writes it; empty for none."""
    return f"toDateTime({next(name for name in _BY if name in columns)}) + toIntervalDay({days})" if days else ""


def _has(engine: str, wanted: str) -> bool:
    return f" TTL {wanted} " in engine if wanted else " TTL " not in engine


def _alteration(table: str, wanted: str) -> str:
    return f"ALTER TABLE {table} " + (f"MODIFY TTL {wanted}" if wanted else "REMOVE TTL")
