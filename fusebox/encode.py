"""Spans as an OTLP trace request, for a fraction of what the stock encoder takes.

There, each attribute becomes two Protobuf messages made in Python. Most attributes of an agent's spans say what those
of its last span said, so each is spelled once and remembered, and a span is the bytes of its fields with the bytes of
its attributes behind them. Only what few spans have is spelled by the generated classes. What comes out is the message
that the stock encoder makes, with two differences: text that UTF-8 cannot carry, wherever it stands, and a number
beyond 64 bits, are stored as text that it can, where the stock encoder leaves attributes out and fails at names.

Fields, by number (opentelemetry/proto/{collector/trace,trace,common,resource}/v1)::

    request    resource_spans = 1
    resource   resource = 1 (attributes = 1), scope_spans = 2, schema_url = 3
    scope      scope = 1 (name = 1, version = 2, attributes = 3), spans = 2, schema_url = 3
    span       trace_id = 1, span_id = 2, parent_span_id = 4, name = 5, kind = 6, start_time_unix_nano = 7,
               end_time_unix_nano = 8, attributes = 9, status = 15, flags = 16, all others by the generated class
    attribute  key = 1, value = 2 (string_value = 1, int_value = 3, all others by the generated class)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from struct import Struct
from typing import Any, Final

from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2 as otlp
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind
from opentelemetry.trace.status import StatusCode

from fusebox.protobuf import bytes_field, carried, sized, tag, varint

_KIND_TAG: Final = b"\x30"
_KINDS: Final = {kind: _KIND_TAG + varint(otlp.Span.SpanKind.Value(f"SPAN_KIND_{kind.name}")) for kind in SpanKind}
_TIMES: Final = Struct("<BQBQHI")
"""Start, end and flags, each behind its tag."""
_START, _END, _FLAGS_TAG = 0x39, 0x41, 0x0185
_TRACE_ID, _SPAN_ID, _PARENT = b"\x0a\x10", b"\x12\x08", b"\x22\x08"
"""Tags of ids, with their lengths."""
_NO_STATUS: Final = bytes_field(15, b"")
_KEY, _VALUE, _STRING, _INT = b"\x0a", b"\x12", b"\x0a", b"\x18"
_FLAGS: Final = otlp.SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK
_REMOTE: Final = otlp.SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK
_FIELDS: Final = {  # a truth value is an int, too
    str: "string_value", bool: "bool_value", int: "int_value", float: "double_value", bytes: "bytes_value",
}  # fmt: skip
_REPEATED: Final = frozenset({str, bool, int})
_OF_RESOURCE, _OF_SCOPE, _OF_SPAN = tag(1), tag(3), tag(9)
_REMEMBERED: Final = 2048
"""Attributes."""
_SHORT: Final = 128
"""Characters of a value that is remembered: longer ones do not come twice."""


class _Spelled(dict[tuple[str, type, Any], bytes]):
    """Attributes by key, type and value: ``1`` and ``True`` are equal, but not the same."""

    def __missing__(self, pair: tuple[str, type, Any]) -> bytes:
        key, kind, value = pair
        spelled = _spell(key, value)
        if kind is not str or len(value) <= _SHORT:
            if len(self) >= _REMEMBERED:
                self.clear()
            self[pair] = spelled
        return spelled


_SPELLED: Final = _Spelled()


class _Keys(dict[str, bytes]):
    """An attribute's key as it stands in it."""

    def __missing__(self, key: str) -> bytes:
        spelled = _KEY + sized(key.encode("utf-8", "replace"))
        if len(self) >= _REMEMBERED:
            self.clear()
        self[key] = spelled
        return spelled


_KEYS: Final = _Keys()


def encode(spans: Sequence[ReadableSpan]) -> bytes:
    """A serialised ``ExportTraceServiceRequest``; the same spans are the same bytes.

    Raises:
        ValueError, TypeError, OverflowError, struct.error: a span holds what OTLP has no spelling for.
    """
    groups = groupby(spans, key=lambda span: (id(span.resource), id(span.instrumentation_scope)))
    return b"".join(bytes_field(1, _group(list(members))) for _, members in groups)


def _group(spans: list[ReadableSpan]) -> bytes:
    """The spans of one resource and one scope."""
    resource, scope = spans[0].resource, spans[0].instrumentation_scope
    members = b"".join(bytes_field(2, _span(span)) for span in spans)
    inner = bytes_field(1, _scope(scope)) + members + _text(3, scope.schema_url if scope else None)
    return bytes_field(1, _resource(resource)) + bytes_field(2, inner) + _text(3, resource.schema_url)


