"""Spans of the bus, after OpenTelemetry's messaging conventions 1.44.

``publish`` is a PRODUCER span whose context travels in the message; ``consume`` is a CONSUMER span with that context
as parent *and* link (the convention's own RabbitMQ example does both), so a trace reads as one tree and survives
batching and re-parenting. A message without trace headers simply starts a trace.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import Getter
from opentelemetry.trace import Link, SpanContext, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from fusebox import names
from fusebox.eventmap import Value
from rabbitmq.broker import Delivery, Header

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


def outgoing_headers() -> dict[str, Header]:
    """``traceparent`` and ``tracestate`` of the current span."""
    carrier: dict[str, Header] = {}
    _PROPAGATOR.inject(carrier)
    return carrier


def created_in(headers: Mapping[str, Header]) -> SpanContext:
    """The span that created a message; an invalid one when its headers name none.

    The propagator's work takes longer than a span's; only what is out of the ordinary is left to it.
    """
    plain = _PLAIN.fullmatch(str(headers.get(names.H_TRACEPARENT, "")))
    if plain is None or names.H_TRACESTATE in headers:
        context = _PROPAGATOR.extract(headers, Context(), getter=_Headers())
        return trace.get_current_span(context).get_span_context()
    return SpanContext(int(plain[1], 16), int(plain[2], 16), True, TraceFlags(int(plain[3], 16)))


def creation_links(created: SpanContext) -> Sequence[Link]:
    """A link to the span that created the message, when there is one."""
    return (Link(created),) if created.is_valid else ()


def publish_attributes(exchange: str, key: str, message_id: str, workflow: str) -> dict[str, Value]:
    """Attributes of a PRODUCER span."""
    return {
        **_common("publish", "send", destination(exchange, key), key),
        names.MESSAGING_MESSAGE_ID: message_id,
        names.MESSAGING_CONVERSATION: workflow,
    }


def consume_attributes(delivery: Delivery, exchange: str, key: str) -> dict[str, Value]:
    """Attributes of a CONSUMER span."""
    return {
        **_common("consume", "process", destination(exchange, key, delivery.queue), key),
        names.MESSAGING_MESSAGE_ID: delivery.message.message_id,
        names.MESSAGING_DELIVERY_TAG: delivery.tag,
    }


def settle_attributes(word: str, delivery: Delivery, exchange: str, key: str) -> dict[str, Value]:
    """Attributes of a settle span; ``word`` is the verb of AMQP."""
    return {
        **_common(word, "settle", destination(exchange, key, delivery.queue), key),
        names.MESSAGING_MESSAGE_ID: delivery.message.message_id,
        names.MESSAGING_DELIVERY_TAG: delivery.tag,
    }


def destination(exchange: str, key: str, queue: str = "") -> str:
    """``{exchange}:{routing key}:{queue}`` with empty parts, and a queue equal to the key, left out."""
    parts = [exchange, key, "" if queue == key else queue]
    return ":".join(part for part in parts if part) or "amq.default"


def _common(name: str, kind: str, place: str, key: str) -> dict[str, Value]:
    return {
        names.MESSAGING_SYSTEM: "rabbitmq",
        names.MESSAGING_OPERATION_NAME: name,
        names.MESSAGING_OPERATION_TYPE: kind,
        names.MESSAGING_DESTINATION: place,
        names.MESSAGING_ROUTING_KEY: key,
    }
