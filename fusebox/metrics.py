"""``/metrics`` of a role, in Prometheus text: OpenTelemetry's own counters, our happenings, and the gauges it adds.

Counters that the OpenTelemetry Collector has too bear its names (``otelcol_receiver_accepted_spans`` and so on, with
the suffix that Prometheus wants), so dashboards and alert rules made for it work here. Everything else begins with
``fusebox_``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from fusebox import happenings

TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Gauge:
    """One value of one gauge (without the prefix ``fusebox_``)."""

    name: str
    meaning: str
    value: float
    labels: dict[str, str] = field(default_factory=dict)

    kind = "gauge"

    @property
    def exposed(self) -> str:
        """Its name on the page."""
        return f"fusebox_{self.name}"


@dataclass(frozen=True, slots=True)
class Otel:
    """One value under a name of OpenTelemetry's; ``kind`` is ``counter`` or ``gauge``."""

    name: str
    meaning: str
    value: float
    labels: dict[str, str] = field(default_factory=dict)
    kind: str = "counter"

    @property
    def exposed(self) -> str:
        """Its name on the page."""
        return f"{self.name}_total" if self.kind == "counter" else self.name


def render(samples: Iterable[Gauge | Otel] = ()) -> str:
    """The exposition text; samples of one name must follow each other."""
    counts = happenings.counts()
    lines = []
    previous = ""
    for sample in samples:
        lines += [] if sample.exposed == previous else _head(sample.exposed, sample.kind, sample.meaning)
        lines.append(f"{sample.exposed}{_labels(sample.labels)} {sample.value:.15g}")
        previous = sample.exposed
    for kind in happenings.kinds():
        name = f"fusebox_{kind.name}_total"
        lines += [*_head(name, "counter", kind.meaning), f"{name} {counts[kind.name]}"]
    return "\n".join(lines) + "\n"


def accepted(count: float) -> Otel:
    """Spans that are durable in the spool."""
    return Otel("otelcol_receiver_accepted_spans", "spans made durable in the spool", count, _RECEIVER)


def accepted_logs(count: float) -> Otel:
    """Log records that are durable in the spool."""
    return Otel("otelcol_receiver_accepted_log_records", "log records made durable in the spool", count, _RECEIVER)


def refused(count: float) -> Otel:
    """Spans that were not taken."""
    return Otel("otelcol_receiver_refused_spans", "spans of taken requests that were refused", count, _RECEIVER)


def incoming(count: float) -> Otel:
    """Spans that live detection has looked at."""
    meaning = "spans that live detection has looked at"
    return Otel("otelcol_processor_incoming_items", meaning, count, {"processor": "watch", "otel_signal": "traces"})


def sent(count: float) -> Otel:
    """Spans written to the database."""
    return Otel("otelcol_exporter_sent_spans", "spans written to the database", count, _EXPORTER)


def sent_logs(count: float) -> Otel:
    """Log records written to the database."""
    return Otel("otelcol_exporter_sent_log_records", "log records written to the database", count, _EXPORTER)


def send_failed(count: float) -> Otel:
    """Records put aside as dead letters."""
    return Otel("otelcol_exporter_send_failed_spans", "records and spans put aside as dead letters", count, _EXPORTER)


def queue(size: float, capacity: float | None = None) -> Iterable[Otel]:
    """Bytes of the spool that wait (to *receive*, which needs the room: that it holds), and how many may."""
    meaning = "bytes of the spool that wait, or that it holds" if capacity else "bytes of the spool that wait"
    yield Otel("otelcol_exporter_queue_size", meaning, size, _EXPORTER, "gauge")
    if capacity is not None:
        yield Otel("otelcol_exporter_queue_capacity", "bytes at which the spool refuses", capacity, _EXPORTER, "gauge")


def dropped_by_sdks(count: float) -> Otel:
    """Spans that emitters say they gave up before sending (OpenTelemetry's SDK metrics, ``error.type=queue_full``)."""
    meaning = "spans that emitters say they gave up"
    return Otel("otel_sdk_processor_span_processed", meaning, count, {"error_type": "queue_full"})


_RECEIVER: Final = {"receiver": "otlp"}
_EXPORTER: Final = {"exporter": "clickhouse"}


def _head(name: str, kind: str, meaning: str) -> list[str]:
    return [f"# HELP {name} {meaning}", f"# TYPE {name} {kind}"]


def _labels(labels: dict[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escape(value)}"' for name, value in labels.items()) + "}"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
