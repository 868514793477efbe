"""``/healthz`` and ``/metrics`` of *keep*: whether records flow, not whether a process exists."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping

from collector.keep.counting import LOGS_WRITTEN, WRITTEN
from collector.keep.deadletters import BURIED
from collector.keep.keeper import Keeper
from collector.sql.reply import Reply
from fusebox import happenings
from fusebox.metrics import TEXT, Gauge, Otel, queue, render, send_failed, sent, sent_logs


def health(keeper: Keeper, more: Iterable[str]) -> Reply:
    """200 while records flow (or none come), 503 with the reason when none could be stored for half a minute.

    Args:
        more: why something else that *keep* does is not done; empty strings while it is.
    """
    flow, trouble = keeper.flow, "; ".join(filter(None, (keeper.trouble(), *more)))
    reason = trouble or flow.reason
    body = {"ok": not trouble, "last_stored": flow.last_stored, "lag_bytes": keeper.lag(), "reason": reason}
    return Reply(503 if trouble else 200, json.dumps(body).encode(), {"content-type": "application/json"})


def metrics(keeper: Keeper, rows: Mapping[str, int]) -> Reply:
    """Prometheus text: OpenTelemetry's counters, every declared happening, the flow, and how long each table is."""
    return Reply(200, render(_samples(keeper, rows)).encode(), {"content-type": TEXT})


def _samples(keeper: Keeper, rows: Mapping[str, int]) -> Iterator[Gauge | Otel]:
    flow, lag, counts = keeper.flow, keeper.lag(), happenings.counts()
    yield sent(counts[WRITTEN.name])
    yield sent_logs(counts[LOGS_WRITTEN.name])
    yield send_failed(counts[BURIED.name])
    yield from queue(lag)
    yield Gauge("keep_lag_bytes", "bytes of the spool that are in no table yet", lag)
    yield Gauge("keep_last_stored_seconds", "when a batch was stored last (Unix seconds, 0 = never)", flow.last_stored)
    for table, number in rows.items():
        yield Gauge("table_rows", "rows of a table after the last batch", number, {"table": table})
