"""The SQL port: ClickHouse's HTTP interface, read-only.

``clickhouse_connect.get_client(host, port)``, ``@clickhouse/client``, ``curl`` and Grafana talk to it unchanged. This
file knows HTTP; whose statement it is, :mod:`collector.readers` says, how much is allowed, :mod:`collector.sql.quota`,
what may run, :mod:`collector.sql.gate`, and where, :mod:`collector.sql.pool`. Every statement is journaled before its
answer leaves (:mod:`collector.sql.query_log`).

The port listens on loopback, and refuses a ``Host`` that is not this machine's, so that no web page can reach it under
a name of its own.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Final
from urllib.parse import urlsplit

from collector.audit.journal import JournalBroken
from collector.readers import Reader, Readers
from collector.sql import encoding, errors
from collector.sql.errors import StatementRefused
from collector.sql.pool import Pool, Running, SandboxDown
from collector.sql.query_log import QueryLog
from collector.sql.quota import Quotas
from collector.sql.reply import Reply, Send, ok, result_headers, send_stream, send_whole
from collector.sql.request import Request, credentials, read_request
from collector.sql.statement import Outcome, Statement
from fusebox import happenings
from fusebox.config import LOOPBACK

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Page = Callable[[], Reply]

_NOBODY: Final = "unauthenticated"
_BODY_S: Final = 10.0
_ANSWER_S: Final = 60.0
"""A client that takes longer to send its statement, or to take its answer, is left."""

ANSWERED: Final = happenings.declare("sql_answered", logging.DEBUG, "the SQL port answered a statement")
REFUSED: Final = happenings.declare("sql_refused", logging.INFO, "the SQL port refused a statement or a client")
FAILED: Final = happenings.declare("sql_failed", logging.INFO, "a statement on the SQL port failed in the engine")
CUT: Final = happenings.declare("sql_answer_cut", logging.WARNING, "an answer of the SQL port broke off half-way")


class SqlPort:
    """The ASGI application; used from one event loop.

    Args:
        pool: where statements run.
        readers: who may ask.
        quotas: how much.
        log: where every statement is written down.
        pages: further paths (``/healthz``, ``/metrics``).
        any_host: accept every ``Host`` header (the port is published by a container).
    """

    def __init__(
        self,
        pool: Pool,
        readers: Readers,
        quotas: Quotas,
        log: QueryLog,
        pages: Mapping[str, Page],
        *,
        any_host: bool = False,
    ) -> None:
        self._pool, self._readers, self._quotas, self._log = pool, readers, quotas, log
        self._pages = {"/ping": ok, "/replicas_status": ok, "/": ok, **pages}
        self._any_host = any_host
        self._version = ""
        self._logging = asyncio.Lock()

    def close(self) -> None:
        """End what runs; take no more."""
        self._pool.stop()
        self._log.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._serve(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        """Serve at once, and have the process for statements started meanwhile."""
        await receive()
        await send({"type": "lifespan.startup.complete"})
        keeping = asyncio.create_task(self._pool.keep())
        await receive()
        keeping.cancel()
        await send({"type": "lifespan.shutdown.complete"})

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            reply = await self._answer(scope, headers, receive, send)
        except StatementRefused as error:
            happenings.emit(REFUSED, reason=str(error))
            reply = self._error(str(error), error.code)
        except (JournalBroken, SandboxDown) as error:
            reply = self._error(str(error), errors.SOCKET_TIMEOUT)
        if reply is not None:
            await send_whole(send, reply, head=scope["method"] == "HEAD")

    @property
    def trouble(self) -> str:
        """Why no statement can run; empty while they do."""
        return self._pool.trouble

    async def _answer(self, scope: Scope, headers: Mapping[str, str], receive: Receive, send: Send) -> Reply | None:
        """A small reply, or None when the result was sent."""
        if not self._any_host and _hostname(headers.get("host", "")) not in LOOPBACK:
            raise StatementRefused("this port answers to loopback names only", errors.AUTHENTICATION_FAILED)
        path = scope["path"]
        if path not in self._pages:
            return Reply(
                404,
                f"There is no handle {path[:200]}\n\nUse /ping for health checks, and send statements to /.\n".encode(),
            )
        if path != "/":
            return self._pages[path]()  # not behind the statements: health must not wait for a heavy one
        reader, request = await self._heard(scope, headers, receive)
        if not request.text.strip():
            return ok()
        return await self._run(reader, request, headers, send, head=scope["method"] == "HEAD")

    async def _heard(self, scope: Scope, headers: Mapping[str, str], receive: Receive) -> tuple[Reader, Request]:
        """Who asks what; a refusal is written down like one of the gate's."""
        asker, named = _NOBODY, dict[str, str]()
        try:
            user, password = credentials(scope, headers)
            named = {"user": user[:100]}
            reader = self._reader(user, password)
            asker, named = reader.name, {}
            return reader, await asyncio.wait_for(read_request(scope, headers, receive), _BODY_S)
        except TimeoutError:
            error = StatementRefused(f"the statement did not come within {_BODY_S:g} s", errors.SOCKET_TIMEOUT)
        except StatementRefused as refusal:
            error = refusal
        await self._write_down(asker, Statement(error.statement, named), _refused(error), 0.0)
        raise error

    def _reader(self, user: str, password: str) -> Reader:
        reader = self._readers.authenticate(user, password)
        if reader is None:
            raise StatementRefused(
                f"{user[:100] or 'default'}: Authentication failed: password is incorrect, or there is no user "
                "with such name; 'fusebox readers add NAME' makes a token, which is the password",
                errors.AUTHENTICATION_FAILED,
            )
        return reader

    async def _run(
        self, reader: Reader, request: Request, headers: Mapping[str, str], send: Send, *, head: bool
    ) -> Reply | None:
        started = time.monotonic()
        statement = Statement(
            request.text, request.parameters, request.format, request.database, request.settings, reader.role
        )
        try:
            with self._quotas.admit(reader):
                async with self._quotas.turn(reader), self._pool.run(statement) as running:
                    await self._done(reader, statement, running.outcome, started)
                    if running.outcome.error:
                        return self._error(running.outcome.error, running.outcome.code)
                    await self._stream(running, request, headers, send, started, head=head)
                    return None
        except StatementRefused as error:
            if error.code == errors.TIMEOUT_EXCEEDED:
                self._quotas.bar(reader)
            refused = error.code in (errors.QUOTA_EXCEEDED, errors.TOO_MANY_QUERIES)
            await self._done(reader, statement, Outcome(code=error.code, error=str(error), refused=refused), started)
            raise
        except SandboxDown as error:
            await self._done(reader, statement, Outcome(code=errors.SOCKET_TIMEOUT, error=str(error)), started)
            raise

    async def _done(self, reader: Reader, statement: Statement, outcome: Outcome, started: float) -> None:
        """Charge it and write it down."""
        self._version = outcome.version or self._version
        self._quotas.charge(reader, outcome.read_rows)
        ms = 1000 * (time.monotonic() - started)
        kind = REFUSED if outcome.refused else FAILED if outcome.error else ANSWERED
        happenings.emit(kind, reader=reader.name, ms=round(ms, 1), error=outcome.error[:500])
        await self._write_down(reader.name, statement, outcome, ms)

    async def _write_down(self, reader: str, statement: Statement, outcome: Outcome, ms: float) -> None:
        async with self._logging:
            await asyncio.to_thread(self._log.record, reader, statement, outcome, ms)

    async def _stream(
        self, running: Running, request: Request, headers: Mapping[str, str], send: Send, started: float, *, head: bool
    ) -> None:
        outcome = running.outcome
        answer = result_headers(outcome, request, int((time.monotonic() - started) * 1e9))
        name = "" if request.blocks else encoding.negotiate(headers.get("accept-encoding", ""))
        encoder = encoding.Blocks() if request.blocks else encoding.encoder(name) if name else None
        if name:
            answer["content-encoding"] = name
        elif encoder is None:
            answer["content-length"] = str(outcome.size)
        try:
            await asyncio.wait_for(send_stream(send, answer, running.chunks(), encoder, head=head), _ANSWER_S)
        except (TimeoutError, SandboxDown) as error:
            happenings.emit(CUT, error=repr(error), bytes=outcome.size)  # the server closes what is not complete

    def _error(self, text: str, code: int) -> Reply:
        body = errors.sentence(code, text, self._version)
        headers = {"content-type": "text/plain; charset=UTF-8", "x-clickhouse-exception-code": str(code)}
        if code in (errors.TOO_MANY_QUERIES, errors.QUOTA_EXCEEDED):
            headers["retry-after"] = "5"
        return Reply(errors.status_of(code), body.encode("utf-8", "surrogateescape"), headers)


def _refused(error: StatementRefused) -> Outcome:
    return Outcome(code=error.code, error=str(error), refused=True)


def _hostname(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
