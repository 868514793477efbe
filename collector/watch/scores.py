"""Tells the collector, once a minute, the highest score each detector gave each agent.

As spans, through *receive* like everybody's: so they are spooled, kept and counted by what keeps all else, and no
second way into the database is needed. A minute in which an agent scored nothing has no row.
"""

from __future__ import annotations

from typing import Final

from opentelemetry.trace import INVALID_SPAN_CONTEXT, SpanKind

from breakers.panel import Panel
from fusebox import names
from fusebox.clock import Clock
from fusebox.eventmap import Value
from fusebox.telemetry import Telemetry

EVERY_S: Final = 60.0


class Scores:
    """Takes the panel's scores when a minute has passed."""

    def __init__(self, panel: Panel, telemetry: Telemetry, clock: Clock, tenant: str) -> None:
        self._panel, self._telemetry, self._clock, self._tenant = panel, telemetry, clock, tenant
        self._last = clock.monotonic()

    def tick(self) -> None:
        """Tell what there is, if it is time."""
        now = self._clock.monotonic()
        if now - self._last < EVERY_S:
            return
        self._last = now
        for (agent, detector), score in self._panel.scores().items():
            attributes: dict[str, Value] = {
                names.TENANT: self._tenant,
                names.SCORE_AGENT: agent,
                names.SCORE_DETECTOR: detector,
                names.SCORE_VALUE: round(score, 4),
            }
            with self._telemetry.span(names.SCORE_SPAN, SpanKind.INTERNAL, attributes, parent=INVALID_SPAN_CONTEXT):
                pass

    def stop(self) -> None:
        """Deliver what can be delivered."""
        self._telemetry.stop()
