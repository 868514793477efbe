"""What a system answers, on its way to the agent: piece by piece, or read first where a screen stands before it."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import unquote

import aiohttp
import orjson

from fusebox import happenings
from gateway.aside import aside
from gateway.codec import wide_codec_of
from gateway.denied import Denied
from gateway.http import Header, Reply, safe
from gateway.meter import Meter
from gateway.screen import Screen
from gateway.sse import joined
from gateway.tool_request import again, text_in
from gateway.upstream import Failed, body_of, kept, length_of
from gateway.veil import Veil

_NO_TEXT: Final = ("image/", "audio/", "video/", "font/", "application/pdf", "application/zip")
_EVENTS: Final = "text/event-stream"
_PASSED_BACK: Final = ("content-type", "etag", "location", "last-modified")

WITHHELD: Final = happenings.declare(
    "gateway_header_withheld", logging.WARNING,
    "a system's answer went on without a header that masking or the filter stopped",
)  # fmt: skip


async def relay(
    response: aiohttp.ClientResponse, meter: Meter, reply: Reply, screen: Screen | None, veil: Veil
) -> None:
    """Pass an answer on.

    Raises:
        Denied: 403, a guard said no.
        Failed: it broke off, or is too long to be read.
    """
    if screen is not None and not response.content_type.startswith(_NO_TEXT):
        await _show(response, meter, reply, screen, veil)
    else:
        await _pipe(response, meter, reply, screen, veil)


async def _pipe(
    response: aiohttp.ClientResponse, meter: Meter, reply: Reply, screen: Screen | None, veil: Veil
) -> None:
    headers = _headers(response, screen, veil)
    length = length_of(response)
    if length is not None:
        headers.append((b"content-length", b"%d" % length))
    await reply.start(response.status, headers)
    async for chunk in response.content.iter_any():
        await _say(veil.piece(chunk), meter, reply)
    await _say(veil.rest(), meter, reply)
    await reply.end()


async def _say(told: bytes, meter: Meter, reply: Reply) -> None:
    if told:
        await reply.chunk(told)
        meter.take_text(told)


async def _show(response: aiohttp.ClientResponse, meter: Meter, reply: Reply, screen: Screen, veil: Veil) -> None:
    body = veil.piece(await body_of(response)) + veil.rest()
    meter.take_text(body)
    shown = await aside(len(body), _screened, screen, response.content_type, body)
    await reply.whole(response.status, _headers(response, screen, veil), shown)


def _screened(screen: Screen, kind: str, body: bytes) -> bytes:
    """
    Raises:
        Denied: 403, a guard said no.
        Failed: it is a text that cannot be read.
    """
    if b"\0" in body:
        if _is_text(kind) or wide_codec_of(body) is not None:
            raise Failed(
                Denied(HTTPStatus.BAD_GATEWAY, "upstream_garbled", "a text that has a NUL in it cannot be screened")
            )
        return body
    value, events = _value(body), kind == _EVENTS
    shown = screen.result(value, also=joined(body) if events else ())
    told = body if shown == value else again(shown, body)
    if events:
        screen.require_whole(joined(told))
    return told


def _headers(response: aiohttp.ClientResponse, screen: Screen | None, veil: Veil) -> list[Header]:
    told = {name: veil.over(response.headers[name]) for name in _PASSED_BACK if name in response.headers}
    if screen is not None:
        told = {name: value for name, value in told.items() if _passes(screen, name, value)}
    others = ((name, veil.over(value.decode()).encode()) for name, value in kept(response))
    return [*(header for name, value in told.items() for header in safe(name, value)), *others]


def _passes(screen: Screen, name: str, value: str) -> bool:
    """False for a header that a guard would refuse or change: half an address, or half a mark, is of no use."""
    told = sorted({value, unquote(value)})
    try:
        passes = bool(screen.said(told) == told)
    except Denied:
        passes = False
    if not passes:
        happenings.emit(WITHHELD, header=name)
    return passes


def _value(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return text_in(body)


def _is_text(kind: str) -> bool:
    """True where the system says so; others may be. AWS's events are texts in a frame of their own."""
    return kind.startswith("text/") or kind.endswith(("json", "xml", "yaml", "eventstream"))
