"""Bodies that inflate to gigabytes, made without ever holding what they inflate to."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from functools import cache

from collector.receive.inflate import zstd
from fusebox.protobuf import bytes_field

GIB = 1 << 30
_PIECE = 1 << 20
_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03"


@cache
def deflated(inflated: int, byte: bytes = b"\0") -> bytes:
    """A raw deflate stream (RFC 1951) of ``byte``: one flushed block, over and over."""
    squeezer = zlib.compressobj(9, wbits=-15)
    squeezer.compress(byte * _PIECE)
    squeezer.flush(zlib.Z_FULL_FLUSH)
    block = squeezer.compress(byte * _PIECE) + squeezer.flush(zlib.Z_FULL_FLUSH)
    return block * (inflated // _PIECE) + squeezer.flush()


def gzipped(inflated: int, byte: bytes = b"\0") -> bytes:
    """The same as gzip; its checksum is wrong, which nobody should get to see."""
    return _HEADER + deflated(inflated, byte) + b"\0" * 8


@cache
def framed(inflated: int, window: int = 20) -> bytes:
    """The same as one zstd frame that does not say how long it gets."""
    squeezer = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: window})
    piece = bytes(64 * _PIECE)
    parts = [squeezer.compress(piece) for _ in range(inflated // len(piece))]
    return b"".join(parts) + squeezer.flush()


def _nested(body: bytes, *fields: int) -> bytes:
    """``body`` in messages within each other."""
    for field in fields:
        body = bytes_field(field, body)
    return body


BOMBS: dict[str, tuple[str, Callable[[], bytes]]] = {
    "gzip of 4 GiB": ("gzip", lambda: gzipped(4 * GIB)),
    "gzip of 4 GiB of spaces": ("gzip", lambda: gzipped(4 * GIB, b" ")),
    "two gzip members": ("gzip", lambda: gzip.compress(bytes(9 << 20)) * 2),
    "a gzip in a gzip": ("gzip, gzip", lambda: gzip.compress(gzipped(4 * GIB))),
    "deflate of 4 GiB": ("deflate", lambda: b"\x78\x9c" + deflated(4 * GIB)),
    "raw deflate of 4 GiB": ("deflate", lambda: deflated(4 * GIB)),
    "zstd of 4 GiB": ("zstd", lambda: framed(4 * GIB)),
    "zstd with a window of 128 MiB": ("zstd", lambda: framed(GIB, 27)),
    "many zstd frames": ("zstd", lambda: zstd.compress(bytes(4 << 20)) * 30),
    "plain": ("", lambda: bytes(17 << 20)),
    "much JSON nesting": ("gzip", lambda: gzip.compress(b"[" * (12 << 20))),
    "7 million spans of two bytes": ("gzip", lambda: gzip.compress(_nested(b"\x12\0" * (7 << 20), 2, 1))),
    "7 million attributes of two bytes": ("gzip", lambda: gzip.compress(_nested(b"\x4a\0" * (7 << 20), 2, 2, 1))),
    "7 million resources of two bytes": ("gzip", lambda: gzip.compress(b"\x0a\0" * (7 << 20))),
    "7 million scopes of two bytes": ("gzip", lambda: gzip.compress(_nested(b"\x12\0" * (7 << 20), 1))),
    "7 million attributes of a resource": ("gzip", lambda: gzip.compress(_nested(b"\x0a\0" * (7 << 20), 1, 1))),
    "7 million attributes of a scope": ("gzip", lambda: gzip.compress(_nested(b"\x1a\0" * (7 << 20), 1, 2, 1))),
    "7 million attributes of an event": ("gzip", lambda: gzip.compress(_nested(b"\x1a\0" * (7 << 20), 11, 2, 2, 1))),
    "7 million elements of a list": ("gzip", lambda: gzip.compress(_nested(b"\x0a\0" * (7 << 20), 5, 2, 9, 2, 2, 1))),
    "5 million empty objects": ("gzip", lambda: gzip.compress(b'{"resourceSpans":[' + b"{}," * (5 << 20) + b"{}]}")),
    "5 million empty lists": ("gzip", lambda: gzip.compress(b'{"resourceSpans":' + b"[]," * (5 << 20))),
    "16 MB of broken fields": ("gzip", lambda: gzip.compress(b"\x0a\xff" * (8_000_000))),
}
"""Content-Encoding and body of each."""
