"""The route that *keep* does not take: spans unfolded in Python, column by column, and inserted as columns.

It writes the same rows into the same table, through the same views, with the same promises, as a careful program
without the engine's Protobuf reader would: the official message classes, one pass over spans and attributes, one
column-oriented insert with a token.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

from collector.keep.batch import Batch
from collector.keep.engine import Engine

_COLUMNS: Final = (
    "Timestamp", "TraceId", "SpanId", "ParentSpanId", "TraceState", "SpanName", "SpanKind", "ServiceName",
    "ResourceAttributes", "ScopeName", "ScopeVersion", "SpanAttributes", "Duration", "StatusCode", "StatusMessage",
    "Events.Timestamp", "Events.Name", "Events.Attributes", "Links.TraceId", "Links.SpanId", "Links.TraceState",
    "Links.Attributes", "_batch", "_principal", "_received",
)  # fmt: skip
_KINDS: Final = ("Unspecified", "Internal", "Server", "Client", "Producer", "Consumer")
_STATUS: Final = ("Unset", "Ok", "Error")
_SETTINGS: Final = {"deduplicate_blocks_in_dependent_materialized_views": 1, "max_partitions_per_insert_block": 0}


class PythonRoute:
    """Writes batches as :class:`collector.keep.insert.Inserter` does, the other way."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def write(self, batch: Batch) -> None:
        """Store every span of the batch."""
        rows = [row for payload in batch.payloads for row in _rows(payload, batch.id)]
        self._engine.writer().insert(
            "otel_traces",
            [list(column) for column in zip(*rows, strict=True)],
            column_names=_COLUMNS,
            column_oriented=True,
            settings=_SETTINGS | {"insert_deduplication_token": batch.id},
        )


def _rows(payload: bytes, batch: str) -> Iterable[tuple[Any, ...]]:
    for resource in ExportTraceServiceRequest.FromString(payload).resource_spans:
        attributes = _attributes(resource.resource.attributes)
        principal, service = attributes.pop("fusebox.principal", ""), attributes.get("service.name", "")
        received = datetime.fromtimestamp(float(attributes.pop("fusebox.received", 0)), UTC)
        for scope in resource.scope_spans:
            name, version = scope.scope.name, scope.scope.version
            for s in scope.spans:
                yield (
                    s.start_time_unix_nano, s.trace_id.hex(), s.span_id.hex(), s.parent_span_id.hex(), s.trace_state,
                    s.name, _KINDS[s.kind], service, attributes, name, version, _attributes(s.attributes),
                    max(0, s.end_time_unix_nano - s.start_time_unix_nano), _STATUS[s.status.code], s.status.message,
                    [e.time_unix_nano for e in s.events], [e.name for e in s.events],
                    [_attributes(e.attributes) for e in s.events], [link.trace_id.hex() for link in s.links],
                    [link.span_id.hex() for link in s.links], [link.trace_state for link in s.links],
                    [_attributes(link.attributes) for link in s.links], batch, principal, received,
                )  # fmt: skip


def _attributes(pairs: Iterable[KeyValue]) -> dict[str, str]:
    return {pair.key: _text(pair.value) for pair in pairs}


def _text(value: Any) -> str:
    kind = value.WhichOneof("value")
    if kind == "string_value":
        return str(value.string_value)
    if kind == "bool_value":
        return "true" if value.bool_value else "false"
    return str(getattr(value, kind)) if kind else ""
