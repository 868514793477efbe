"""An HTTP answer of *keep*: headers at once, the body whole or piece by piece."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from collector.sql.encoding import Encoder
from collector.sql.request import Request
from collector.sql.statement import Outcome

Send = Callable[[Mapping[str, Any]], Awaitable[None]]

_TYPES: Final = {
    "JSON": "application/json",
    "CSV": "text/csv",
    "TabSeparated": "text/tab-separated-values",
    "TSV": "text/tab-separated-values",
    "XML": "application/xml",
    "Parquet": "application/vnd.apache.parquet",
}
_LINES: Final = ("NDJSON", "JSONEachRow", "JSONCompactEachRow", "JSONStringsEachRow", "JSONCompactStringsEachRow")


@dataclass(frozen=True, slots=True)
class Reply:
    """A small answer."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


def ok() -> Reply:
    """ClickHouse's answer to who only wants to know whether it is there."""
    return Reply(200, b"Ok.\n", {"content-type": "text/html; charset=UTF-8"})


def _content_type(form: str) -> str:
    """The media type a server sends for a format."""
    if form.startswith(_LINES):
        return "application/x-ndjson; charset=UTF-8"
    kind = next((mime for prefix, mime in _TYPES.items() if form.startswith(prefix)), "text/plain")
    binary = kind == "text/plain" and form in ("Native", "RowBinary", "Arrow", "ArrowStream", "ORC", "Avro", "MsgPack")
    return "application/octet-stream" if binary else f"{kind}; charset=UTF-8"


def result_headers(outcome: Outcome, request: Request, elapsed_ns: int) -> dict[str, str]:
    """What ClickHouse says of a result before it sends it."""
    counts = {
        "read_rows": outcome.read_rows, "read_bytes": outcome.read_bytes, "written_rows": 0, "written_bytes": 0,
        "total_rows_to_read": outcome.read_rows, "result_rows": outcome.rows, "result_bytes": outcome.size,
        "elapsed_ns": elapsed_ns,
    }  # fmt: skip
    summary = json.dumps({name: str(count) for name, count in counts.items()})
    return {
        "content-type": _content_type(outcome.format),
        "x-clickhouse-format": outcome.format,
        "x-clickhouse-timezone": outcome.timezone,
        "x-clickhouse-summary": summary,
        "x-clickhouse-query-id": request.query_id or str(uuid.uuid4()),
        **({"x-clickhouse-progress": summary} if request.progress else {}),
    }


async def send_whole(send: Send, reply: Reply, *, head: bool = False) -> None:
    """Send a small answer; for HEAD without its body."""
    await _start(send, reply.status, {**reply.headers, "content-length": str(len(reply.body))})
    await send({"type": "http.response.body", "body": b"" if head else reply.body})


async def send_stream(
    send: Send, headers: Mapping[str, str], chunks: AsyncIterator[bytes], encoder: Encoder | None, *, head: bool
) -> None:
    """Send a result as it comes, through ``encoder``."""
    await _start(send, 200, headers)
    async for chunk in chunks:
        data = encoder.pack(chunk) if encoder else chunk
        if data and not head:
            await send({"type": "http.response.body", "body": data, "more_body": True})
    await send({"type": "http.response.body", "body": encoder.finish() if encoder and not head else b""})


async def _start(send: Send, status: int, headers: Mapping[str, str]) -> None:
    every = {**headers, "x-content-type-options": "nosniff", "x-clickhouse-server-display-name": "fusebox"}
    raw = [(name.encode(), value.encode("latin-1", "replace")) for name, value in every.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
