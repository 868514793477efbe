"""Reads a spool record, which is a serialised OTLP ``ExportTraceServiceRequest`` that *receive* has stamped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from fusebox import names
from fusebox.eventmap import SpanFacts, Value

_NS: Final = 1_000_000_000


def facts_of(payload: bytes) -> Iterator[SpanFacts]:
    """The facts of every span in a record.

    Raises:
        google.protobuf.message.DecodeError: the payload is no such request (a record never is anything else).
    """
    for resource in ExportTraceServiceRequest.FromString(payload).resource_spans:
        service = str(scalars(resource.resource.attributes).get(names.SERVICE_NAME, ""))
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield _facts(span, service)


def scalars(attributes: Iterable[KeyValue]) -> dict[str, Value]:
    """Attributes whose value is text, a number or a truth value."""
    found: dict[str, Value] = {}
    for pair in attributes:
        value = pair.value
        match value.WhichOneof("value"):
            case "string_value":
                found[pair.key] = value.string_value
            case "int_value":
                found[pair.key] = value.int_value
            case "double_value":
                found[pair.key] = value.double_value
            case "bool_value":
                found[pair.key] = value.bool_value
    return found


def _facts(span: Span, service: str) -> SpanFacts:
    return SpanFacts(
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        start=span.start_time_unix_nano / _NS,
        end=span.end_time_unix_nano / _NS,
        failed=span.status.code == Status.STATUS_CODE_ERROR,
        service=service,
        message=span.status.message,
        attributes=scalars(span.attributes),
    )
