"""Stamping spans: a request becomes what is stored.

Tenant, cost, principal and time of receipt are written here and removed from what a sender sends; the agent follows
:mod:`collector.receive.identity`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span

from collector.receive.clean import SURELY_SHORT, clean, put, shorten
from collector.receive.foreign import translate
from collector.receive.identity import Attribution
from collector.receive.outline import refuse_too_many, refuse_too_scattered
from collector.receive.pricing import price_of, tier_of
from collector.receive.times import doubt
from collector.tokens import Principal
from fusebox import happenings, names
from fusebox.eventmap import Value
from fusebox.prices import SHIPPED, PriceBook

_MAX_PARTS: Final = 128
_OURS_ON_SPANS: Final = frozenset(
    {names.TENANT, names.COST_USD, names.COST_PRICE, names.COST_TIER, names.CLAIMED_AGENT, names.TIME_DOUBT}
)
_OURS_ON_RESOURCES: Final = frozenset({names.PRINCIPAL, names.RECEIVED})

MISSHAPEN: Final = happenings.declare("spans_rejected", logging.WARNING, "spans refused for a wrong trace or span id")
WRONG_IDS: Final = "spans without a 16-byte trace id and an 8-byte span id, both not zero, were not stored"


Price = Callable[[Span, dict[str, Value]], None]


@dataclass(frozen=True, slots=True)
class Stamped:
    """How many spans or log records of a request stay, how many were taken out, and why."""

    accepted: int
    rejected: int = 0
    message: str = ""


def stamp(
    request: ExportTraceServiceRequest, principal: Principal, received: float, book: PriceBook = SHIPPED
) -> Stamped:
    """Rewrite ``request`` in place into what is stored.

    Args:
        received: Unix seconds.
        book: the prices of inference spans.

    Raises:
        Refusal: it holds more than 50,000 spans, or more than 10,000 resources and scopes.
    """
    refuse_too_scattered(len(request.resource_spans))
    refuse_too_scattered(sum(1 + len(resource.scope_spans) for resource in request.resource_spans))
    offered = sum(len(scope.spans) for resource in request.resource_spans for scope in resource.scope_spans)
    refuse_too_many(offered, "spans")
    request.DiscardUnknownFields()
    attribution = Attribution(principal)
    for resource in request.resource_spans:
        service = stamp_resource(resource.resource.attributes, principal, received)
        for scope in resource.scope_spans:
            _stamp_scope(scope, service, attribution, received, lambda span, facts: _price(span, facts, received, book))
    attribution.report()
    accepted = sum(len(scope.spans) for resource in request.resource_spans for scope in resource.scope_spans)
    if offered == accepted:
        return Stamped(accepted)
    happenings.emit(MISSHAPEN, count=offered - accepted, principal=principal.name)
    return Stamped(accepted, offered - accepted, WRONG_IDS)


def stamp_resource(attributes: Any, principal: Principal, received: float) -> str:
    """Clean a resource's attributes, add who sent it and when, and return its service's name."""
    facts: dict[str, Value] = {}
    clean(attributes, facts, _OURS_ON_RESOURCES)
    put(attributes, names.PRINCIPAL, principal.name)
    put(attributes, names.RECEIVED, f"{received:.6f}")
    return str(facts.get(names.SERVICE_NAME, ""))


def is_id(value: bytes, length: int) -> bool:
    """True for a trace id of 16 or a span id of 8 bytes that is not all zeros."""
    return len(value) == length and any(value)


def _stamp_scope(scope: ScopeSpans, service: str, attribution: Attribution, received: float, price: Price) -> None:
    clean(scope.scope.attributes, {})
    shorten(scope.scope, "name", "version")
    _drop_misshapen(scope)
    for span in scope.spans:
        _stamp_span(span, service, attribution, price)
    doubt(scope.spans, received)


def _stamp_span(span: Span, service: str, attribution: Attribution, price: Price) -> None:
    facts: dict[str, Value] = {}
    attributes = span.attributes
    dropped = clean(attributes, facts, _OURS_ON_SPANS)
    if dropped:
        span.dropped_attributes_count = more(span.dropped_attributes_count, dropped)
    _bound(span)
    translate(attributes, facts)
    attribution.attribute(attributes, facts, service)
    if facts.get(names.GEN_AI_OPERATION) in names.INFERENCE_OPERATIONS:
        price(span, facts)


_MOST: Final = (1 << 32) - 1


def more(count: int, by: int) -> int:
    """A sender's uint32 counter plus ours, which must not overflow it."""
    return min(count + by, _MOST)


def _price(span: Span, facts: dict[str, Value], received: float, book: PriceBook) -> None:
    cost = price_of(facts, span.start_time_unix_nano / 1e9, received, book)
    if cost:
        put(span.attributes, names.COST_USD, f"{cost.usd:f}")
        put(span.attributes, names.COST_PRICE, cost.price)
    if tier := tier_of(facts):  # also without a cost: prices may come to be known
        put(span.attributes, names.COST_TIER, tier)


def _drop_misshapen(scope: ScopeSpans) -> None:
    good = [span for span in scope.spans if is_id(span.trace_id, 16) and is_id(span.span_id, 8)]
    if len(good) < len(scope.spans):
        del scope.spans[:]
        scope.spans.extend(good)


def _bound(span: Span) -> None:
    """Cut names and lists; drop references that cannot be ids. Most spans have nothing of what costs here."""
    if len(span.name) > SURELY_SHORT or span.trace_state:
        shorten(span, "name", "trace_state")
    if span.HasField("status"):
        shorten(span.status, "message")
    parent = span.parent_span_id
    if parent and not is_id(parent, 8):
        span.parent_span_id = b""
    if span.events:
        _bound_events(span)
    if span.links:
        _bound_links(span)


def _bound_events(span: Span) -> None:
    span.dropped_events_count = more(span.dropped_events_count, max(0, len(span.events) - _MAX_PARTS))
    del span.events[_MAX_PARTS:]
    for event in span.events:
        shorten(event, "name")
        event.dropped_attributes_count = more(event.dropped_attributes_count, clean(event.attributes, {}))


def _bound_links(span: Span) -> None:
    for index in reversed(range(len(span.links))):
        link = span.links[index]
        if index >= _MAX_PARTS or not (is_id(link.trace_id, 16) and is_id(link.span_id, 8)):
            del span.links[index]
            span.dropped_links_count = more(span.dropped_links_count, 1)
        else:
            shorten(link, "trace_state")
            link.dropped_attributes_count = more(link.dropped_attributes_count, clean(link.attributes, {}))
