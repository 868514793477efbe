"""What the database knows of the demonstration, asked through the read-only SQL port like anybody else would."""

from __future__ import annotations

import time
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final
from urllib.parse import urlsplit

import clickhouse_connect
from clickhouse_connect.driver.client import Client

from examples.demo_incident import Incident
from examples.rogue_tickets.agents import HELPER

_TOTALS: Final = """
    SELECT countIf(action = 'consume') AS messages, sum(input_tokens + output_tokens) AS tokens, sum(cost_usd) AS cost
    FROM agent_events"""
_ONSET: Final = """
    SELECT count() FROM agent_events
    WHERE agent = {agent:String} AND action != 'consume'
      AND toFloat64(time) >= {since:Float64} - 0.001 AND toFloat64(time) <= {until:Float64} + 0.001"""
_LAST_COMMENT: Final = """
    SELECT trace_id, span_id FROM agent_events
    WHERE operation = 'tickets.comment' AND target = {ticket:String} AND ok ORDER BY time DESC LIMIT 1"""
_COSTS: Final = (
    "SELECT agent, count() AS actions, sum(input_tokens + output_tokens) AS tokens, sum(cost_usd) AS usd "
    "FROM agent_events GROUP BY agent ORDER BY tokens DESC"
)
_LOOP: Final = (
    "SELECT time, action, operation, trace_id FROM agent_events "
    "WHERE agent = '{helper}' AND target = '{ticket}' ORDER BY time LIMIT 20"
)
_QUIET_S: Final = 1.0
_DEADLINE_S: Final = 15.0


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over everything the agents did."""

    messages: int
    tokens: int
    cost: Decimal
    spans: int


class Database:
    """The SQL port of *keep*.

    Args:
        url: what *keep* announced.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._client: Client = clickhouse_connect.get_client(
            host=parts.hostname or "", port=parts.port or 0, autogenerate_session_id=False
        )

    def settle(self) -> int:
        """Wait until no more spans arrive; how many are stored."""
        deadline, count, since = time.monotonic() + _DEADLINE_S, -1, 0.0
        while time.monotonic() < deadline:
            now = self.spans()
            if now != count:
                count, since = now, time.monotonic()
            elif time.monotonic() > since + _QUIET_S:
                break
            time.sleep(0.2)
        return count

    def spans(self) -> int:
        """Spans stored."""
        return int(self._row("SELECT count() FROM otel_traces")[0])

    def totals(self) -> Totals:
        """The sums."""
        messages, tokens, cost = self._row(_TOTALS)
        return Totals(int(messages), int(tokens), Decimal(cost), self.spans())

    def actions_from_onset(self, incident: Incident) -> int:
        """What the agent did (publishes, model and tool calls) from the first action of the evidence to the trip."""
        window = {"since": incident.finding["first_time"], "until": incident.trip["time"]}
        return int(self._row(_ONSET, agent=incident.agent, **window)[0])

    def last_comment(self, ticket: str) -> tuple[str, str]:
        """Trace and span id of the latest comment on a ticket; empty when none is stored."""
        trace, span = self._row(_LAST_COMMENT, ticket=ticket) or ("", "")
        return str(trace), str(span)

    def close(self) -> None:
        """Give the connection back."""
        self._client.close()

    def _row(self, sql: str, **parameters: Any) -> tuple[Any, ...]:
        rows = self._client.query(sql, parameters=parameters).result_rows
        return tuple(rows[0]) if rows else ()


def to_try(ticket: str) -> tuple[str, str]:
    """Two queries for the reader: who costs what, and the loop itself."""
    return _COSTS, _LOOP.format(helper=HELPER, ticket=ticket)
