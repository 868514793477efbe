"""Serialised ExportTraceServiceRequests as bytes: framing, spans, halves.

Requests are concatenated before the database parses them, so each must end exactly where its last field ends: a record
that claims more bytes than it has would swallow its neighbour without any error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

SpanId = tuple[str, str]
"""Trace and span id, lower-case hex."""

_TAGS = (1 << 3 | 2, 1002 << 3 | 2)  # resource_spans, and the request's hash that receive puts behind it
_MORE = 0x80


def framed(payload: bytes) -> bool:
    """True when ``payload`` is a sequence of complete fields as *receive* writes them, and nothing else."""
    position, end = 0, len(payload)
    while position < end:
        tag, position = _varint(payload, position)
        if tag not in _TAGS:
            return False
        length, position = _varint(payload, position)
        position += length
    return position == end


def span_ids(payload: bytes) -> list[SpanId]:
    """The ids of every span.

    Raises:
        ValueError: the bytes are no request.
    """
    return [(span.trace_id.hex(), span.span_id.hex()) for span in _spans(_parse(payload))]


def without(payload: bytes, present: frozenset[SpanId]) -> bytes:
    """The request without the spans in ``present``; empty when none is left. Raises like :func:`span_ids`."""
    return _filtered(payload, lambda _, span: (span.trace_id.hex(), span.span_id.hex()) not in present)


def only(payload: bytes, wanted: frozenset[SpanId]) -> bytes:
    """The request with no spans but those in ``wanted``; empty when it has none, or is no request."""
    try:
        return _filtered(payload, lambda _, span: (span.trace_id.hex(), span.span_id.hex()) in wanted)
    except ValueError:
        return b""


def halves(payloads: list[bytes]) -> tuple[list[bytes], list[bytes]] | None:
    """Two smaller lists with the same spans; None when there is nothing left to divide."""
    if len(payloads) > 1:
        middle = len(payloads) // 2
        return payloads[:middle], payloads[middle:]
    try:
        count = len(span_ids(payloads[0]))
    except ValueError:
        return None
    if count < 2:
        return None
    middle = count // 2
    left = _filtered(payloads[0], lambda index, _: index < middle)
    right = _filtered(payloads[0], lambda index, _: index >= middle)
    return [left], [right]


def bytes_field(number: int, value: bytes) -> bytes:
    """A length-delimited field."""
    return _encoded(number << 3 | 2) + _encoded(len(value)) + value


def fixed64_field(number: int, value: int) -> bytes:
    """A fixed64 field."""
    return _encoded(number << 3 | 1) + value.to_bytes(8, "little")


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """Value and the position behind it; a varint that is cut off reads as too long for any payload."""
    value = shift = 0
    while position < len(data) and shift < 64:
        byte = data[position]
        value |= (byte & ~_MORE) << shift
        position, shift = position + 1, shift + 7
        if byte < _MORE:
            return value, position
    return len(data) + 1, position


def _encoded(value: int) -> bytes:
    out = bytearray()
    while value >= _MORE:
        out.append(value & ~_MORE & 0xFF | _MORE)
        value >>= 7
    out.append(value)
    return bytes(out)


def _parse(payload: bytes) -> ExportTraceServiceRequest:
    try:
        request: ExportTraceServiceRequest = ExportTraceServiceRequest.FromString(payload)
    except DecodeError as error:
        raise ValueError(str(error)) from error
    return request


def _spans(request: ExportTraceServiceRequest) -> Iterator:  # type: ignore[type-arg]  # the generated types are untyped
    return (span for rs in request.resource_spans for ss in rs.scope_spans for span in ss.spans)


def _filtered(payload: bytes, keep: Callable) -> bytes:  # type: ignore[type-arg]
    request = _parse(payload)
    index = 0
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            spans = list(scope.spans)
            kept = [span for number, span in enumerate(spans, index) if keep(number, span)]
            index += len(spans)
            del scope.spans[:]
            scope.spans.extend(kept)
    left = any(True for _ in _spans(request))
    return bytes(request.SerializeToString()) if left else b""
