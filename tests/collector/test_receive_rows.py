"""However a request comes, equal rows are stored, and they say what was sent: by property, read back from chDB."""

from __future__ import annotations

import base64
import gzip
import itertools
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from collector.receive.inflate import zstd
from tests.collector.keep_bench import Bench
from tests.collector.otlp_samples import as_json, logs_request, request
from tests.fixtures.receiving import JSON, Receiving, receiving

WAYS = ("http", "json", "json-gzip", "http-zstd", "grpc")
LATEST = 4_294_967_295_999_999_999

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
scalars = (
    text.map(lambda v: AnyValue(string_value=v))
    | st.booleans().map(lambda v: AnyValue(bool_value=v))
    | st.integers(-(2**63), 2**63 - 1).map(lambda v: AnyValue(int_value=v))
    | st.floats().map(lambda v: AnyValue(double_value=v))
    | st.binary(max_size=8).map(lambda v: AnyValue(bytes_value=v))
    | st.just(AnyValue())
)


def keyvalues(values: st.SearchStrategy[AnyValue]) -> st.SearchStrategy[list[KeyValue]]:
    return st.lists(st.builds(lambda k, v: KeyValue(key=k, value=v), text, values), max_size=4)


values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda v: AnyValue(array_value=ArrayValue(values=v)))
        | keyvalues(inner).map(lambda v: AnyValue(kvlist_value=KeyValueList(values=v)))
    ),
    max_leaves=4,
)
attributes = keyvalues(values)
nanos = st.integers(0, 2**64 - 1) | st.integers(1_789_000_000_000_000_000, 1_791_000_000_000_000_000)
ids = st.integers(1, 2**64 - 1).map(lambda n: n.to_bytes(8, "big"))
any_ids = ids | st.binary(max_size=9)
events = st.builds(Span.Event, name=text, time_unix_nano=nanos, attributes=attributes)
links = st.builds(Span.Link, trace_id=st.just(b"t" * 16), span_id=ids, trace_state=text, attributes=attributes)
statuses = st.builds(Status, code=st.integers(0, 2), message=text)
spans = st.builds(
    Span,
    trace_id=st.just(b"t" * 16),
    span_id=ids,
    parent_span_id=any_ids,
    trace_state=text,
    name=text,
    kind=st.integers(0, 5),
    start_time_unix_nano=nanos,
    end_time_unix_nano=nanos,
    attributes=attributes,
    events=st.lists(events, max_size=2),
    links=st.lists(links, max_size=2),
    status=statuses,
)
logs = st.builds(
    LogRecord,
    time_unix_nano=nanos | st.just(0),
    observed_time_unix_nano=nanos,
    severity_number=st.integers(0, 24),
    severity_text=text,
    body=values,
    attributes=attributes,
    flags=st.integers(0, 2**32 - 1),
    trace_id=st.just(b"t" * 16) | st.binary(max_size=17),
    span_id=any_ids,
    event_name=text,
)


class Paths:
    """One *receive* with a token for each way in, and one database behind it."""

    def __init__(self, role: Receiving, bench: Bench, call: Any) -> None:
        self.role, self.bench, self.call = role, bench, call
        self.tokens = {way: role.token(way) for way in WAYS}

    def send(self, signal: str, message: Message) -> None:
        plain, text = message.SerializeToString(), as_json(message)
        post, tokens = self.role.post, self.tokens
        assert post(signal, plain, tokens["http"])[0] == 200
        assert post(signal, text, tokens["json"], JSON)[0] == 200
        assert post(signal, gzip.compress(text), tokens["json-gzip"], JSON, {"content-encoding": "gzip"})[0] == 200
        assert post(signal, zstd.compress(plain), tokens["http-zstd"], headers={"content-encoding": "zstd"})[0] == 200
        self.call(signal, plain, tokens["grpc"])

    def rows(self, table: str, order: str) -> dict[str, list[dict[str, Any]]]:
        """What the last requests became, by way; in one insert, as *keep* does it."""
        batch = self.bench.store(*self.role.records())
        found = self.bench.engine.writer().query(
            f"SELECT * EXCEPT (_batch, _received), toUnixTimestamp64Nano(Timestamp) AS nano FROM {table} "
            f"WHERE _batch = {{batch:String}} ORDER BY {order}",
            {"batch": batch.id},
        )
        ways: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
        for values in found.result_rows:
            row = dict(zip(found.column_names, values, strict=True))
            row.pop("_id", None)
            ways[row.pop("_principal")].append(row)
        return ways


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Paths]:
    folder: Path = tmp_path_factory.mktemp("rows")
    with receiving(folder) as role, Bench(folder / "db") as bench, role.caller() as call:
        yield Paths(role, bench, call)


