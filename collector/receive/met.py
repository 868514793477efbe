"""Spans that come again in another request: a collector in front that got no answer sends them anew, in other company.

:mod:`collector.receive.repeats` knows a request by all its bytes. Here a span is known by who sent it, its ids, its
kind and its times, and is left out of a later request; the sender is told that it is stored, which it is: spans are
remembered once their record is durable. Two requests under way at the same time know nothing of each other, and what
came before the last :data:`CAPACITY` spans is forgotten; the named query ``ledger_repeated`` finds such rows.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from threading import Lock
from typing import Final

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans, Span

from fusebox import happenings, names

CAPACITY: Final = 1 << 17
"""Spans that are remembered at least; at most twice as many (some 20 MB)."""

REPEATED: Final = happenings.declare(
    "spans_repeated", logging.INFO, "spans that were sent again in another request, and stored once"
)


class Met:
    """Remembers spans. Thread-safe."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._lock = Lock()
        self._newer, self._older = set[int](), set[int]()

    def sift(self, request: ExportTraceServiceRequest, principal: str) -> list[int]:
        """Take out of ``request`` what is known already, or stands in it twice; the keys of what stays."""
        stay: dict[int, None] = {}
        for resource in request.resource_spans:
            for scope in resource.scope_spans:
                self._sift(scope, principal, stay)
        return list(stay)

    def remember(self, keys: Iterable[int]) -> None:
        """These are stored."""
        with self._lock:
            self._newer.update(keys)
            if len(self._newer) >= self._capacity:
                self._newer, self._older = set(), self._newer

    def learn(self, payload: bytes) -> None:
        """These are stored since before the restart: the spans of a record, none if it is one of logs."""
        try:
            request = ExportTraceServiceRequest.FromString(payload)
        except DecodeError:  # then no span can be known by it, and keep finds and tells it
            return
        for resource in request.resource_spans:
            said = {pair.key: pair.value.string_value for pair in resource.resource.attributes}
            principal = said.get(names.PRINCIPAL, "")
            self.remember(_key(span, principal) for scope in resource.scope_spans for span in scope.spans)

    def _sift(self, scope: ScopeSpans, principal: str, stay: dict[int, None]) -> None:
        kept = []
        with self._lock:
            newer, older = self._newer, self._older
            for span in scope.spans:
                key = _key(span, principal)
                if key not in newer and key not in older and key not in stay:
                    stay[key] = None
                    kept.append(span)
        if len(kept) < len(scope.spans):
            happenings.emit(REPEATED, count=len(scope.spans) - len(kept), principal=principal)
            del scope.spans[:]
            scope.spans.extend(kept)


def _key(span: Span, principal: str) -> int:
    return hash((principal, span.trace_id, span.span_id, span.kind, span.start_time_unix_nano, span.end_time_unix_nano))
