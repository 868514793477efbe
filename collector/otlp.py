"""Reads a spool record, which is a serialised OTLP ``ExportTraceServiceRequest`` that *receive* has stamped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from collector.otlp_view import Request
from fusebox import names
from fusebox.eventmap import READ, SpanFacts, Value

_NS: Final = 1_000_000_000
_ERROR: Final = 2
"""OTLP's ``STATUS_CODE_ERROR``."""


def facts_of(payload: bytes) -> Iterator[SpanFacts]:
    """The facts of every span in a record; of its attributes, the ones that :mod:`fusebox.eventmap` reads.

    Raises:
        google.protobuf.message.DecodeError: the payload is no such request (a record never is anything else).
    """
    for resource in Request.FromString(payload).resource_spans:
        service = resource.resource.attributes.get(names.SERVICE_NAME)
        name = "" if service is None else str(_scalar(service))
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield _facts(span, name)


def _facts(span: Any, service: str) -> SpanFacts:
    return SpanFacts(
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        start=span.start_time_unix_nano / _NS,
        end=span.end_time_unix_nano / _NS,
        failed=span.status.code == _ERROR,
        service=service,
        attributes=_read(span.attributes),
    )


def _read(attributes: Mapping[str, Any]) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for name in READ:
        if name in attributes:
            value = attributes[name]
            found[name] = value.string_value or _scalar(value)
    return found


def _scalar(value: Any) -> Value:
    """Text, a number or a truth value; empty text for anything else."""
    kind = value.WhichOneof("value")
    scalar: Value = getattr(value, kind) if kind else ""
    return scalar
