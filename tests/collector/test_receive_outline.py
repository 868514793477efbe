"""What a request would become in memory is counted wherever it may hold many of something, before it is parsed."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from google.protobuf.json_format import MessageToDict, ParseDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from collector.receive.decode import Encoding, decode
from collector.receive.outline import MAX_GROUPS, MAX_PARTS, refuse_dense
from collector.receive.refusal import Refusal
from collector.receive.signals import LOGS, TRACES, Signal
from fusebox.prices import SHIPPED
from fusebox.protobuf import bytes_field
from tests.collector.otlp_samples import any_value, pairs
from tests.collector.test_receive_stamp import ANYBODY, NOW

Many = Callable[[int], "ExportTraceServiceRequest | ExportLogsServiceRequest"]


def _spans(*spans: Span) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    request.resource_spans.add().scope_spans.add().spans.extend(spans)
    return request


def _logs(*records: LogRecord) -> ExportLogsServiceRequest:
    request = ExportLogsServiceRequest()
    request.resource_logs.add().scope_logs.add().log_records.extend(records)
    return request


def _resource(count: int) -> ExportTraceServiceRequest:
    request = _spans()
    request.resource_spans[0].resource.attributes.extend([KeyValue()] * count)
    return request


def _scope(count: int) -> ExportLogsServiceRequest:
    request = _logs()
    request.resource_logs[0].scope_logs[0].scope.attributes.extend([KeyValue()] * count)
    return request


def _nested(count: int) -> ExportTraceServiceRequest:
    value: object = [0] * count
    for _ in range(10):
        value = [{"k": value}]
    return _spans(Span(attributes=[KeyValue(key="k", value=any_value(value))]))


PLACES: dict[str, tuple[Signal, Many]] = {
    "resource": (TRACES, _resource),
    "scope": (LOGS, _scope),
    "span": (TRACES, lambda n: _spans(Span(attributes=[KeyValue()] * n))),
    "events": (TRACES, lambda n: _spans(Span(events=[Span.Event()] * n))),
    "event": (TRACES, lambda n: _spans(Span(events=[Span.Event(attributes=[KeyValue()] * n)]))),
    "link": (TRACES, lambda n: _spans(Span(links=[Span.Link(attributes=[KeyValue()] * n)]))),
    "list": (TRACES, lambda n: _spans(Span(attributes=pairs({"k": [""] * n})))),
    "lists": (TRACES, lambda n: _spans(Span(attributes=pairs({"k": [[]] * n})))),
    "map": (LOGS, lambda n: _logs(LogRecord(attributes=pairs({"k": {str(i): "" for i in range(n)}})))),
    "body": (LOGS, lambda n: _logs(LogRecord(body=any_value([0] * n)))),
    "nested": (TRACES, _nested),
}


@pytest.mark.parametrize("place", PLACES)
def test_many_of_something_are_counted_wherever_they_stand(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    signal, many = PLACES[place]
    monkeypatch.setattr("collector.receive.outline.MAX_PARTS", 200)
    refuse_dense(many(100).SerializeToString(), signal.noun)
    with pytest.raises(Refusal, match="more than 200 parts"):
        refuse_dense(many(400).SerializeToString(), signal.noun)


def test_overlong_tags_hide_nothing() -> None:
    """The parser takes a tag in more bytes than it needs."""
    elements = bytes_field(5, b"\x8a\x00\x00" * (MAX_PARTS + 10))
    body = bytes_field(9, b"\x0a\x01k" + bytes_field(2, elements))
    for field in (2, 2, 1):
        body = bytes_field(field, body)
    values = TRACES.request.FromString(body).resource_spans[0].scope_spans[0].spans[0].attributes[0].value.array_value
    assert len(values.values) == MAX_PARTS + 10
    with pytest.raises(Refusal):
        refuse_dense(body, "spans")


def test_what_is_ordinary_counts_as_its_attributes_events_and_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """Long keys and values, numbers of any size and texts full of marks are one part each."""
    said = {"k" * 200: "v" * 70_000, "n": 1 << 60, "f": 0.5, "b": True, "q": '"\n\x1a' * 50_000}
    body = _spans(Span(trace_id=bytes(16), span_id=bytes(8), name="n", attributes=pairs(said))).SerializeToString()
    monkeypatch.setattr("collector.receive.outline.MAX_PARTS", len(said) + 3)
    refuse_dense(body, "spans")
    monkeypatch.setattr("collector.receive.outline.MAX_PARTS", len(said) + 2)
    with pytest.raises(Refusal):
        refuse_dense(body, "spans")


@pytest.mark.parametrize("encoding", Encoding)
@pytest.mark.parametrize("signal", [TRACES, LOGS], ids=lambda signal: signal.name)
def test_more_groups_than_can_be_stamped_are_refused(signal: Signal, encoding: Encoding) -> None:
    resources, scopes, _ = signal.levels
    groups = [{scopes: [{}]}] * (MAX_GROUPS // 2 + 1)
    if encoding is Encoding.JSON:
        body = json.dumps({resources: groups}).encode()
    else:
        body = ParseDict({resources: groups}, signal.request()).SerializeToString()
    with pytest.raises(Refusal, match="resources and scopes"):
        signal.stamp(decode(body, encoding, signal), ANYBODY, NOW, SHIPPED)


def test_json_that_would_become_too_many_objects_is_refused_unread() -> None:
    with pytest.raises(Refusal, match="parts"):
        decode(b'{"x":[' + b"{}," * MAX_PARTS + b"{}]}", Encoding.JSON, TRACES)
    message = _spans(*[Span(trace_id=bytes(16), span_id=bytes(8), attributes=pairs({"a": "b" * 100}))] * 5000)
    decode(json.dumps(MessageToDict(message)).encode(), Encoding.JSON, TRACES)