def _resource(resource: Resource) -> bytes:
    return _attributes(_OF_RESOURCE, resource.attributes)


def _scope(scope: InstrumentationScope | None) -> bytes:
    if scope is None:
        return b""
    return _text(1, scope.name) + _text(2, scope.version) + _attributes(_OF_SCOPE, scope.attributes)


def _span(span: ReadableSpan) -> bytes:
    context, parent = span.context, span.parent
    return b"".join((
        _TRACE_ID, context.trace_id.to_bytes(16, "big"), _SPAN_ID, context.span_id.to_bytes(8, "big"),
        _PARENT + parent.span_id.to_bytes(8, "big") if parent else b"",
        _text(5, span.name), _KINDS[span.kind],
        _TIMES.pack(_START, span.start_time or 0, _END, span.end_time or 0, _FLAGS_TAG, _flags(parent)),
        _status(span), _rest(span), _attributes(_OF_SPAN, span.attributes),
    ))  # fmt: skip


def _status(span: ReadableSpan) -> bytes:
    status = span.status
    if status.status_code is StatusCode.UNSET and not status.description:
        return _NO_STATUS
    code: Any = status.status_code.value
    return bytes_field(15, otlp.Status(code=code, message=carried(status.description or "")).SerializeToString())


def _rest(span: ReadableSpan) -> bytes:
    """What few spans have."""
    state, lost = span.context.trace_state, (span.dropped_attributes, span.dropped_events, span.dropped_links)
    if not (state or span.events or span.links or any(lost)):
        return b""
    fields = otlp.Span(
        trace_state=state.to_header() if state else "", events=map(_event, span.events), links=map(_link, span.links)
    )
    fields.dropped_attributes_count, fields.dropped_events_count, fields.dropped_links_count = lost
    return bytes(fields.SerializeToString())


def _attributes(tag: bytes, attributes: Mapping[str, Any] | None) -> bytes:
    parts = [
        _SPELLED[key, type(value), value] if type(value) in _REPEATED else _spell(key, value)
        for key, value in (attributes or {}).items()
    ]
    return tag.join((b"", *parts))


def _spell(key: str, value: object) -> bytes:
    """An attribute with its length in front."""
    if type(value) is str:
        said = _STRING + sized(value.encode("utf-8", "replace"))
    elif type(value) is int and 0 <= value < 1 << 63:
        said = _INT + varint(value)
    else:
        return sized(bytes(KeyValue(key=carried(key), value=_value(value)).SerializeToString()))
    return sized(_KEYS[key] + _VALUE + sized(said))


def _event(event: Event) -> otlp.Span.Event:
    return otlp.Span.Event(
        name=carried(event.name),
        time_unix_nano=event.timestamp,
        attributes=_pairs(event.attributes),
        dropped_attributes_count=event.dropped_attributes,
    )


def _link(link: Link) -> otlp.Span.Link:
    return otlp.Span.Link(
        trace_id=link.context.trace_id.to_bytes(16, "big"),
        span_id=link.context.span_id.to_bytes(8, "big"),
        attributes=_pairs(link.attributes),
        dropped_attributes_count=link.dropped_attributes,
        flags=_flags(link.context),
    )


def _pairs(attributes: Mapping[str, Any] | None) -> Any:
    return [{"key": carried(key), "value": _value(value)} for key, value in (attributes or {}).items()]


def _value(value: Any) -> Any:
    """An ``AnyValue`` as a dict, which its class takes for one."""
    field = _FIELDS.get(type(value)) or next((_FIELDS[kind] for kind in _FIELDS if isinstance(value, kind)), None)
    if field == "string_value":
        return {field: carried(value)}
    if field == "int_value" and not -(1 << 63) <= value < 1 << 63:
        return {"string_value": str(value)}
    if field is not None:
        return {field: value}
    if value is None:
        return {}
    if isinstance(value, Mapping):
        return {"kvlist_value": {"values": _pairs(value)}}
    if isinstance(value, Sequence):
        return {"array_value": {"values": [_value(each) for each in value]}}
    raise TypeError(f"no attribute can be a {type(value).__name__}")


def _flags(context: SpanContext | None) -> int:
    return int(_FLAGS | _REMOTE if context and context.is_remote else _FLAGS)


def _text(number: int, text: str | None) -> bytes:
    return bytes_field(number, text.encode("utf-8", "replace")) if text else b""
