"""Trace and log requests for tests, in every encoding."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from collector.otlp import facts_of
from fusebox.eventmap import SpanFacts

START_NS = 1_790_000_000_000_000_000


def any_value(value: Any) -> AnyValue:
    """An attribute value of a Python one."""
    match value:
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case bytes():
            return AnyValue(bytes_value=value)
        case list():
            return AnyValue(array_value=ArrayValue(values=[any_value(v) for v in value]))
        case dict():
            return AnyValue(kvlist_value=KeyValueList(values=pairs(value)))
    return AnyValue(string_value=value)


def pairs(attributes: Mapping[str, Any]) -> list[KeyValue]:
    return [KeyValue(key=key, value=any_value(value)) for key, value in attributes.items()]


def span(attributes: Mapping[str, Any] | None = None, **fields: Any) -> Span:
    """A span with random ids that took one second."""
    defaults: dict[str, Any] = {
        "trace_id": os.urandom(16),
        "span_id": os.urandom(8),
        "name": "work",
        "start_time_unix_nano": START_NS,
        "end_time_unix_nano": START_NS + 1_000_000_000,
    }
    return Span(**{**defaults, **fields}, attributes=pairs(attributes or {}))


def request(*spans: Span, service: str = "svc", resource: Mapping[str, Any] | None = None) -> ExportTraceServiceRequest:
    message = ExportTraceServiceRequest()
    item = message.resource_spans.add()
    item.resource.attributes.extend(pairs({"service.name": service, **(resource or {})}))
    item.scope_spans.add().spans.extend(spans)
    return message


def scalars(attributes: Iterable[KeyValue]) -> dict[str, Any]:
    """Attributes whose value is text, a number or a truth value."""
    kinds = ("string_value", "int_value", "double_value", "bool_value")
    found = [(pair.key, pair.value, pair.value.WhichOneof("value")) for pair in attributes]
    return {key: getattr(value, kind) for key, value, kind in found if kind in kinds}


def whole(payload: bytes) -> list[SpanFacts]:
    """What readers of the spool see of a record, with all scalar attributes."""
    spans = [
        item
        for resource in ExportTraceServiceRequest.FromString(payload).resource_spans
        for scope in resource.scope_spans
        for item in scope.spans
    ]
    return [
        replace(facts, attributes=scalars(item.attributes))
        for facts, item in zip(facts_of(payload), spans, strict=True)
    ]


def log(body: Any = "said", attributes: Mapping[str, Any] | None = None, **fields: Any) -> LogRecord:
    """A log record."""
    defaults: dict[str, Any] = {"time_unix_nano": START_NS, "severity_number": 9, "severity_text": "INFO"}
    return LogRecord(**{**defaults, **fields}, body=any_value(body), attributes=pairs(attributes or {}))


def logs_request(*records: LogRecord, service: str = "svc") -> ExportLogsServiceRequest:
    message = ExportLogsServiceRequest()
    item = message.resource_logs.add()
    item.resource.attributes.extend(pairs({"service.name": service}))
    item.scope_logs.add().log_records.extend(records)
    return message


def as_json(message: Message) -> bytes:
    """OTLP/JSON: like protobuf's JSON, but trace and span ids are hex."""
    return json.dumps(_with_hex_ids(MessageToDict(message))).encode()


def _with_hex_ids(data: Any) -> Any:
    if isinstance(data, list):
        return [_with_hex_ids(item) for item in data]
    if not isinstance(data, dict):
        return data
    ids = {"traceId", "spanId", "parentSpanId"} & data.keys()
    return {k: base64.b64decode(v).hex() if k in ids else _with_hex_ids(v) for k, v in data.items()}
