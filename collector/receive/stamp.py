"""Stamping: what a request may say about itself, and what only its token says.

The agent of a span is who the token may speak for. A span that claims another agent is attributed to the token's own
name and keeps its claim in ``fusebox.claimed_agent``; an id that is none becomes ``invalid:<16 hex of its SHA-256>``.
Tenant, cost, principal and time of receipt are written here and removed from what a sender sends.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from typing import Final

from google.protobuf.message import Message
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from collector.receive.clean import clean, cut, put
from collector.receive.pricing import price_of
from collector.receive.refusal import Refusal, Why
from collector.tokens import Principal
from fusebox import happenings, names
from fusebox.eventmap import Value, agent_of
from fusebox.prices import SHIPPED, PriceBook
from fusebox.registry import AGENT_ID

MAX_SPANS: Final = 50_000
_MAX_PARTS: Final = 128
_MAX_NAME: Final = 4096
_OURS_ON_SPANS: Final = frozenset({names.TENANT, names.COST_USD, names.COST_PRICE, names.CLAIMED_AGENT})
_OURS_ON_RESOURCES: Final = frozenset({names.PRINCIPAL, names.RECEIVED})

CLAIMED: Final = happenings.declare(
    "agent_claims_rewritten", logging.WARNING, "spans that named an agent their token is not bound to, or no valid id"
)
MISSHAPEN: Final = happenings.declare("spans_rejected", logging.WARNING, "spans refused for a wrong trace or span id")


@dataclass(frozen=True, slots=True)
class Stamped:
    """How many spans of a request stay, and how many were taken out for a wrong id."""

    accepted: int
    rejected: int


def stamp(
    request: ExportTraceServiceRequest, principal: Principal, received: float, book: PriceBook = SHIPPED
) -> Stamped:
    """Rewrite ``request`` in place into what is stored.

    Args:
        received: Unix seconds.
        book: the prices of inference spans.

    Raises:
        Refusal: it holds more than 50,000 spans.
    """
    offered = sum(len(scope.spans) for resource in request.resource_spans for scope in resource.scope_spans)
    if offered > MAX_SPANS:
        raise Refusal(Why.TOO_LARGE, f"{offered} spans in one request; send at most {MAX_SPANS}")
    request.DiscardUnknownFields()
    for resource in request.resource_spans:
        _Resource(resource, principal, received, book).stamp()
    accepted = sum(len(scope.spans) for resource in request.resource_spans for scope in resource.scope_spans)
    if offered - accepted:
        happenings.emit(MISSHAPEN, count=offered - accepted, principal=principal.name)
    return Stamped(accepted, offered - accepted)


def speaker(claim: str, principal: Principal) -> str:
    """The agent that a span of ``principal`` which claims to be ``claim`` is attributed to."""
    if not claim or not principal.may_speak_for(claim):
        return principal.name
    if not AGENT_ID.fullmatch(claim):
        return f"invalid:{hashlib.sha256(claim.encode()).hexdigest()[:16]}"
    return claim


class _Resource:
    def __init__(self, resource: ResourceSpans, principal: Principal, received: float, book: PriceBook) -> None:
        self._resource = resource
        self._principal = principal
        self._received = received
        self._book = book
        self._service = ""

    def stamp(self) -> None:
        facts: dict[str, Value] = {}
        attributes = self._resource.resource.attributes
        clean(attributes, facts, _OURS_ON_RESOURCES)
        self._service = str(facts.get(names.SERVICE_NAME, ""))
        put(attributes, names.PRINCIPAL, self._principal.name)
        put(attributes, names.RECEIVED, f"{self._received:.6f}")
        for scope in self._resource.scope_spans:
            self._scope(scope)

    def _scope(self, scope: ScopeSpans) -> None:
        clean(scope.scope.attributes, {})
        _shorten(scope.scope, "name", "version")
        _drop_misshapen(scope)
        for span in scope.spans:
            facts: dict[str, Value] = {}
            span.dropped_attributes_count += clean(span.attributes, facts, _OURS_ON_SPANS)
            _bound(span)
            self._identity(span, facts)
            self._price(span, facts)

    def _identity(self, span: Span, facts: dict[str, Value]) -> None:
        claim = agent_of(facts, self._service)
        agent = speaker(claim, self._principal)
        if agent != facts.get(names.GEN_AI_AGENT_ID):
            _replace(span, names.GEN_AI_AGENT_ID, agent)
        if claim and agent != claim:
            happenings.emit(CLAIMED, principal=self._principal.name, claim=claim[:200])
            put(span.attributes, names.CLAIMED_AGENT, cut(claim, _MAX_NAME))
        put(span.attributes, names.TENANT, self._principal.tenant)

    def _price(self, span: Span, facts: dict[str, Value]) -> None:
        cost = price_of(facts, span.start_time_unix_nano / 1e9, self._received, self._book)
        if cost:
            put(span.attributes, names.COST_USD, f"{cost.usd:f}")
            put(span.attributes, names.COST_PRICE, cost.price)


def _replace(span: Span, key: str, text: str) -> None:
    for pair in span.attributes:
        if pair.key == key:
            pair.value.string_value = text
            return
    put(span.attributes, key, text)


def _drop_misshapen(scope: ScopeSpans) -> None:
    good = [span for span in scope.spans if _is_id(span.trace_id, 16) and _is_id(span.span_id, 8)]
    if len(good) < len(scope.spans):
        del scope.spans[:]
        scope.spans.extend(good)


def _bound(span: Span) -> None:
    """Cut names and lists; drop references that cannot be ids."""
    _shorten(span, "name", "trace_state")
    _shorten(span.status, "message")
    if span.parent_span_id and not _is_id(span.parent_span_id, 8):
        span.parent_span_id = b""
    span.dropped_events_count += max(0, len(span.events) - _MAX_PARTS)
    del span.events[_MAX_PARTS:]
    for event in span.events:
        _shorten(event, "name")
        event.dropped_attributes_count += clean(event.attributes, {})
    _bound_links(span)


def _shorten(message: Message, *fields: str) -> None:
    for field in fields:
        text: str = getattr(message, field)
        if len(text) * 4 > _MAX_NAME:
            setattr(message, field, cut(text, _MAX_NAME))


def _bound_links(span: Span) -> None:
    for index in reversed(range(len(span.links))):
        link = span.links[index]
        if index >= _MAX_PARTS or not (_is_id(link.trace_id, 16) and _is_id(link.span_id, 8)):
            del span.links[index]
            span.dropped_links_count += 1
        else:
            _shorten(link, "trace_state")
            link.dropped_attributes_count += clean(link.attributes, {})


def _is_id(value: bytes, length: int) -> bool:
    return len(value) == length and any(value)
