"""OTLP requests for tests of *keep*, in the shape *receive* puts into the spool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

NOW = 1_760_000_000.0
Value = str | int | float | bool


@dataclass(frozen=True)
class Span:
    """A span with sensible defaults."""

    span_id: int = 1
    trace_id: int = 1
    parent: int = 0
    name: str = "execute_tool tickets.comment"
    kind: int = 1
    start: float = NOW
    seconds: float = 0.5
    status: int = 0
    attributes: Mapping[str, Value] = field(default_factory=lambda: {"fusebox.action": "tool_call"})
    links: Sequence[tuple[int, int]] = ()
    start_ns: int | None = None


def request(
    *spans: Span, service: str = "helper", principal: str = "local", received: float = NOW,
    resource: Mapping[str, Value] | None = None,
) -> bytes:  # fmt: skip
    """One serialised request."""
    message = ExportTraceServiceRequest()
    part = message.resource_spans.add()
    said = {"service.name": service, "fusebox.principal": principal, "fusebox.received": received, **(resource or {})}
    for key, value in said.items():
        _put(part.resource.attributes.add(), key, value)
    scope = part.scope_spans.add()
    scope.scope.name = "fusebox"
    for span in spans:
        _fill(scope.spans.add(), span)
    return bytes(message.SerializeToString())


def _fill(target, span: Span) -> None:  # type: ignore[no-untyped-def]
    target.trace_id = span.trace_id.to_bytes(16, "big")
    target.span_id = span.span_id.to_bytes(8, "big")
    target.parent_span_id = span.parent.to_bytes(8, "big") if span.parent else b""
    target.name, target.kind, target.status.code = span.name, span.kind, span.status
    start = int(span.start * 1e9) if span.start_ns is None else span.start_ns
    target.start_time_unix_nano = start
    target.end_time_unix_nano = min(start + int(span.seconds * 1e9), 2**64 - 1)
    for key, value in span.attributes.items():
        _put(target.attributes.add(), key, value)
    for trace_id, span_id in span.links:
        link = target.links.add()
        link.trace_id, link.span_id = trace_id.to_bytes(16, "big"), span_id.to_bytes(8, "big")


def _put(target, key: str, value: Value) -> None:  # type: ignore[no-untyped-def]
    target.key = key
    if isinstance(value, bool):
        target.value.bool_value = value
    elif isinstance(value, int):
        target.value.int_value = value
    elif isinstance(value, float):
        target.value.double_value = value
    else:
        target.value.string_value = value
