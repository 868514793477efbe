"""OTLP over HTTP: a bare ASGI application, because the whole interface is four paths.

============================  ====================================================================================
``POST /v1/traces``           protobuf or JSON, plain, gzip or deflate; 200 once every span is durable
``POST /v1/logs, /metrics``   404: not stored yet
``GET /healthz``              200 while requests can be stored, 503 with the reason when not; no token
``GET /metrics``              counters in Prometheus text; no token
============================  ====================================================================================
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from collector.receive.answers import encoded, response, status
from collector.receive.decode import Encoding, encoding_of
from collector.receive.inflate import MAX_BODY, inflate
from collector.receive.intake import Answer, Intake, refuse
from collector.receive.refusal import Refusal, Why, no_token
from collector.tokens import Principal, Tokens, bearer

_BODY_DEADLINE_S: Final = 30.0
_MAX_BUFFERED: Final = 16 * MAX_BODY
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

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            reply = await self._route(scope["method"], scope["path"], headers, receive)
        except Exception as error:  # the sender gets one sentence; refuse() counts and logs
            reply = _refused(refuse(error), headers)
        await reply.send(send)

    async def _route(self, method: str, path: str, headers: dict[str, str], receive: Receive) -> Reply:
        match method, path:
            case "POST", "/v1/traces":
                return await self._traces(headers, receive)
            case _, "/v1/traces":
                raise Refusal(Why.WRONG_METHOD, "send traces with POST")
            case _, "/v1/logs" | "/v1/metrics" | "/v1development/profiles":
                raise Refusal(Why.NOT_FOUND, f"Fusebox stores traces only for now, not {path}")
            case "GET" | "HEAD", "/healthz":
                return self._health()
            case "GET", "/metrics":
                return Reply(200, _TEXT, self._metrics().encode())
        raise Refusal(Why.NOT_FOUND, f"{method} {path} is not served here; traces go to POST /v1/traces")

    def _health(self) -> Reply:
        failure = self._failure()
        return Reply(503 if failure else 200, _TEXT, f"{failure or 'ok'}\n".encode())

    async def _traces(self, headers: dict[str, str], receive: Receive) -> Reply:
        principal = self._tokens.authenticate(bearer(headers.get("authorization")))
        if principal is None:
            raise no_token()
        encoding = encoding_of(headers.get("content-type", ""))
        body = bytearray()
        try:
            await self._read(receive, body)
            answer = await asyncio.get_running_loop().run_in_executor(
                self._workers, self._take, bytes(body), headers.get("content-encoding", ""), encoding, principal
            )
        finally:
            self._buffered -= len(body)
        return Reply(200, encoding, encoded(response(answer), encoding))

    async def _read(self, receive: Receive, body: bytearray) -> None:
        try:
            async with asyncio.timeout(_BODY_DEADLINE_S):
                while await self._read_some(receive, body):
                    pass
        except TimeoutError as error:
            raise Refusal(Why.TOO_SLOW, f"the body did not arrive within {_BODY_DEADLINE_S:.0f} s") from error

    async def _read_some(self, receive: Receive, body: bytearray) -> bool:
        event = await receive()
        if event["type"] == "http.disconnect":
            raise Refusal(Why.MALFORMED, "the sender went away in the middle of its request")
        chunk = event.get("body", b"")
        body += chunk
        self._buffered += len(chunk)
        if len(body) > MAX_BODY:
            raise Refusal(Why.TOO_LARGE, f"the body exceeds {MAX_BODY} bytes; send smaller batches")
        if self._buffered > _MAX_BUFFERED:
            raise Refusal(Why.UNAVAILABLE, "too much is arriving at once; try again")
        return bool(event.get("more_body"))

    def _take(self, body: bytes, content_encoding: str, encoding: Encoding, principal: Principal) -> Answer:
        return self._intake.take(inflate(body, content_encoding), encoding, principal)


def _refused(refusal: Refusal, headers: dict[str, str]) -> Reply:
    asked = headers.get("content-type", "").partition(";")[0].strip().lower()
    encoding = Encoding.PROTOBUF if asked == Encoding.PROTOBUF else Encoding.JSON
    return Reply(refusal.why.http, encoding, encoded(status(refusal), encoding), refusal.why.retry_after)
