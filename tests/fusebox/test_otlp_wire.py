"""What leaves this process is what the stock encoder would send."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace.span import TraceState

from fusebox.clock import SystemClock
from fusebox.otlp_wire import encode
from fusebox.telemetry import Telemetry

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
plain = st.one_of(texts, st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), st.binary())
values = plain | st.lists(texts).map(tuple) | st.lists(st.integers(-9, 9)).map(tuple)
attributes = st.dictionaries(st.text(st.characters(codec="utf-8"), min_size=1, max_size=150), values, max_size=8)
states = st.sampled_from([None, TraceState([("a", "1")]), TraceState([("a", "1"), ("b", "2")])])
contexts = st.builds(
    SpanContext, st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.booleans(), st.just(TraceFlags(1)), states
)
links = st.lists(st.builds(Link, contexts, attributes), max_size=2)


told = st.fixed_dictionaries({
    "service": st.sampled_from(["a", "b"]), "name": texts, "kind": st.sampled_from(SpanKind), "attributes": attributes,
    "parent": st.none() | contexts, "links": links, "failed": st.none() | texts, "event": st.none() | texts,
})  # fmt: skip


def ended(told: dict[str, Any]) -> ReadableSpan:
    telemetry = Telemetry(None, service=told["service"], clock=SystemClock())
    opened = telemetry.open(
        told["name"], told["kind"], dict(told["attributes"]), parent=told["parent"], links=told["links"]
    )
    if told["failed"] is not None:
        opened.span.set_status(Status(StatusCode.ERROR, told["failed"]))
    if told["event"] is not None:
        opened.span.add_event("exception", {"exception.message": told["event"]})
    opened.close()
    return opened.span.readable()


@settings(deadline=None)
@given(st.lists(told, min_size=1, max_size=4))
def test_every_span_is_encoded_as_by_the_stock_encoder(descriptions: Sequence[dict[str, Any]]) -> None:
    batch = [ended(told) for told in descriptions]
    sent = ExportTraceServiceRequest.FromString(encode(batch))
    stock = encode_spans(batch)
    assert _spans(sent) == _spans(stock)
    assert {str(each.resource) for each in sent.resource_spans} == {str(each.resource) for each in stock.resource_spans}


def test_the_spans_of_one_process_share_a_resource() -> None:
    telemetry = Telemetry(None, service="a", clock=SystemClock())
    batch = [span(telemetry, number=number) for number in range(3)]
    assert ExportTraceServiceRequest.FromString(encode(batch)) == encode_spans(batch)


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1])
def test_a_number_that_is_too_large_costs_no_span(value: int) -> None:
    batch = [span(Telemetry(None, service="a", clock=SystemClock()), number=value)]
    (sent,) = _spans(ExportTraceServiceRequest.FromString(encode(batch))).values()
    assert [(each.key, each.value.string_value) for each in sent.attributes] == [("number", str(value))]


def test_what_no_span_can_carry_is_an_error() -> None:
    bare = ReadableSpan("x", SpanContext(1, 2, False), attributes={"object": object()})  # type: ignore[dict-item]
    with pytest.raises(TypeError, match="object"):
        encode([bare])
    with pytest.raises(OverflowError):
        encode([ReadableSpan("x", SpanContext(1, 2, False), start_time=-1)])


def span(telemetry: Telemetry, **told: Any) -> ReadableSpan:
    opened = telemetry.open("x", SpanKind.CLIENT, told)
    opened.close()
    return opened.span.readable()


def _spans(request: ExportTraceServiceRequest) -> dict[bytes, Any]:
    return {s.span_id: s for r in request.resource_spans for c in r.scope_spans for s in c.spans}
