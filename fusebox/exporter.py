"""The exporter of an agent process: the stock OTLP exporter, pointed at the collector as soon as there is one.

An agent may start before the collector, and the collector may come back on another port. So the address is looked up
again after every failure; until one is known, spans wait in the buffer in front of this exporter.
"""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from fusebox.config import Config
from fusebox.otlp import NotTaken, OtlpExporter
from fusebox.rundir import secret_of, url_of


class CollectorExporter(SpanExporter):
    """Exports to the collector that the configuration, or the data folder, names."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._exporter: SpanExporter | None = None

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if self._exporter is None:
            self._exporter = self._connect()
        if self._exporter is None:
            return SpanExportResult.FAILURE
        try:
            return self._exporter.export(spans)
        except NotTaken:
            self.shutdown()
            raise

    def shutdown(self) -> None:
        if self._exporter is not None:
            self._exporter.shutdown()
            self._exporter = None

    def _connect(self) -> SpanExporter | None:
        url = url_of(self._config, "receive", "otlp_endpoint")
        return OtlpExporter(url, secret_of(self._config, "agent_token", "agent.token")) if url else None
