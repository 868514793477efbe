"""Spans as bytes: the same message that the stock encoder makes, whatever a span holds."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from fusebox.buffer import BatchRefused
from fusebox.encode import encode
from fusebox.otlp import OtlpExporter

TEXTS = st.text(st.characters(codec="utf-8"), max_size=200)
PLAIN = st.one_of(
    TEXTS, st.booleans(), st.integers(-(1 << 63), (1 << 63) - 1), st.integers(0, 2), st.floats(allow_nan=False)
)
VALUES = st.one_of(PLAIN, st.lists(PLAIN, max_size=3).map(tuple))
ATTRIBUTES = st.dictionaries(st.sampled_from(["a", "b", "c"]) | st.text("xyzäß", min_size=1), VALUES, max_size=6)
STATES = st.dictionaries(st.text("abc", min_size=1, max_size=3), st.text("123", min_size=1, max_size=3), max_size=2)
RESOURCES = [Resource({"service.name": "a"}), Resource({"service.name": "b", "n": 1}, "https://schema")]
SCOPES = [None, InstrumentationScope("fusebox", "1.0"), InstrumentationScope("other", None, "https://s", {"k": True})]


def contexts() -> st.SearchStrategy[SpanContext]:
    return st.builds(
        lambda trace, span, remote, state: SpanContext(
            trace, span, remote, TraceFlags(1), TraceState(list(state.items()))
        ),
        st.integers(1, (1 << 128) - 1), st.integers(1, (1 << 64) - 1), st.booleans(), STATES,
    )  # fmt: skip


SPANS = st.builds(
    ReadableSpan,
    name=TEXTS, context=contexts(), parent=st.none() | contexts(), resource=st.sampled_from(RESOURCES),
    attributes=ATTRIBUTES, events=st.lists(st.builds(Event, TEXTS, ATTRIBUTES, st.integers(0, 1 << 60)), max_size=2),
    links=st.lists(st.builds(Link, contexts(), ATTRIBUTES), max_size=2), kind=st.sampled_from(SpanKind),
    status=st.just(Status()) | st.builds(Status, st.just(StatusCode.ERROR), TEXTS), start_time=st.integers(0, 1 << 60),
    end_time=st.integers(0, 1 << 60), instrumentation_scope=st.sampled_from(SCOPES),
)  # fmt: skip


def span(attributes: dict[str, Any], name: str = "s") -> ReadableSpan:
    return ReadableSpan(name, SpanContext(1, 1, False), resource=RESOURCES[0], attributes=attributes)


def spans_of(data: bytes) -> Iterator[tuple[bytes, bytes, Span]]:
    """Each span with its resource and its scope."""
    for resource in ExportTraceServiceRequest.FromString(data).resource_spans:
        for scope in resource.scope_spans:
            around = resource.resource.SerializeToString(), scope.scope.SerializeToString() + scope.schema_url.encode()
            yield from ((*around, each) for each in scope.spans)


def told(span: ReadableSpan) -> dict[str, Any]:
    [(_, _, found)] = spans_of(encode([span]))
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in found.attributes}


@given(st.lists(SPANS, max_size=5))
def test_it_is_the_message_of_the_stock_encoder(spans: list[ReadableSpan]) -> None:
    def key(item: tuple[bytes, bytes, Span]) -> tuple[bytes, bytes, bytes]:
        return item[0], item[1], item[2].SerializeToString(deterministic=True)

    stock = encode_spans(spans).SerializeToString()
    assert sorted(map(key, spans_of(encode(spans)))) == sorted(map(key, spans_of(stock)))
    assert encode(spans) == encode(spans)


def test_a_span_of_the_sdk_is_one_as_well() -> None:
    kept = InMemorySpanExporter()
    provider = TracerProvider(resource=RESOURCES[1], span_limits=SpanLimits(max_span_attributes=1, max_events=1))
    provider.add_span_processor(SimpleSpanProcessor(kept))
    with provider.get_tracer("app", "2").start_as_current_span("outer", attributes={"k": [1, 2], "l": 3}) as outer:
        outer.add_event("dropped")
        outer.add_event("happened", {"x": 1.5})
    spans = kept.get_finished_spans()
    assert (spans[0].dropped_attributes, spans[0].dropped_events) == (1, 1)
    assert ExportTraceServiceRequest.FromString(encode(spans)) == encode_spans(spans)


def test_equal_values_of_two_types_stay_apart() -> None:
    assert [type(told(span({"k": value}))["k"]) for value in (1, True, 1.0, 0, False)] == [int, bool, float, int, bool]


def test_what_otlp_has_no_place_for_is_text() -> None:
    class Colour(StrEnum):
        RED = "red"

    assert told(span({"big": 1 << 70, "half": "a\ud800b", "colour": Colour.RED})) == {
        "big": str(1 << 70), "half": "a?b", "colour": "red",
    }  # fmt: skip


def test_half_a_surrogate_pair_costs_a_character_wherever_it_stands() -> None:
    half = "a\ud800b"
    around = InstrumentationScope(half, half, half, {half: half})
    odd = ReadableSpan(
        half, SpanContext(1, 1, False), resource=Resource({half: half}, half), attributes={half: half, "t": (half,)},
        events=[Event(half, {half: half}, 1)], status=Status(StatusCode.ERROR, half), instrumentation_scope=around,
    )  # fmt: skip
    [(resource, scope, found)] = spans_of(encode([odd]))
    assert found.name == found.status.message == found.events[0].name == "a?b"
    assert {pair.key for pair in (*found.attributes, *found.events[0].attributes)} == {"a?b", "t"}
    assert b"a?b" in resource
    assert scope.count(b"a?b") == 5


def test_more_attributes_than_are_remembered() -> None:
    many = [span({"n": number, "t": f"text {number % 5}"}) for number in range(5_000)]
    found = [each for _, _, each in spans_of(encode(many))]
    assert [each.attributes[0].value.int_value for each in found] == list(range(5_000))
    assert {each.attributes[1].value.string_value for each in found} == {f"text {number}" for number in range(5)}


@pytest.mark.parametrize("start", [-1, 1 << 64])
def test_a_time_that_otlp_has_no_place_for_is_refused(start: int) -> None:
    odd = ReadableSpan("s", SpanContext(1, 1, False), resource=RESOURCES[0], start_time=start)
    with pytest.raises(BatchRefused, match="cannot be encoded"):
        OtlpExporter("http://127.0.0.1:1", None).export([odd])


def test_what_cannot_be_encoded_is_said() -> None:
    with pytest.raises(TypeError, match="no attribute can be a set"):
        encode([span({"k": {1}})])
