"""agent_minutes kept exact: after a replay, its sums are compared with the events and what differs is written.

The view on ``agent_events`` adds up what it is shown, and after a kill or an error nobody knows what it was shown. The
rows have no batch, else there would be as many as events. So for every minute of every agent that the batch is in::

    INSERT INTO agent_minutes  (sums of the events)  -  (sums of the rollup)

which is nothing when they agree, and may be repeated at any time, however far an earlier attempt came: *keep* is the
only writer, and its events are complete by then.
"""

from __future__ import annotations

import re
from typing import Final

_KEYS: Final = ("tenant", "minute", "agent")
_NEWEST: Final = ("last", "received")
"""Columns of which the latest counts, twice as well as once."""
_SUMS: Final = ("actions", "model_calls", "tool_calls", "errors", "input_tokens", "output_tokens", "cost_usd")
VIEW: Final = "agent_minutes_mv"
_EVENTS: Final = re.compile(r"\bFROM (\w+\.)?agent_events\b")
_TOUCHED: Final = "SELECT tenant, toStartOfMinute(time), agent FROM agent_events WHERE batch = {batch:String}"
_AMONG: Final = f"""(SELECT * FROM agent_events WHERE (tenant, toStartOfMinute(time), agent) IN ({_TOUCHED})
    AND time >= (SELECT toStartOfMinute(min(time)) FROM agent_events WHERE batch = {{batch:String}})) AS agent_events"""


def correction(select: str) -> str:
    """The statement that makes the minutes of ``{batch}`` what the view's ``select`` makes of the events."""
    events = _EVENTS.sub(f"FROM {_AMONG}", select)
    columns = ", ".join((*_KEYS, *_NEWEST, *_SUMS))
    summed = ", ".join(f"sum(d.{name}) AS {name}" for name in _SUMS)
    taken = ", ".join(f"-{name} AS {name}" for name in _SUMS)
    differs = " OR ".join(f"{name} != 0" for name in _SUMS)
    return f"""
INSERT INTO agent_minutes ({columns}) SETTINGS insert_deduplicate = 0
SELECT * FROM (
    SELECT tenant, minute, agent, max(d.last) AS last, max(d.received) AS received, {summed}
    FROM (
        SELECT {columns} FROM ({events})
        UNION ALL
        SELECT {", ".join((*_KEYS, *_NEWEST))}, {taken} FROM agent_minutes WHERE (tenant, minute, agent) IN ({_TOUCHED})
    ) AS d
    GROUP BY tenant, minute, agent)
WHERE {differs}
"""
