"""``/healthz`` and ``/metrics`` of *keep*: whether records flow, not whether a process exists."""

from __future__ import annotations

import json

from collector.keep.keeper import Keeper
from collector.sql.reply import Reply
from fusebox import happenings


def health(keeper: Keeper) -> Reply:
    """200 while records flow (or none come), 503 with the reason when none could be stored for half a minute."""
    flow, trouble = keeper.flow, keeper.trouble()
    body = {"ok": not trouble, "last_stored": flow.last_stored, "lag_bytes": flow.lag, "reason": flow.reason}
    return Reply(503 if trouble else 200, json.dumps(body).encode(), {"content-type": "application/json"})


def metrics(keeper: Keeper) -> Reply:
    """Prometheus text: every declared happening, and the flow."""
    flow = keeper.flow
    lines = [
        "# TYPE fusebox_keep_lag_bytes gauge",
        f"fusebox_keep_lag_bytes {flow.lag}",
        "# TYPE fusebox_keep_last_stored_seconds gauge",
        f"fusebox_keep_last_stored_seconds {flow.last_stored}",
        "# TYPE fusebox_happenings_total counter",
        *(f'fusebox_happenings_total{{kind="{name}"}} {count}' for name, count in happenings.counts().items()),
    ]
    text = "\n".join(lines) + "\n"
    return Reply(200, text.encode(), {"content-type": "text/plain; version=0.0.4; charset=utf-8"})
