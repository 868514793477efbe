"""A stand-in for a ClickHouse server: its HTTP interface for reads *and* writes over chDB, with faults on demand.

Where ``FUSEBOX_CLICKHOUSE_URL`` names a real server, the stand-in stands before that: the faults are its own, the
answers the server's, from a database of its own there. Run as a program, it is such a server itself.
"""

from __future__ import annotations

import asyncio
import re
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl
from uuid import uuid4

import clickhouse_connect
import lz4.frame
import requests
import uvicorn
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, Error

from collector import schema
from fusebox.ports import bind, port_of
from tests.real import CLICKHOUSE

Fault = Callable[[str], str]
"""Given a statement: ``""`` (none), ``refuse`` (503), ``exception`` (200 with an error inside), ``slow`` (done,
answered late), ``reset before``, or ``reset after`` (it is done, then the connection breaks)."""

SLOW_S = 1.0


class StandIn:
    """One server on a free port of this process."""

    def __init__(self, folder: Path, real: str = CLICKHOUSE) -> None:
        self._far = Far(real, built=folder.exists()) if real else None
        self.client = self._far.client if self._far else _chdb(folder)
        self.fault: Fault = lambda statement: ""
        self._lock = threading.Lock()
        self._server = uvicorn.Server(uvicorn.Config(self._app, interface="asgi3", lifespan="off", log_config=None))
        self._socket = bind("127.0.0.1", 0, "sql_port")
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True)
        self._thread.start()
        self.url = f"http://default:secret@127.0.0.1:{port_of(self._socket)}/default"

    def run(self, statement: str) -> None:
        """Do something to the database that no client asked for."""
        with self._lock:
            self.client.command(statement)

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join(10)
        if self._far:
            self._far.close()
        self.client.close()

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        fields = dict(parse_qsl(scope["query_string"].decode(), keep_blank_values=True))
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        if (b"content-encoding", b"lz4") in scope["headers"]:
            body = lz4.frame.decompress(body)
        statement = fields.get("query") or body.decode(errors="replace")
        fault = self.fault(statement)
        status, answer, code = 503, b"try later", ""
        if fault not in ("refuse", "reset before"):
            status, answer, code = await asyncio.to_thread(self._do, fields, body)
        if fault == "slow":
            await asyncio.sleep(SLOW_S)
        if fault == "exception":
            code, answer = "241", b"Code: 241. DB::Exception: Memory limit exceeded. (MEMORY_LIMIT_EXCEEDED)"
        if fault.startswith("reset"):
            await _break_off(send)
        else:
            await _answer(send, status, answer, code)

    def _do(self, fields: Mapping[str, str], body: bytes) -> tuple[int, bytes, str]:
        if self._far:
            return self._far.do(fields, body)
        self.client.database = fields.get("database", "default")
        settings = {k: v for k, v in fields.items() if k in _INSERT_SETTINGS}
        parameters = {k[6:]: _Raw(v) for k, v in fields.items() if k.startswith("param_")}
        query = fields.get("query", "")
        with self._lock:
            try:
                if _INSERT.match(body):
                    self._insert(body, settings)
                    return 200, b"", ""
                text = "\n".join(part for part in (query, body.decode()) if part)
                return 200, self.client.raw_query(text, parameters=parameters or None), ""
            except ClickHouseError as error:
                code = error.code if isinstance(error, Error) else 0
                return 400, str(error).encode(), str(code or 0)

    def _insert(self, body: bytes, settings: dict[str, str]) -> None:
        """The driver puts the statement in front of the data."""
        match = _INSERT.match(body)
        assert match
        target, form = match[1].decode(), match[2].decode()
        self.client.raw_insert(target, insert_block=body[match.end() :], fmt=form, settings=settings)


class Far:
    """A database of our own on a real server.

    Args:
        url: of the server.
        built: whether it begins with this release's schema.
    """

    def __init__(self, url: str, *, built: bool) -> None:
        self._url, self._name = url, f"test_{uuid4().hex}"
        with clickhouse_connect.get_client(dsn=url) as client:
            client.command(f"CREATE DATABASE {self._name}")
        self.client = clickhouse_connect.get_client(dsn=f"{url}/{self._name}", autogenerate_session_id=False)
        if built:
            schema.apply(self.client)

    def do(self, fields: Mapping[str, str], body: bytes) -> tuple[int, bytes, str]:
        """Status, answer and error code of a request."""
        more = {**fields, "database": self._name}
        answer = requests.post(self._url, params=more, data=body, headers={"Accept-Encoding": "identity"}, timeout=60)
        return answer.status_code, answer.content, answer.headers.get("X-ClickHouse-Exception-Code", "")

    def close(self) -> None:
        self.client.command(f"DROP DATABASE {self._name}")


def _chdb(folder: Path) -> Client:
    return clickhouse_connect.get_client(interface="chdb", path=str(folder))


_INSERT = re.compile(rb"INSERT INTO (.*?)\s+FORMAT (ProtobufSingle|Native)\n", re.DOTALL)
_INSERT_SETTINGS = {
    "format_schema_source", "format_schema", "format_schema_message_name", "insert_deduplication_token",
    "deduplicate_blocks_in_dependent_materialized_views", "max_partitions_per_insert_block", "async_insert",
}  # fmt: skip


class _Raw:
    def __init__(self, text: str) -> None:
        self._text = text

    def __str__(self) -> str:
        return self._text


async def _break_off(send: Any) -> None:
    """Close the connection in the middle of the answer."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1000")]})
    await send({"type": "http.response.body", "body": b"Co", "more_body": True})


async def _answer(send: Any, status: int, body: bytes, code: str = "") -> None:
    headers = [(b"content-length", str(len(body)).encode()), (b"x-clickhouse-timezone", b"UTC")]
    if code:
        headers.append((b"x-clickhouse-exception-code", code.encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


if __name__ == "__main__":
    server = StandIn(Path(sys.argv[1]), real="")
    print(server.url.removesuffix("/default"), flush=True)
    sys.stdin.read()
    server.close()
