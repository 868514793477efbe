"""Content encodings, inflated under a cap: what a few kilobytes may unpack to is decided here, not by the sender."""

from __future__ import annotations

import zlib
from typing import Final

from collector.receive.refusal import Refusal, Why

MAX_BODY: Final = 16 << 20
"""Bytes of a request, as sent and inflated."""

_MAX_MEMBERS: Final = 64
_GZIP, _ZLIB, _RAW = 31, 15, -15


def inflate(body: bytes, encoding: str) -> bytes:
    """The body without its ``Content-Encoding``: gzip (of several members, too), deflate or none.

    Raises:
        Refusal: the encoding is unknown or stacked, the data is broken or cut off, or it inflates beyond the cap.
    """
    match encoding.strip().lower():
        case "" | "identity":
            return body
        case "gzip" | "x-gzip":
            return _gzip(body)
        case "deflate":
            return _deflate(body)
    raise Refusal(Why.UNSUPPORTED, f"Content-Encoding {encoding[:50]!r} is not gzip, deflate or identity")


def _gzip(body: bytes) -> bytes:
    parts: list[bytes] = []
    room = MAX_BODY
    for _ in range(_MAX_MEMBERS):
        part, body = _member(body, _GZIP, room)
        parts.append(part)
        room -= len(part)
        if not body.strip(b"\0"):
            return b"".join(parts)
    raise Refusal(Why.MALFORMED, f"more than {_MAX_MEMBERS} gzip members in one body")


def _deflate(body: bytes) -> bytes:
    zlib_header = len(body) > 1 and body[0] & 15 == 8 and (body[0] << 8 | body[1]) % 31 == 0
    data, rest = _member(body, _ZLIB if zlib_header else _RAW, MAX_BODY)
    if rest:
        raise Refusal(Why.MALFORMED, "bytes behind the end of the deflate stream")
    return data


def _member(body: bytes, window_bits: int, room: int) -> tuple[bytes, bytes]:
    inflater = zlib.decompressobj(window_bits)
    try:
        data = inflater.decompress(body, room + 1)
    except zlib.error as error:
        raise Refusal(Why.MALFORMED, f"the compressed body is broken: {error}") from error
    if len(data) > room:
        raise Refusal(Why.TOO_LARGE, f"the body inflates beyond {MAX_BODY} bytes; send smaller batches")
    if not inflater.eof:
        raise Refusal(Why.MALFORMED, "the compressed body is cut off")
    return data, inflater.unused_data
