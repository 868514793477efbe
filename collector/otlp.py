"""A spool record's payload: a request that *receive* has stamped, of spans or of logs.

Spans are an OTLP ``ExportTraceServiceRequest`` (its ``resource_spans`` are field 1), logs have their ``ResourceLogs``
in field 2. So any records concatenated are one message that the database parses, and who reads spans sees no logs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from google.protobuf.unknown_fields import UnknownFieldSet
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import ResourceLogs
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from fusebox import names
from fusebox.eventmap import SpanFacts, Value

SPANS_FIELD: Final = 1
LOGS_FIELD: Final = 2
_LENGTH_DELIMITED: Final = 2
_NS: Final = 1_000_000_000


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


def bytes_field(number: int, value: bytes) -> bytes:
    """A length-delimited Protobuf field."""
    return varint(number << 3 | _LENGTH_DELIMITED) + varint(len(value)) + value


def varint(value: int) -> bytes:
    """Protobuf's variable-length spelling of a number that is not negative."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


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
        attributes=scalars(span.attributes),
    )
