"""The SQL port: ClickHouse's HTTP interface, read-only, over the engine of this process.

``clickhouse_connect.get_client(host, port)``, ``curl`` and Grafana talk to it unchanged. What may run is
:mod:`collector.keep.gate`'s word; what it may cost is :data:`collector.keep.engine.READ_LIMITS`. Users and passwords
are not looked at: the port listens on loopback, and refuses a ``Host`` that is not this machine's, so that no web page
can reach it under a name of its own.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from clickhouse_connect.driver.exceptions import ClickHouseError, Error

from collector.keep.engine import Engine
from collector.keep.gate import BAD_ARGUMENTS, Gate, StatementRefused, bound, known_format
from collector.keep.request import Request, read_request
from fusebox import happenings
from fusebox.config import LOOPBACK
from fusebox.errors import FuseboxError

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Mapping[str, Any]], Awaitable[None]]

_WORKERS: Final = 4
_MAX_WAITING: Final = 64
"""Statements that run or wait for a worker; further ones are refused at once."""
_BUSY: Final = 202
_GZIP_FROM: Final = 1024
_STATUS: Final = {60: 404, 81: 404, 497: 403, 164: 403, 159: 408, 202: 503, 241: 507}
_TYPES: Final = {
    "JSON": "application/json",
    "CSV": "text/csv",
    "TabSeparated": "text/tab-separated-values",
    "TSV": "text/tab-separated-values",
}

ANSWERED: Final = happenings.declare("sql_answered", logging.DEBUG, "the SQL port answered a statement")
REFUSED: Final = happenings.declare("sql_refused", logging.INFO, "the SQL port refused a statement")
FAILED: Final = happenings.declare("sql_failed", logging.INFO, "a statement on the SQL port failed in the engine")


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


Page = Callable[[], Reply]


class SqlPort:
    """The ASGI application.

    Args:
        engine: its readers run the statements.
        pages: further paths (``/healthz``, ``/metrics``).
        any_host: accept every ``Host`` header (the port is published by a container).
    """

    def __init__(self, engine: Engine, pages: Mapping[str, Page], *, any_host: bool = False) -> None:
        self._engine = engine
        self._pages = {"/ping": _ok, "/": _ok, **pages}
        self._any_host = any_host
        self._pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="sql")
        self._waiting = 0
        self._gate: Gate | None = None

    def close(self) -> None:
        """Wait for running statements; take no more."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        reply = await self._reply(scope, headers, receive)
        await _send(send, _compressed(reply, headers.get("accept-encoding", "")), head=scope["method"] == "HEAD")

    async def _reply(self, scope: Scope, headers: Mapping[str, str], receive: Receive) -> Reply:
        if not self._any_host and _hostname(headers.get("host", "")) not in LOOPBACK:
            return _error(403, "this port answers to loopback names only", 516)
        if scope["path"] not in self._pages:
            return _error(404, f"there is no {scope['path']} here; statements go to /", BAD_ARGUMENTS)
        try:
            request = await read_request(scope, headers, receive)
        except StatementRefused as error:
            return _error(400, str(error), error.code)
        if scope["path"] != "/" or not request.text.strip():
            return self._pages[scope["path"]]()  # not behind the statements: health must not wait for a heavy one
        return await self._queued(request)

    async def _queued(self, request: Request) -> Reply:
        if self._waiting >= _MAX_WAITING:
            return _error(503, "too many statements are running or waiting; try again", _BUSY)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, self._answer, request)
        finally:
            self._waiting -= 1

    def _answer(self, request: Request) -> Reply:
        started = time.monotonic()
        try:
            reply = self._run(request, started)
        except StatementRefused as error:
            happenings.emit(REFUSED, reason=str(error), statement=request.text[:500])
            return _error(_STATUS.get(error.code, 400), str(error), error.code)
        except FuseboxError as error:
            return _error(503, str(error), 0)
        except ClickHouseError as error:
            self._engine.discard()
            happenings.emit(FAILED, error=str(error)[:500], statement=request.text[:500])
            return _engine_error(error)
        happenings.emit(ANSWERED, ms=round(1000 * (time.monotonic() - started), 1))
        return reply

    def _run(self, request: Request, started: float) -> Reply:
        client = self._engine.reader()
        self._gate = gate = self._gate or Gate(client)
        if request.database not in ("", gate.database):
            raise StatementRefused(f"database {request.database} is not available here; use {gate.database}", 81)
        permitted = gate.judge(request.text, request.parameters, client)
        form = known_format(permitted.format or request.format)
        body = client.raw_query(permitted.text, parameters=bound(permitted.text, request.parameters), fmt=form)
        elapsed = int((time.monotonic() - started) * 1e9)
        summary = {"read_rows": "0", "read_bytes": "0", "elapsed_ns": str(elapsed)}
        return Reply(200, body, _headers(form) | {
            "x-clickhouse-format": form,
            "x-clickhouse-timezone": str(client.server_tz),
            "x-clickhouse-summary": json.dumps(summary),
            "x-clickhouse-query-id": request.query_id or str(uuid.uuid4()),
        })  # fmt: skip


def _ok() -> Reply:
    return Reply(200, b"Ok.\n", {"content-type": "text/html; charset=UTF-8"})


def _headers(form: str) -> dict[str, str]:
    kind = next((mime for prefix, mime in _TYPES.items() if form.startswith(prefix)), "application/octet-stream")
    return {"content-type": f"{kind}; charset=UTF-8", "x-clickhouse-server-display-name": "fusebox"}


def _engine_error(error: ClickHouseError) -> Reply:
    code = (error.code if isinstance(error, Error) else None) or 0
    return Reply(
        _STATUS.get(code, 400), f"{error}\n".encode(), _headers("TSV") | {"x-clickhouse-exception-code": str(code)}
    )


def _error(status: int, sentence: str, code: int) -> Reply:
    names = {497: "ACCESS_DENIED", 36: "BAD_ARGUMENTS", 73: "UNKNOWN_FORMAT", 81: "UNKNOWN_DATABASE", 164: "READONLY"}
    text = f"Code: {code}. DB::Exception: {sentence}. ({names.get(code, 'FUSEBOX')})\n"
    return Reply(status, text.encode(), _headers("TSV") | {"x-clickhouse-exception-code": str(code)})


def _hostname(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _compressed(reply: Reply, accepted: str) -> Reply:
    if "gzip" not in accepted or len(reply.body) < _GZIP_FROM:
        return reply
    return Reply(reply.status, gzip.compress(reply.body, 1), {**reply.headers, "content-encoding": "gzip"})


async def _send(send: Send, reply: Reply, *, head: bool) -> None:
    headers = {**reply.headers, "content-length": str(len(reply.body)), "x-content-type-options": "nosniff"}
    raw = [(name.encode(), value.encode("latin-1", "replace")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": reply.status, "headers": raw})
    await send({"type": "http.response.body", "body": b"" if head else reply.body})