numbers = itertools.count(1)
examples = settings(max_examples=25)


@examples
@given(st.lists(spans, min_size=1, max_size=3, unique_by=lambda s: s.span_id), attributes)
def test_spans(path: Paths, sent: list[Span], resource: list[KeyValue]) -> None:
    trace = next(numbers).to_bytes(16, "big")
    for span in sent:
        span.trace_id = trace  # new spans each time, none sent again
    message = request(*sent, service=f"svc-{next(numbers)}")
    message.resource_spans[0].resource.attributes.extend(resource)
    path.send("traces", message)
    ways = path.rows("otel_traces", "_principal, SpanId")
    first = ways["http"]
    assert all(rows == first for rows in ways.values())
    for row, span in zip(first, sorted(sent, key=lambda s: s.span_id), strict=True):
        assert (row["TraceId"], row["SpanId"], row["SpanName"]) == (span.trace_id.hex(), span.span_id.hex(), span.name)
        assert row["nano"] == min(span.start_time_unix_nano, LATEST)
        assert row["Duration"] == max(0, span.end_time_unix_nano - span.start_time_unix_nano)
        assert row["StatusCode"] == ("Unset", "Ok", "Error")[span.status.code]
        assert row["ParentSpanId"] in (span.parent_span_id.hex(), "")
        assert row["Events.Name"] == [event.name for event in span.events]
        assert row["Links.SpanId"] == [link.span_id.hex() for link in span.links]
        check_attributes(row["SpanAttributes"], span.attributes)
        for found, event in zip(row["Events.Attributes"], span.events, strict=True):
            check_attributes(found, event.attributes)
        check_attributes(row["ResourceAttributes"], message.resource_spans[0].resource.attributes)


@examples
@given(st.lists(logs, min_size=1, max_size=3, unique_by=lambda r: r.event_name), attributes)
def test_logs(path: Paths, sent: list[LogRecord], scope: list[KeyValue]) -> None:
    message = logs_request(*sent, service=f"svc-{next(numbers)}")
    message.resource_logs[0].scope_logs[0].scope.attributes.extend(scope)
    path.send("logs", message)
    ways = path.rows("otel_logs", "_principal, EventName")
    first = ways["http"]
    assert all(rows == first for rows in ways.values())
    for row, record in zip(first, sorted(sent, key=lambda r: r.event_name.encode()), strict=True):
        assert (row["EventName"], row["SeverityText"]) == (record.event_name, record.severity_text)
        assert (row["SeverityNumber"], row["TraceFlags"]) == (record.severity_number, record.flags & 255)
        assert row["nano"] == min(record.time_unix_nano or record.observed_time_unix_nano, LATEST)
        whole = len(record.trace_id) == 16 and any(record.trace_id)
        assert row["TraceId"] == (record.trace_id.hex() if whole else "")
        check_value(row["Body"], record.body)
        check_attributes(row["LogAttributes"], record.attributes)
        check_attributes(row["ScopeAttributes"], scope)


def check_attributes(found: Mapping[str, str], sent: Any) -> None:
    """The first of each key that is not empty is there, as text; what else is there is ours."""
    expected: dict[str, AnyValue] = {}
    for pair in sent:
        if pair.key:
            expected.setdefault(pair.key, pair.value)
    for key, value in expected.items():
        check_value(found[key], value)
    ours = {"gen_ai.agent.id", "fusebox.tenant", "fusebox.time.doubt"}
    assert found.keys() - expected.keys() <= ours | {"fusebox.start_time_unix_nano", "fusebox.time_unix_nano"}


def check_value(found: str, sent: AnyValue) -> None:
    match sent.WhichOneof("value"):
        case "string_value":
            assert found == sent.string_value
        case "bool_value":
            assert found == ("true" if sent.bool_value else "false")
        case "int_value":
            assert int(found) == sent.int_value
        case "double_value":
            assert float(found) == sent.double_value or (math.isnan(float(found)) and math.isnan(sent.double_value))
        case "bytes_value":
            assert base64.b64decode(found) == sent.bytes_value
        case "array_value":
            assert len(json.loads(found)) == len(sent.array_value.values)
        case "kvlist_value":
            assert json.loads(found).keys() == {pair.key for pair in sent.kvlist_value.values}
        case _:
            assert found == ""
