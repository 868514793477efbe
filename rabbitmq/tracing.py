"""Spans of the bus, after OpenTelemetry's messaging conventions 1.44.

``publish`` is a PRODUCER span whose context travels in the message; ``consume`` is a CONSUMER span with that context
as parent *and* link (the convention's own RabbitMQ example does both), so a trace reads as one tree and survives
batching and re-parenting. A message without trace headers simply starts a trace.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import Getter
from opentelemetry.trace import Link, SpanContext, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from fusebox import names
from fusebox.eventmap import Value
from rabbitmq.broker import Header

_PROPAGATOR: Final = TraceContextTextMapPropagator()
_MAX_HEADER: Final = 512
_PLAIN: Final = re.compile("00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
"""A ``traceparent`` of version 00, as nearly all are (W3C Trace Context 3.2)."""


class _Headers(Getter[Mapping[str, Header]]):
    def get(self, carrier: Mapping[str, Header], key: str) -> list[str] | None:
        value = carrier.get(key)
        return [value] if isinstance(value, str) and len(value) <= _MAX_HEADER else None

    def keys(self, carrier: Mapping[str, Header]) -> list[str]:
        return list(carrier)


def headers_of(context: SpanContext) -> dict[str, Header]:
    """``traceparent`` and ``tracestate`` of a message that a span creates; none for an invalid span."""
    if not context.is_valid:
        return {}
    flags = int(context.trace_flags) & 0xFF
    headers: dict[str, Header] = {names.H_TRACEPARENT: f"00-{context.trace_id:032x}-{context.span_id:016x}-{flags:02x}"}
    if context.trace_state:
        headers[names.H_TRACESTATE] = context.trace_state.to_header()
    return headers


def created_in(headers: Mapping[str, Header]) -> SpanContext:
    """The span that created a message; an invalid one when its headers name none.

    The propagator's work takes longer than a span's; only what is out of the ordinary is left to it.
    """
    if names.H_TRACEPARENT not in headers:
        return trace.INVALID_SPAN_CONTEXT
    plain = _PLAIN.fullmatch(str(headers[names.H_TRACEPARENT]))
    if plain is None or names.H_TRACESTATE in headers:
        context = _PROPAGATOR.extract(headers, Context(), getter=_Headers())
        return trace.get_current_span(context).get_span_context()
    return SpanContext(int(plain[1], 16), int(plain[2], 16), True, TraceFlags(int(plain[3], 16)))


def creation_links(created: SpanContext) -> Sequence[Link]:
    """A link to the span that created the message, when there is one."""
    return (Link(created),) if created.is_valid else ()


@dataclass(frozen=True, slots=True)
class Described:
    """What a span of the bus is called, and the attributes that depend on nothing but the place."""

    span_name: str
    attributes: Mapping[str, Value]


@lru_cache(maxsize=4096)
def described(word: str, kind: str, exchange: str, key: str, queue: str = "") -> Described:
    """A span of ``word`` (AMQP's verb), of the operation type ``kind``, at this place."""
    place = destination(exchange, key, queue)
    attributes: dict[str, Value] = {
        names.MESSAGING_SYSTEM: "rabbitmq",
        names.MESSAGING_OPERATION_NAME: word,
        names.MESSAGING_OPERATION_TYPE: kind,
        names.MESSAGING_DESTINATION: place,
        names.MESSAGING_ROUTING_KEY: key,
    }
    return Described(f"{word} {place}", attributes)


def destination(exchange: str, key: str, queue: str = "") -> str:
    """``{exchange}:{routing key}:{queue}`` with empty parts, and a queue equal to the key, left out."""
    parts = [exchange, key, "" if queue == key else queue]
    return ":".join(part for part in parts if part) or "amq.default"
