"""Records as bytes (their format is in :mod:`collector.otlp`): framing, what is in them, halves.

Records are concatenated before the database parses them, so each must end exactly where its last field ends: a record
that claims more bytes than it has would swallow its neighbour without any error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from collector.otlp import LOGS_FIELD, SPANS_FIELD, logs_of, logs_payload
from fusebox import names
from fusebox.protobuf import varint

Identity = tuple[str, str]
"""A span's trace and span id in lower-case hex; ``LOG`` and the id that *receive* gave a log record."""
LOG = "log"

_TAGS = tuple(field << 3 | 2 for field in (SPANS_FIELD, LOGS_FIELD, 1002))
"""What a record is made of; 1002 is the request's hash that *receive* puts behind it."""
_LOGS = varint(LOGS_FIELD << 3 | 2)
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


def holds_logs(payload: bytes) -> bool:
    """True for a record of logs; a record is all spans or all logs."""
    return payload[:1] == _LOGS


def identities(payload: bytes) -> list[Identity]:
    """The identity of every span and log record.

    Raises:
        ValueError: the bytes are no record.
    """
    return [_identity(item) for items in _lists(*_parse(payload)) for item in items]


def without(payload: bytes, present: frozenset[Identity]) -> bytes:
    """The record without what is in ``present``; empty when nothing is left. Raises like :func:`identities`."""
    return _filtered(payload, lambda _, item: _identity(item) not in present)


def only(payload: bytes, wanted: frozenset[Identity]) -> bytes:
    """The request with no spans but those in ``wanted``; empty when it has none, or is no request."""
    try:
        return _filtered(payload, lambda _, item: _identity(item) in wanted)
    except ValueError:
        return b""


def halves(payloads: list[bytes]) -> tuple[list[bytes], list[bytes]] | None:
    """Two smaller lists with the same content; None when there is nothing left to divide."""
    if len(payloads) > 1:
        middle = len(payloads) // 2
        return payloads[:middle], payloads[middle:]
    try:
        count = len(identities(payloads[0]))
    except ValueError:
        return None
    if count < 2:
        return None
    middle = count // 2
    left = _filtered(payloads[0], lambda index, _: index < middle)
    right = _filtered(payloads[0], lambda index, _: index >= middle)
    return [left], [right]


def fixed64_field(number: int, value: int) -> bytes:
    """A fixed64 field."""
    return varint(number << 3 | 1) + value.to_bytes(8, "little")


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


def _parse(payload: bytes) -> tuple[ExportTraceServiceRequest, ExportLogsServiceRequest]:
    """What a record holds of spans and of logs; one of them is empty."""
    try:
        spans = ExportTraceServiceRequest.FromString(payload)
        logs = ExportLogsServiceRequest(resource_logs=logs_of(payload))
    except DecodeError as error:
        raise ValueError(str(error)) from error
    spans.DiscardUnknownFields()
    return spans, logs


def _lists(spans: ExportTraceServiceRequest, logs: ExportLogsServiceRequest) -> Iterator[Any]:
    """Every list of spans or log records."""
    for resource in spans.resource_spans:
        yield from (scope.spans for scope in resource.scope_spans)
    for resource in logs.resource_logs:
        yield from (scope.log_records for scope in resource.scope_logs)


def _identity(item: Any) -> Identity:
    if isinstance(item, Span):
        return item.trace_id.hex(), item.span_id.hex()
    return LOG, next((pair.value.string_value for pair in item.attributes if pair.key == names.LOG_ID), "")


def _filtered(payload: bytes, keep: Callable[[int, Any], bool]) -> bytes:
    spans, logs = _parse(payload)
    index = left = 0
    for items in _lists(spans, logs):
        kept = [item for number, item in enumerate(items, index) if keep(number, item)]
        index += len(items)
        left += len(kept)
        del items[:]
        items.extend(kept)
    return bytes(spans.SerializeToString()) + logs_payload(logs) if left else b""
