"""Stamping log records, and the events that travel as log records: like spans, except that none is refused.

A log record needs no ids; a wrong trace or span id is removed. It gets an id of ours, because nothing else tells two
equal records apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import xxhash
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs

from collector.receive.clean import clean, normalise, put, shorten
from collector.receive.identity import Attribution
from collector.receive.outline import refuse_too_many, refuse_too_scattered
from collector.receive.stamp import Stamped, is_id, more, stamp_resource
from collector.tokens import Principal
from fusebox import names
from fusebox.eventmap import Value

_OURS: Final = frozenset({names.TENANT, names.CLAIMED_AGENT, names.LOG_ID})


def stamp_logs(request: ExportLogsServiceRequest, principal: Principal, received: float) -> Stamped:
    """Rewrite ``request`` in place into what is stored.

    Args:
        received: Unix seconds.

    Raises:
        Refusal: it holds more than 50,000 log records, or more than 10,000 resources and scopes.
    """
    refuse_too_scattered(len(request.resource_logs))
    refuse_too_scattered(sum(1 + len(resource.scope_logs) for resource in request.resource_logs))
    offered = sum(1 for _ in _records(request))
    refuse_too_many(offered, "log records")
    request.DiscardUnknownFields()
    attribution = Attribution(principal)
    for resource in request.resource_logs:
        _stamp_resource(resource, principal, received, attribution)
    attribution.report()
    return Stamped(offered)


def number(request: ExportLogsServiceRequest, key: bytes) -> None:
    """Give each log record its id: the hash of the request's hash ``key`` and its place in the request."""
    for place, record in enumerate(_records(request)):
        put(record.attributes, names.LOG_ID, f"{xxhash.xxh3_64_intdigest(key + place.to_bytes(4)):016x}")


def _records(request: ExportLogsServiceRequest) -> Iterator[LogRecord]:
    return (record for rl in request.resource_logs for scope in rl.scope_logs for record in scope.log_records)


def _stamp_resource(resource: ResourceLogs, principal: Principal, received: float, attribution: Attribution) -> None:
    service = stamp_resource(resource.resource.attributes, principal, received)
    shorten(resource, "schema_url")
    for scope in resource.scope_logs:
        _stamp_scope(scope)
        for record in scope.log_records:
            _stamp_record(record, attribution, service)


def _stamp_scope(scope: ScopeLogs) -> None:
    clean(scope.scope.attributes, {})
    shorten(scope.scope, "name", "version")
    shorten(scope, "schema_url")


def _stamp_record(record: LogRecord, attribution: Attribution, service: str) -> None:
    facts: dict[str, Value] = {}
    record.dropped_attributes_count = more(record.dropped_attributes_count, clean(record.attributes, facts, _OURS))
    normalise(record.body)
    shorten(record, "severity_text", "event_name")
    if not is_id(record.trace_id, 16):
        record.trace_id = b""
    if not is_id(record.span_id, 8):
        record.span_id = b""
    attribution.attribute(record.attributes, facts, service)
