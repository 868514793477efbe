"""What readers of the spool see of a span."""

import pytest
from google.protobuf.message import DecodeError
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from collector.otlp import facts_of
from collector.receive.repeats import hash_of, key_in, sealed
from fusebox import names
from fusebox.eventmap import READ, SpanFacts, event_of, told_elsewhere
from tests.collector.otlp_samples import START_NS, request, span


def test_facts_of_a_span() -> None:
    item = span(
        {
            names.TARGET: "x",
            names.USAGE_INPUT: 3,
            names.COST_USD: 0.5,
            names.DELEGATED: True,
            names.ACTION: False,
            names.LINEAGE: "",
            names.ERROR_TYPE: 0,
            "nobody.reads.this": "x",
        },
        trace_id=b"\x01" * 16,
        span_id=b"\x02" * 8,
        parent_span_id=b"\x03" * 8,
        status=Status(code=Status.STATUS_CODE_ERROR),
    )
    assert list(facts_of(request(item, service="shop").SerializeToString())) == [
        SpanFacts(
            trace_id="01" * 16,
            span_id="02" * 8,
            parent_id="03" * 8,
            start=START_NS / 1e9,
            end=START_NS / 1e9 + 1,
            failed=True,
            service="shop",
            attributes={
                names.TARGET: "x",
                names.USAGE_INPUT: 3,
                names.COST_USD: 0.5,
                names.DELEGATED: True,
                names.ACTION: False,
                names.LINEAGE: "",
                names.ERROR_TYPE: 0,
            },
        )
    ]


def test_every_span_of_every_scope_in_order_and_behind_a_seal() -> None:
    message = request(span(name="1"), span(name="2"))
    message.MergeFrom(request(span(name="3")))
    record = sealed(message.SerializeToString(), hash_of("p", b"body"))
    ids = [s.span_id.hex() for r in message.resource_spans for c in r.scope_spans for s in c.spans]
    assert [facts.span_id for facts in facts_of(record)] == ids
    assert key_in(record) == hash_of("p", b"body")
    assert key_in(message.SerializeToString()) is None


def test_a_request_is_its_sender_and_every_byte() -> None:
    assert len({hash_of("p", b"body"), hash_of("q", b"body"), hash_of("p", b"bodz"), hash_of("pb", b"ody")}) == 4


def test_garbage_is_an_error() -> None:
    with pytest.raises(DecodeError):
        list(facts_of(b"\xff\xff"))


class Watched(dict[str, str]):
    """Attributes that note what they are asked for."""

    def __init__(self, *args: object) -> None:
        super().__init__(*args)
        self.asked: set[str] = set()

    def get(self, key: str, default: object = None) -> object:
        self.asked.add(key)
        return super().get(key, default)


def test_an_event_is_read_from_the_attributes_that_readers_are_told_of_and_no_others() -> None:
    asked: set[str] = set()
    for attributes in (
        {names.GEN_AI_OPERATION: "chat", names.GEN_AI_TOOL_ARGUMENTS: ""},
        {names.ACTION: "publish"},
        {names.MESSAGING_OPERATION_TYPE: "process"},
        {names.GEN_AI_OPERATION: "no action"},
    ):
        watched = Watched(attributes)
        facts = SpanFacts("t", "s", "", 1.0, 2.0, False, "svc", watched)
        assert not told_elsewhere(facts)
        event_of(facts)
        asked |= watched.asked
    assert asked == set(READ)
