"""The two kinds of telemetry that are stored, side by side: what differs between traces and logs stands here.

Metrics are not stored: agents' numbers are counted from their spans, and a half-stored metric would be a wrong one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from collector.otlp import logs_payload
from collector.receive.refusal import Refusal, Why
from collector.receive.stamp import Stamped, stamp
from collector.receive.stamp_logs import number, stamp_logs
from collector.tokens import Principal
from fusebox import happenings
from fusebox.prices import PriceBook

SPANS_STORED: Final = happenings.declare("spans_stored", logging.DEBUG, "spans made durable in the spool")
LOGS_STORED: Final = happenings.declare("logs_stored", logging.DEBUG, "log records made durable in the spool")


@dataclass(frozen=True, slots=True)
class Signal:
    """One kind of telemetry.

    Attributes:
        name: as in the path ``/v1/<name>``.
        noun: what there are many of in a request.
        service: the gRPC service with the method ``Export``.
        request, response: OTLP's messages.
        levels: names of the nested lists in OTLP/JSON: resources, scopes, items.
        rejected: the counter in the response's ``partial_success``.
        seed: keeps requests of different kinds apart whose bytes are equal.
        stamp: rewrites a request into what is stored.
        payload: a stamped request as a spool record, given the request's hash.
        stored: what is counted.
        identified: its items carry ids, by which one that comes again is known.
    """

    name: str
    noun: str
    service: str
    request: Any
    response: Any
    levels: tuple[str, str, str]
    rejected: str
    seed: int
    stamp: Callable[[Any, Principal, float, PriceBook], Stamped]
    payload: Callable[[Any, bytes], bytes]
    stored: happenings.Kind
    identified: bool = False


def _spans_payload(request: ExportTraceServiceRequest, _: bytes) -> bytes:
    return bytes(request.SerializeToString())


def _logs_payload(request: ExportLogsServiceRequest, key: bytes) -> bytes:
    number(request, key)
    return logs_payload(request)


TRACES: Final = Signal(
    name="traces",
    noun="spans",
    service="opentelemetry.proto.collector.trace.v1.TraceService",
    request=ExportTraceServiceRequest,
    response=ExportTraceServiceResponse,
    levels=("resourceSpans", "scopeSpans", "spans"),
    rejected="rejected_spans",
    seed=0,
    stamp=stamp,
    payload=_spans_payload,
    stored=SPANS_STORED,
    identified=True,
)
LOGS: Final = Signal(
    name="logs",
    noun="log records",
    service="opentelemetry.proto.collector.logs.v1.LogsService",
    request=ExportLogsServiceRequest,
    response=ExportLogsServiceResponse,
    levels=("resourceLogs", "scopeLogs", "logRecords"),
    rejected="rejected_log_records",
    seed=1,
    stamp=lambda request, principal, received, _: stamp_logs(request, principal, received),
    payload=_logs_payload,
    stored=LOGS_STORED,
)
SIGNALS: Final = (TRACES, LOGS)
NOT_STORED: Final = {
    "metrics": "opentelemetry.proto.collector.metrics.v1.MetricsService",
    "profiles": "opentelemetry.proto.collector.profiles.v1development.ProfilesService",
}
"""What OTLP also knows: name and gRPC service."""


def not_stored(name: str) -> Refusal:
    """The refusal of a kind of telemetry that is not stored; exporters do not retry it."""
    return Refusal(
        Why.NOT_FOUND,
        f"Fusebox stores traces and logs, not {name}; none of this was kept. Send {name} elsewhere or turn their "
        f"exporter off (OTEL_{name.upper()}_EXPORTER=none)",
    )
