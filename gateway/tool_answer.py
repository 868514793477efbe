"""What a system answers, on its way to the agent: piece by piece, or read first where a screen stands before it."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

import aiohttp
import orjson

from gateway.aside import aside
from gateway.codec import wide_codec_of
from gateway.denied import Denied
from gateway.http import Header, Reply, safe
from gateway.meter import Meter
from gateway.screen import Screen
from gateway.tool_request import again, text_in
from gateway.upstream import Failed, body_of, kept, length_of

_NO_TEXT: Final = ("image/", "audio/", "video/", "font/", "application/pdf", "application/zip")
_PASSED_BACK: Final = ("content-type", "etag", "location", "last-modified")


async def relay(response: aiohttp.ClientResponse, meter: Meter, reply: Reply, screen: Screen | None) -> None:
    """Pass an answer on.

    Raises:
        Denied: 403, a guard said no.
        Failed: it broke off, or is too long to be read.
    """
    if screen is not None and not response.content_type.startswith(_NO_TEXT):
        await _show(response, meter, reply, screen)
    else:
        await _pipe(response, meter, reply)


async def _pipe(response: aiohttp.ClientResponse, meter: Meter, reply: Reply) -> None:
    headers = _headers(response)
    length = length_of(response)
    if length is not None:
        headers.append((b"content-length", b"%d" % length))
    await reply.start(response.status, headers)
    async for chunk in response.content.iter_any():
        await reply.chunk(chunk)
        meter.take_text(chunk)
    await reply.end()


async def _show(response: aiohttp.ClientResponse, meter: Meter, reply: Reply, screen: Screen) -> None:
    body = await body_of(response)
    meter.take_text(body)
    binary = b"\0" in body
    if binary and (_is_text(response) or wide_codec_of(body) is not None):
        raise Failed(
            Denied(HTTPStatus.BAD_GATEWAY, "upstream_garbled", "a text that has a NUL in it cannot be screened")
        )
    shown = body if binary else await aside(len(body), _screened, screen, body)
    await reply.whole(response.status, _headers(response), shown)


def _screened(screen: Screen, body: bytes) -> bytes:
    """
    Raises:
        Denied: 403, a guard said no.
    """
    value = _value(body)
    shown = screen.result(value)
    return body if shown == value else again(shown, body)


def _headers(response: aiohttp.ClientResponse) -> list[Header]:
    told = response.headers
    return [*(header for name in _PASSED_BACK if name in told for header in safe(name, told[name])), *kept(response)]


def _value(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return text_in(body)


def _is_text(response: aiohttp.ClientResponse) -> bool:
    """True where the system says so; others may be."""
    kind = response.content_type
    return kind.startswith("text/") or kind.endswith(("json", "xml", "yaml"))
