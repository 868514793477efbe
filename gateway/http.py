"""Requests and replies over bare ASGI, with the limits under which both are taken."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import ssl
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from contextlib import AbstractContextManager, nullcontext
from http import HTTPStatus
from typing import Any, Final, cast

from fusebox.connections import Connection
from gateway.denied import Denied, bad_request
from gateway.gathering import Gathering

BODY_DEADLINE_S: Final = 30.0
LINGER_S: Final = 2.0
MAX_CONNECTIONS: Final = 2_048
_OTHER_FILES: Final = 256
"""Descriptors for all but connections."""
GONE: Final = "fusebox.gone"
PEER: Final = "fusebox.peer"
WIRE: Final = "fusebox.wire"
JSON: Final = (b"content-type", b"application/json")
EVENTS: Final = (b"content-type", b"text/event-stream")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Header = tuple[bytes, bytes]


class ClientLeft(Exception):
    """The client went away in the middle of its request."""


class Wire(Connection):
    """A connection that tells the request being answered when its client leaves; the server itself only notices.

    Attributes:
        gathering: around what is to leave in one piece.
    """

    most = MAX_CONNECTIONS
    _peer: bytes | None = None
    _until = 0.0
    """Unix seconds at which the certificate ends: a connection may outlive it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.gathering = Gathering(transport)
        self.transport = cast(asyncio.Transport, self.gathering)
        secured = transport.get_extra_info("ssl_object")
        self._peer = secured.getpeercert(binary_form=True) if secured is not None else None
        if secured is not None and self._peer:
            self._until = ssl.cert_time_to_seconds(secured.getpeercert()["notAfter"])

    def on_message_begin(self) -> None:
        super().on_message_begin()
        valid = self._peer is not None and time.time() < self._until
        self.scope[PEER] = self._peer if valid else None  # type: ignore[typeddict-unknown-key]  # ours
        self.scope[WIRE] = self  # type: ignore[typeddict-unknown-key]  # ours

    @property
    def all_here(self) -> bool:
        """True when nothing more is to come of the request that came last, nor of any before it."""
        return self.cycle is not None and not self.cycle.more_body

    def connection_lost(self, exc: Exception | None) -> None:
        cycle = self.cycle
        gone: Any = None if cycle is None or cycle.response_complete else cycle.scope.get(GONE)
        super().connection_lost(exc)
        if gone is not None:
            gone()


def afford_connections() -> int:
    """Take as many connections as there may be files, each with one to an upstream; how many that is.

    At its limit the oldest idle connection makes room. Without descriptors nobody could be let in at all.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * MAX_CONNECTIONS + _OTHER_FILES
    if soft < wanted and soft != resource.RLIM_INFINITY:
        soft = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    room = MAX_CONNECTIONS if soft == resource.RLIM_INFINITY else (soft - _OTHER_FILES) // 2
    Wire.most = max(1, min(MAX_CONNECTIONS, room))
    return Wire.most


class Request:
    """One request, who it is from once that is known, and whether its client is still there."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self.method, self.path = str(scope["method"]), str(scope["path"])
        self.query = scope["query_string"].decode("latin-1")
        self.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        self.left, self.agent = False, ""
        self.peer: bytes | None = scope.get(PEER)
        """The client's certificate (DER), verified."""
        self._receive = receive
        self._wire: Wire | None = scope.get(WIRE)
        self._task = asyncio.current_task()
        self._ended = False
        scope[GONE] = self._gone

    async def body(self, limit: int) -> bytes:
        """The whole body.

        Raises:
            Denied: 413 or 408: it is too long, or too slow; 415: it is compressed.
            ClientLeft: nobody waits for an answer.
        """
        if self.headers.get("content-encoding", "identity").lower() != "identity":
            raise _compressed()
        announced = self.headers.get("content-length", "0")
        if not announced.isdecimal() or len(announced) > 15 or int(announced) > limit:
            raise _too_long(limit)
        if self._wire is not None and self._wire.all_here:
            return await self._read(limit)
        try:
            async with asyncio.timeout(BODY_DEADLINE_S):
                return await self._read(limit)
        except TimeoutError:
            self._ended = True
            sentence = f"the body did not arrive within {BODY_DEADLINE_S:.0f} s"
            raise Denied(HTTPStatus.REQUEST_TIMEOUT, "too_slow", sentence) from None

    async def discard(self) -> None:
        """Take what still comes, for a moment: a client that is cut off would not read its answer."""
        if "expect" in self.headers:
            return
        with contextlib.suppress(TimeoutError, ClientLeft):
            async with asyncio.timeout(LINGER_S):
                while not self._ended:
                    await self._chunk()

    async def _read(self, limit: int) -> bytes:
        parts, size = [], 0
        while not self._ended:
            parts.append(await self._chunk())
            size += len(parts[-1])
            if size > limit:
                raise _too_long(limit)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    async def _chunk(self) -> bytes:
        event = await self._receive()
        self._ended = not event.get("more_body")
        if event["type"] == "http.disconnect":
            raise ClientLeft
        return bytes(event.get("body", b""))

    def _gone(self) -> None:
        self.left = True
        if self._task is not None:
            self._task.cancel()


class Reply:
    """One answer, in one piece or chunk by chunk.

    Args:
        gathering: around what is to leave in one piece, where the connection can do that.
    """

    def __init__(self, send: Send, gathering: AbstractContextManager[object] | None = None) -> None:
        self._send, self._gathering = send, gathering or nullcontext()
        self.status = 0
        """Set once the head is on its way."""
        self.ended = False
        self.events = False
        """True for a stream of events, into which an error can be put."""
        self.extra: list[Header] = []
        """Headers that every answer to this request carries."""

    async def whole(self, status: int, headers: Iterable[Header], body: bytes) -> None:
        """The whole answer."""
        with self._gathering:
            await self.start(status, [*headers, (b"content-length", b"%d" % len(body))])
            await self.end(body)

    async def start(self, status: int, headers: Iterable[Header]) -> None:
        """The head."""
        self.status, told = status, [*headers, *self.extra]
        self.events = EVENTS in told
        await self._send({"type": "http.response.start", "status": status, "headers": told})

    async def chunk(self, data: bytes) -> None:
        """A piece of the body."""
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self, data: bytes = b"") -> None:
        """The last piece."""
        self.ended = True
        await self._send({"type": "http.response.body", "body": data})


def safe(name: str, value: str) -> list[Header]:
    """A header, if its value can be one; what came from elsewhere must not begin a line of its own."""
    fits = value.isascii() and value.isprintable() and 0 < len(value) <= 512
    return [(name.encode(), value.encode())] if fits else []


def credential(headers: MutableMapping[str, str]) -> str:
    """The key a client sends, in any of the places where the APIs expect it.

    Raises:
        Denied: 400, it sends two that differ.
    """
    scheme, _, token = headers.get("authorization", "").strip().partition(" ")
    told = {
        token.strip() if scheme.lower() == "bearer" else "",
        headers.get("x-api-key", ""),
        headers.get("api-key", ""),
    }
    told.discard("")
    if len(told) > 1:
        raise bad_request("the request carries several keys; send one")
    return told.pop() if told else headers.get("x-goog-api-key", "")


def _compressed() -> Denied:
    sentence = "the body is compressed, which no guard reads; send it without content-encoding"
    return Denied(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unreadable_body", sentence)


def _too_long(limit: int) -> Denied:
    return Denied(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "body_too_large", f"the body exceeds {limit} bytes (max_body_bytes)",
        headers=((b"connection", b"close"),),
    )  # fmt: skip
