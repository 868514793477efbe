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
    if audit_days and not 0 < spans_days < audit_days:
        raise ConfigError(
            f"audit_keep_days = {audit_days} must be longer than spans_keep_days = {spans_days} (0 is for ever): "
            "what was decided must outlive what it was decided about"
        )
    engines = {str(name): str(full) for name, full in client.query(_ENGINES).result_rows}
    columns = {str(table): frozenset(names) for table, names in client.query(_COLUMNS).result_rows}
    for tables, days in ((SPANS, spans_days), (AUDIT, audit_days), (COPIES, 0)):
        for table in tables:
            if table in engines:
                _set(client, table, engines[table], expression(columns[table], days))


def expression(columns: frozenset[str], days: int) -> str:
    """The TTL of a table with these columns, as the engine writes it; empty for none."""
    return f"toDateTime({next(name for name in _BY if name in columns)}) + toIntervalDay({days})" if days else ""


def _set(client: Client, table: str, engine: str, wanted: str) -> None:
    has = f" TTL {wanted} " in engine if wanted else " TTL " not in engine
    if not has:
        client.command(f"ALTER TABLE {table} " + (f"MODIFY TTL {wanted}" if wanted else "REMOVE TTL"))
