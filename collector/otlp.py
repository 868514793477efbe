"""A spool record's payload: a request that *receive* has stamped, of spans or of logs.

Spans are an OTLP ``ExportTraceServiceRequest`` (its ``resource_spans`` are field 1), logs have their ``ResourceLogs``
in field 2. So any records concatenated are one message that the database parses, and who reads spans sees no logs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from google.protobuf.unknown_fields import UnknownFieldSet
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import ResourceLogs

from collector.otlp_view import Request
from fusebox import names
from fusebox.eventmap import READ, SpanFacts, Value
from fusebox.genai import INDEXED
from fusebox.protobuf import bytes_field

SPANS_FIELD: Final = 1
LOGS_FIELD: Final = 2
_NS: Final = 1_000_000_000
_READ: Final = frozenset({*READ, names.SEQUENCE, names.DROPPED, names.CANARY})
_ERROR: Final = 2
"""OTLP's ``STATUS_CODE_ERROR``."""


def logs_payload(request: ExportLogsServiceRequest) -> bytes:
    """The payload of a record of logs."""
    return b"".join(bytes_field(LOGS_FIELD, resource.SerializeToString()) for resource in request.resource_logs)


def logs_of(payload: bytes) -> list[ResourceLogs]:
    """The logs in a record; none when it holds spans.

    Raises:
        google.protobuf.message.DecodeError: the payload is no record.
    """
    fields = UnknownFieldSet(ExportTraceServiceRequest.FromString(payload))
    return [ResourceLogs.FromString(field.data) for field in fields if field.field_number == LOGS_FIELD]


def facts_of(payload: bytes) -> Iterator[SpanFacts]:
    """The facts of every span in a record; of its attributes, the ones that somebody here reads.

    Raises:
        google.protobuf.message.DecodeError: the payload is no such request (a record never is anything else).
    """
    for resource in Request.FromString(payload).resource_spans:
        said = resource.resource.attributes
        service, instance = _text(said, names.SERVICE_NAME), _text(said, names.SERVICE_INSTANCE)
        emitter = f"{_text(said, names.PRINCIPAL)}\0{instance}" if instance else ""
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield _facts(span, service, emitter)


def _facts(span: Any, service: str, emitter: str) -> SpanFacts:
    status = span.status
    return SpanFacts(  # by place, which costs half as much as by name
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.start_time_unix_nano / _NS,
        span.end_time_unix_nano / _NS,
        status.code == _ERROR,
        service,
        _read(span.attributes),
        emitter,
        status.message,
    )


def _read(attributes: Mapping[str, Any]) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for name in attributes:  # cheaper than asking for each that is read: a span has a third as many
        if name in _READ:
            value = attributes[name]
            found[name] = value.string_value or _scalar(value)
    if names.LLM_REQUEST_TYPE in found or names.OPENINFERENCE_KIND in found:
        found |= {name: _scalar(attributes[name]) for name in attributes if name.startswith(INDEXED)}
    return found


def _text(attributes: Mapping[str, Any], name: str) -> str:
    value = attributes.get(name)
    return "" if value is None else str(_scalar(value))


def _scalar(value: Any) -> Value:
    """Text, a number or a truth value; empty text for anything else."""
    kind = value.WhichOneof("value")
    scalar: Value = getattr(value, kind) if kind else ""
    return scalar
