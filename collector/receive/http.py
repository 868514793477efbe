"""OTLP over HTTP: a bare ASGI application, because the whole interface is five paths.

============================  ====================================================================================
``POST /v1/traces, /v1/logs`` protobuf or JSON, plain, gzip, deflate or zstd; 200 once everything in it is durable
``POST /v1/metrics``          404: not stored
``GET /healthz``              200 while requests can be stored, 503 with the reason when not; no token
``GET /metrics``              counters in Prometheus text; no token
============================  ====================================================================================
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from collector.receive.answers import encoded, response, status
from collector.receive.decode import Encoding, encoding_of
from collector.receive.inflate import MAX_BODY
from collector.receive.intake import Intake, refuse
from collector.receive.refusal import Refusal, Why, no_token
from collector.receive.signals import NOT_STORED, SIGNALS, Signal, not_stored
from collector.tokens import Tokens, bearer

_BODY_DEADLINE_S: Final = 30.0
_LINGER_S: Final = 5.0
_MAX_BUFFERED: Final = 4 * MAX_BODY
_MAX_REQUESTS: Final = 256
_BY_PATH: Final = {f"/v1/{signal.name}": signal for signal in SIGNALS}
_NOT_STORED: Final = {"/v1development/profiles": "profiles"} | {f"/v1/{name}": name for name in NOT_STORED}
_TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer."""

    status: int
    content_type: str
    body: bytes
    retry_after: int = 0

    async def send(self, send: Send) -> None:
        headers = [(b"content-type", self.content_type.encode()), (b"content-length", b"%d" % len(self.body))]
        if self.retry_after:
            headers.append((b"retry-after", b"%d" % self.retry_after))
        if self.status == Why.UNAUTHENTICATED.http:
            headers.append((b"www-authenticate", b"Bearer"))
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})


class Door:
    """The ASGI application.

    Args:
        workers: where requests are decoded and wait for the disk.
        failure: why nothing can be stored at the moment, or "".
        metrics: the text of ``/metrics``.
    """

    def __init__(
        self,
        intake: Intake,
        tokens: Tokens,
        workers: ThreadPoolExecutor,
        failure: Callable[[], str],
        metrics: Callable[[], str],
    ) -> None:
        self._intake = intake
        self._tokens = tokens
        self._workers = workers
        self._failure = failure
        self._metrics = metrics
        self._buffered = 0
        self._requests = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        upload = _Upload(receive)
        try:
            reply = await self._route(scope["method"], scope["path"], headers, upload)
        except Exception as error:  # the sender gets one sentence; refuse() counts and logs
            reply = _refused(refuse(error), headers)
            if "expect" not in headers:
                await upload.discard()
        await reply.send(send)

    async def _route(self, method: str, path: str, headers: dict[str, str], upload: _Upload) -> Reply:
        signal = _BY_PATH.get(path)
        if signal and method == "POST":
            return await self._export(signal, headers, upload)
        if signal:
            raise Refusal(Why.WRONG_METHOD, f"send {signal.name} with POST")
        if path in _NOT_STORED:
            raise not_stored(_NOT_STORED[path])
        match method, path:
            case "GET" | "HEAD", "/healthz":
                return self._health()
            case "GET", "/metrics":
                return Reply(200, _TEXT, self._metrics().encode())
        raise Refusal(
            Why.NOT_FOUND, f"{method} {path} is not served here; traces go to POST /v1/traces, logs to POST /v1/logs"
        )

    def _health(self) -> Reply:
        failure = self._failure()
        return Reply(503 if failure else 200, _TEXT, f"{failure or 'ok'}\n".encode())

    async def _export(self, signal: Signal, headers: dict[str, str], upload: _Upload) -> Reply:
        principal = self._tokens.authenticate(bearer(headers.get("authorization")))
        if principal is None:
            raise no_token()
        if self._requests >= _MAX_REQUESTS:
            raise Refusal(Why.BUSY, f"{_MAX_REQUESTS} requests are being answered; try again")
        encoding, compression = encoding_of(headers.get("content-type", "")), headers.get("content-encoding", "")
        if len(length := headers.get("content-length", "")) > 8 or int(length or 0) > MAX_BODY:
            raise _too_large()
        body = bytearray()
        self._requests += 1
        try:
            await self._read(upload, body)
            answer = await asyncio.get_running_loop().run_in_executor(
                self._workers, self._intake.take, bytes(body), encoding, principal, signal, compression
            )
        finally:
            self._requests -= 1
            self._buffered -= len(body)
        return Reply(200, encoding, encoded(response(answer, signal), encoding))

    async def _read(self, upload: _Upload, body: bytearray) -> None:
        try:
            async with asyncio.timeout(_BODY_DEADLINE_S):
                while not upload.ended:
                    self._add(await upload.chunk(), body)
        except TimeoutError as error:
            upload.ended = True
            raise Refusal(Why.TOO_SLOW, f"the body did not arrive within {_BODY_DEADLINE_S:.0f} s") from error

    def _add(self, chunk: bytes, body: bytearray) -> None:
        body += chunk
        self._buffered += len(chunk)
        if len(body) > MAX_BODY:
            raise _too_large()
        if self._buffered > _MAX_BUFFERED:
            raise Refusal(Why.BUSY, "too much is arriving at once; try again")


class _Upload:
    """A request's body on its way in."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.ended = False
        """True when there is nothing more to wait for."""

    async def chunk(self) -> bytes:
        """The next piece.

        Raises:
            Refusal: the sender is gone.
        """
        event = await self._receive()
        self.ended = not event.get("more_body")
        if event["type"] == "http.disconnect":
            raise Refusal(Why.MALFORMED, "the sender went away in the middle of its request")
        return bytes(event.get("body", b""))

    async def discard(self) -> None:
        """Take what still comes, for five seconds at most: a sender that is cut off would not read its answer."""
        with contextlib.suppress(TimeoutError, Refusal):
            async with asyncio.timeout(_LINGER_S):
                while not self.ended:
                    await self.chunk()


def _too_large() -> Refusal:
    return Refusal(Why.TOO_LARGE, f"the body exceeds {MAX_BODY} bytes; send smaller batches")


def _refused(refusal: Refusal, headers: dict[str, str]) -> Reply:
    asked = headers.get("content-type", "").partition(";")[0].strip().lower()
    encoding = Encoding.PROTOBUF if asked == Encoding.PROTOBUF else Encoding.JSON
    return Reply(refusal.why.http, encoding, encoded(status(refusal), encoding), refusal.why.retry_after)
