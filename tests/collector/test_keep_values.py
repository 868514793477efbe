"""Values of every shape: what *receive* and the engine make of random spans is what plain Python makes of them.

The engine's protobuf reader knows neither arrays nor maps, so *receive* turns such values into JSON text before they
reach the spool. The oracle is a second route: it walks the request as it was sent, in a loop, without any of ours.
"""

from __future__ import annotations

import base64
import json
import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from collector.receive.decode import Encoding
from collector.receive.intake import Intake
from collector.receive.repeats import Repeats
from collector.receive.signals import TRACES
from collector.tokens import Principal
from fusebox.clock import ManualClock
from tests.collector.keep_bench import Bench
from tests.collector.otlp_samples import START_NS, as_json, request, span

_REQUESTS = 40
_DEPTH = 4
_TEXTS = ("", "x", "Grüße", "日本", '"quoted"', "back\\slash", "line\nbreak", "\u2028", "nul\0", "[1,2]", "{}", "null")
_FLOATS = (0.0, -0.0, 1.5, -2.25, 1e300, 5e-324, 0.1, 1e21, math.inf, -math.inf, math.nan)
_INTEGERS = (0, 1, -1, 2**53 + 1, 2**63 - 1, -(2**63))
_ADDED = ("gen_ai.agent.id", "fusebox.tenant", "fusebox.claimed_agent", "fusebox.time.doubt")


class _Spool:
    """Keeps the records."""

    def __init__(self) -> None:
        self.records: list[bytes] = []

    def append(self, payload: bytes) -> int:
        self.records.append(payload)
        return len(self.records)


def _value(chance: random.Random, depth: int) -> Any:
    kinds = ["text", "integer", "float", "bool", "bytes"] + ["array", "map"] * (2 if depth else 0)
    match chance.choice(kinds):
        case "text":
            return chance.choice(_TEXTS)
        case "integer":
            return chance.choice(_INTEGERS)
        case "float":
            return chance.choice(_FLOATS)
        case "bool":
            return chance.random() < 0.5
        case "bytes":
            return chance.randbytes(chance.randrange(5))
        case "array":
            return [_value(chance, depth - 1) for _ in range(chance.randrange(4))]
    return {f"k{n}": _value(chance, depth - 1) for n in range(chance.randrange(4))}


def _attributes(chance: random.Random) -> dict[str, Any]:
    return {f"a.{n}": _value(chance, _DEPTH) for n in range(chance.randrange(12))}


def _request(chance: random.Random) -> ExportTraceServiceRequest:
    spans = []
    for _ in range(chance.randint(1, 5)):
        item = span(_attributes(chance))
        for number in range(chance.randrange(3)):
            event = item.events.add(name=f"e{number}", time_unix_nano=START_NS + number)
            event.attributes.extend(span(_attributes(chance)).attributes)
        for _ in range(chance.randrange(3)):
            link = item.links.add(trace_id=chance.randbytes(16), span_id=chance.randbytes(8))
            link.attributes.extend(span(_attributes(chance)).attributes)
        spans.append(item)
    return request(*spans, resource=_attributes(chance))


def _text(value: AnyValue) -> str | None:
    """The Python route: a value as text, as the exporter's string map has it; None for a float, see _same."""
    kind = value.WhichOneof("value")
    if kind in ("array_value", "kvlist_value"):
        return json.dumps(_plain(value), ensure_ascii=False, separators=(",", ":"))
    if kind == "bool_value":
        return "true" if value.bool_value else "false"
    if kind == "bytes_value":
        return base64.b64encode(value.bytes_value).decode()
    return None if kind == "double_value" else str(getattr(value, kind)) if kind else ""


def _plain(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    if kind == "array_value":
        return [_plain(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return {pair.key: _plain(pair.value) for pair in value.kvlist_value.values}
    if kind == "double_value" and not math.isfinite(value.double_value):
        return str(value.double_value)
    if kind == "bytes_value":
        return base64.b64encode(value.bytes_value).decode()
    return getattr(value, kind) if kind else None


def _same(sent: Any, stored: dict[str, str]) -> bool:
    """The stored map is what was sent, give or take what receive adds. Floats are compared as numbers."""
    stored = {key: text for key, text in stored.items() if key not in _ADDED}
    values = {pair.key: pair.value for pair in sent}
    return values.keys() == stored.keys() and all(
        text == _text(values[key]) if _text(values[key]) is not None else _equal(float(text), values[key].double_value)
        for key, text in stored.items()
    )


def _equal(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with Bench(tmp_path) as bench:
        yield bench


@pytest.mark.parametrize("encoding", list(Encoding))
def test_the_engine_stores_what_plain_python_makes_of_random_spans(bench: Bench, encoding: Encoding) -> None:
    chance = random.Random(20)
    sent = [_request(chance) for _ in range(_REQUESTS)]
    spool = _Spool()
    intake = Intake(spool, ManualClock(), Repeats(ManualClock()))
    principal = Principal("local", "default", frozenset({"*"}))
    for message in sent:
        body = message.SerializeToString() if encoding is Encoding.PROTOBUF else as_json(message)
        intake.take(body, encoding, principal, TRACES)
    bench.store(*spool.records)
    columns = "SpanAttributes, ResourceAttributes, Events.Attributes, Links.Attributes"
    rows = {row[0]: row[1:] for row in bench.rows(f"SELECT SpanId, {columns} FROM otel_traces")}
    compared = 0
    for message in sent:
        (resource,) = message.resource_spans
        for item in resource.scope_spans[0].spans:
            attributes, of_resource, of_events, of_links = rows.pop(item.span_id.hex())
            assert _same(item.attributes, attributes)
            assert _same(resource.resource.attributes, of_resource)
            pairs = [*zip(item.events, of_events, strict=True), *zip(item.links, of_links, strict=True)]
            assert all(_same(part.attributes, stored) for part, stored in pairs)
            compared += sum(
                value.value.WhichOneof("value") in ("array_value", "kvlist_value") for value in item.attributes
            )
    assert rows == {}
    assert compared > 100, "arrays and maps were among them"
