"""What the laboratory sends, and how each thing must stand in each table: told here, not asked of the product.

Everything that a row is made of is put into one text, by the database and by :func:`spans` and :func:`logs`.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from genai_prices import Usage, calc_price
from google.protobuf.message import Message

from fusebox.names import SCORE_SPAN
from tests.collector.otlp_samples import log, logs_request, request, span

STORED: Final[Mapping[str, str]] = {
    "otel_traces": f"""SELECT SpanId AS id, concatWithSeparator('|', TraceId, ParentSpanId, SpanName, SpanKind,
        ServiceName, StatusCode, StatusMessage, toString(toUnixTimestamp64Nano(Timestamp)), toString(Duration),
        SpanAttributes['lab.text'], SpanAttributes['lab.list'], SpanAttributes['lab.map'], SpanAttributes['lab.flag'],
        arrayStringConcat(Events.Name, ','), arrayStringConcat(Links.SpanId, ',')) AS text
        FROM otel_traces WHERE SpanName != '{SCORE_SPAN}'""",  # watch sends those by itself
    "agent_events": """SELECT span_id AS id, concatWithSeparator('|', trace_id, agent, operation,
        toString(input_tokens), toString(output_tokens)) AS text FROM agent_events""",
    "token_ledger": """SELECT span_id AS id, concatWithSeparator('|', trace_id, agent, model,
        toString(input_tokens), toString(output_tokens), toString(cost_usd)) AS text FROM token_ledger""",
    "otel_logs": """SELECT LogAttributes['lab.id'] AS id, concatWithSeparator('|', Body, EventName, TraceId, SpanId,
        SeverityText, toString(toUnixTimestamp64Nano(Timestamp)), LogAttributes['lab.list']) AS text FROM otel_logs""",
}
"""By table: the statement that gives id and text of each of its rows."""

Texts = Mapping[str, str]
"""Of one thing, by table."""
_MODEL: Final = "gpt-4o"
_MILLION: Final = 1_000_000
_DAY_NS: Final = 86_400 * 10**9


@dataclass(frozen=True, slots=True)
class Parcel:
    """A request: where to, its spans or log records, and what of each must be stored."""

    path: str
    items: list[Any]
    expected: Mapping[str, Texts]
    """By id."""

    def body(self) -> bytes:
        """In the order in which the items are now."""
        make: Any = request if self.path == "/v1/traces" else logs_request
        message: Message = make(*self.items)
        return message.SerializeToString()


def spans(chance: random.Random, count: int) -> Parcel:
    """Model calls of the last days, in one trace."""
    trace = os.urandom(16)
    made = [_span(chance, trace) for _ in range(count)]
    return Parcel("/v1/traces", [item for item, _ in made], {item.span_id.hex(): texts for item, texts in made})


def logs(chance: random.Random, count: int) -> Parcel:
    """Events."""
    made = [_log(chance, os.urandom(8).hex()) for _ in range(count)]
    return Parcel("/v1/logs", [item for item, _, _ in made], {id: texts for _, id, texts in made})


def _span(chance: random.Random, trace: bytes) -> tuple[Any, Texts]:
    tokens, answered, number = chance.randint(1, 1000), chance.randint(1, 1000), chance.randrange(1000)
    start, took = time.time_ns() - chance.randrange(3) * _DAY_NS, chance.randrange(1, 10**9)
    item = span(
        {
            "gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": _MODEL,
            "gen_ai.usage.input_tokens": tokens, "gen_ai.usage.output_tokens": answered,
            "lab.text": f"naïve\n{number}", "lab.list": [number, "x", True], "lab.map": {"n": [number]},
            "lab.flag": True,
        },
        trace_id=trace, span_id=os.urandom(8), parent_span_id=os.urandom(8), name=f"chat {number}", kind=3,
        start_time_unix_nano=start, end_time_unix_nano=start + took, status={"code": 2, "message": f"failed {number}"},
    )  # fmt: skip
    item.events.add(name=f"event {number}", time_unix_nano=start)
    link = item.links.add(trace_id=os.urandom(16), span_id=os.urandom(8))
    told = [
        trace.hex(),
        item.parent_span_id.hex(),
        item.name,
        "Client",
        "svc",
        "Error",
        f"failed {number}",
        start,
        took,
    ]
    attributes = [f"naïve\n{number}", f'[{number},"x",true]', f'{{"n":[{number}]}}', "true"]
    return item, {
        "otel_traces": _text(*told, *attributes, f"event {number}", link.span_id.hex()),
        "agent_events": _text(trace.hex(), "svc", _MODEL, tokens, answered),
        "token_ledger": _text(trace.hex(), "svc", _MODEL, tokens, answered, _cost(tokens, answered)),
    }


def _log(chance: random.Random, id: str) -> tuple[Any, str, Texts]:
    trace, of, number, at = os.urandom(16), os.urandom(8), chance.randrange(1000), time.time_ns()
    attributes = {"lab.id": id, "lab.list": [number, "x"]}
    item = log(f"said\n{id}", attributes, trace_id=trace, span_id=of, event_name=f"event {number}", time_unix_nano=at)
    text = _text(f"said\n{id}", f"event {number}", trace.hex(), of.hex(), "INFO", at, f'[{number},"x"]')
    return item, id, {"otel_logs": text}


def _text(*parts: object) -> str:
    return "|".join(map(str, parts))


def _price(**tokens: int) -> Decimal:
    usage, now = Usage(**tokens), datetime.now(UTC)
    return calc_price(usage, _MODEL, provider_id="openai", genai_request_timestamp=now).total_price / _MILLION


_INPUT: Final = _price(input_tokens=_MILLION)
_OUTPUT: Final = _price(output_tokens=_MILLION)


def _cost(tokens: int, answered: int) -> str:
    return f"{(tokens * _INPUT + answered * _OUTPUT).normalize():f}"
