"""What the database knows of the demonstration, asked by named queries through the read-only SQL port."""

from __future__ import annotations

import time
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from collector import queries
from collector.why import Why, explain
from examples.demo_incident import Incident
from examples.demo_stage import patiently
from examples.rogue_tickets.agents import HELPER
from fusebox.config import Config

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
_POLL_S: Final = 0.2
_STORED_S: Final = 10.0
_MANY: Final = 1_000


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over everything the agents did."""

    messages: int
    tokens: int
    cost: Decimal
    spans: int


class Database:
    """The SQL port of *keep*.

    Every query raises:
        KeepUnavailable: it does not answer.
    """

    def __init__(self, config: Config) -> None:
        self._client = queries.connect(config)

    def settle(self) -> None:
        """Wait until no more spans arrive, for at most 15 seconds."""
        deadline, count, since = time.monotonic() + _DEADLINE_S, -1, 0.0
        while time.monotonic() < deadline and (count < 1 or time.monotonic() < since + _QUIET_S):
            if (now := self.spans()) != count:
                count, since = now, time.monotonic()
            time.sleep(_POLL_S)

    def spans(self) -> int:
        """Spans stored."""
        return int(self._row("spans_total")["spans"])

    def totals(self) -> Totals:
        """The sums."""
        sums = self._row("totals")
        return Totals(int(sums["messages"]), int(sums["tokens"]), Decimal(sums["cost_usd"]), self.spans())

    def actions_from_onset(self, incident: Incident) -> int:
        """What the stopped agent did (publishes, model and tool calls) since the first action of the evidence.

        Ask before the agent is resumed: until then the action that opened its circuit is its last.
        """
        events = queries.run(self._client, "recent_events", agent=incident.agent, limit=_MANY)
        return sum(e["action"] != "consume" and e["time"] >= incident.finding.get("first_time", 0.0) for e in events)

    def why_last_comment(self) -> Why:
        """Which prompt caused the helper's latest comment; its model call may be stored a moment after the comment.

        Raises:
            NotFound: no comment is stored.
        """
        span = str(self._row("last_tool_call", agent=HELPER, operation="tickets.comment")["span_id"])
        patiently(lambda: explain(self._client, span).cause, _STORED_S)
        return explain(self._client, span)

    def close(self) -> None:
        """Give the connection back."""
        self._client.close()

    def _row(self, name: str, **parameters: Any) -> dict[str, Any]:
        rows = queries.run(self._client, name, **parameters)
        return rows[0]


def to_try(ticket: str) -> tuple[str, str]:
    """Two statements for the reader: who costs what, and the loop itself."""
    return _COSTS, _LOOP.format(helper=HELPER, ticket=ticket)
