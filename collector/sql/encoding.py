"""Compression on the port: HTTP's content encodings, and the blocks of ClickHouse's own ``compress=1``.

A block (source: ClickHouse's ``CompressionInfo.h`` and ``CompressedWriteBuffer.cpp``)::

    checksum   16 bytes, CityHash128 (v1.0.2) of all that follows
    method      1 byte: 0x82 LZ4, 0x02 none
    packed      4 bytes, little endian: size of method, both sizes and data
    unpacked    4 bytes, little endian
    data
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Final, Protocol

import lz4.block
import lz4.frame
from clickhouse_cityhash.cityhash import CityHash128

from collector.sql.errors import BAD_ARGUMENTS, StatementRefused

MAX_STATEMENT: Final = 1 << 20
"""Bytes a request may have, as it came and unpacked."""
_BLOCK: Final = 1 << 20
_HEAD: Final = struct.Struct("<BII")
_LZ4, _NONE = 0x82, 0x02
_CHECKSUM: Final = 16


class Encoder(Protocol):
    """Packs a stream."""

    def pack(self, data: bytes) -> bytes:
        """What is ready of the stream so far."""

    def finish(self) -> bytes:
        """The rest."""


class _Zlib:
    def __init__(self, window_bits: int) -> None:
        self._stream = zlib.compressobj(1, zlib.DEFLATED, window_bits)

    def pack(self, data: bytes) -> bytes:
        return self._stream.compress(data)

    def finish(self) -> bytes:
        return self._stream.flush()


class _Lz4Frame:
    def __init__(self) -> None:
        self._stream = lz4.frame.LZ4FrameCompressor()
        self._begun = b""

    def pack(self, data: bytes) -> bytes:
        begun = b"" if self._stream.started() else bytes(self._stream.begin())
        return begun + bytes(self._stream.compress(data))

    def finish(self) -> bytes:
        return self.pack(b"") + bytes(self._stream.flush())


class Blocks:
    """ClickHouse's own blocks."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def pack(self, data: bytes) -> bytes:
        self._pending += data
        return b"".join(self._ready(_BLOCK))

    def finish(self) -> bytes:
        return b"".join(self._ready(1))

    def _ready(self, least: int) -> Iterator[bytes]:
        while len(self._pending) >= least:
            yield _block(bytes(self._pending[:_BLOCK]))
            del self._pending[:_BLOCK]


_ENCODERS: Final[dict[str, Callable[[], Encoder]]] = {
    "gzip": lambda: _Zlib(31),
    "deflate": lambda: _Zlib(15),
    "lz4": _Lz4Frame,
}


_NEVER: Final = re.compile(r";\s*q\s*=\s*0(?:\.0*)?\s*$", re.IGNORECASE)


def negotiate(accepted: str) -> str:
    """The encoding for an ``Accept-Encoding``, or ``""``; a client that takes several gets the first in our order."""
    names = {part.partition(";")[0].strip().lower() for part in accepted.split(",") if not _NEVER.search(part)}
    return next((name for name in _ENCODERS if name in names), "")


def encoder(name: str) -> Encoder:
    """A new encoder of that name."""
    return _ENCODERS[name]()


def decoded(body: bytes, encoding: str) -> bytes:
    """A request's body without its ``Content-Encoding``.

    Raises:
        StatementRefused: the encoding is unknown, the data is broken or cut off, or it unpacks to more than allowed.
    """
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return body
    if name in ("gzip", "x-gzip", "deflate"):
        return _inflated(body)
    if name == "lz4":
        return _limited(lz4.frame.LZ4FrameDecompressor(), body)
    raise StatementRefused(f"Content-Encoding {encoding[:50]!r} is not gzip, deflate, lz4 or identity", BAD_ARGUMENTS)


def unblocked(body: bytes) -> bytes:
    """A request's body out of ClickHouse's own blocks. Raises: StatementRefused, likewise."""
    parts: list[bytes] = []
    room = MAX_STATEMENT
    while body:
        part, body = _unblock(body, room)
        parts.append(part)
        room -= len(part)
    return b"".join(parts)


def _inflated(body: bytes) -> bytes:
    stream = zlib.decompressobj(47)  # gzip or zlib, whichever it is
    try:
        data = stream.decompress(body, MAX_STATEMENT + 1)
    except zlib.error as error:
        raise StatementRefused(f"the compressed body is broken: {error}", BAD_ARGUMENTS) from error
    if len(data) > MAX_STATEMENT or not stream.eof or stream.unused_data:
        raise StatementRefused("the compressed body is cut off, too long, or more than one", BAD_ARGUMENTS)
    return data


def _limited(stream: Any, body: bytes) -> bytes:
    try:
        data = bytes(stream.decompress(body, MAX_STATEMENT + 1))
    except RuntimeError as error:
        raise StatementRefused(f"the compressed body is broken: {error}", BAD_ARGUMENTS) from error
    if len(data) > MAX_STATEMENT or not stream.eof:
        raise StatementRefused("the compressed body is cut off or too long", BAD_ARGUMENTS)
    return data


def _block(data: bytes) -> bytes:
    packed = bytes(lz4.block.compress(data, store_size=False))
    body = _HEAD.pack(_LZ4, _HEAD.size + len(packed), len(data)) + packed
    return bytes(_checksum(body) + body)


def _unblock(body: bytes, room: int) -> tuple[bytes, bytes]:
    start = _CHECKSUM + _HEAD.size
    if len(body) < start:
        raise StatementRefused("a compressed block is cut off", BAD_ARGUMENTS)
    method, packed, unpacked = _HEAD.unpack_from(body, _CHECKSUM)
    end = _CHECKSUM + packed
    if (
        not _HEAD.size <= packed <= len(body) - _CHECKSUM
        or unpacked > room
        or body[:_CHECKSUM] != _checksum(body[_CHECKSUM:end])
    ):
        raise StatementRefused("a compressed block is cut off, too long or damaged", BAD_ARGUMENTS)
    try:
        if method == _LZ4:
            return bytes(lz4.block.decompress(body[start:end], unpacked)), body[end:]
    except lz4.block.LZ4BlockError as error:
        raise StatementRefused("a compressed block is damaged", BAD_ARGUMENTS) from error
    if method == _NONE and unpacked == end - start:
        return body[start:end], body[end:]
    raise StatementRefused("a compressed block is neither LZ4 nor plain", BAD_ARGUMENTS)


def _checksum(data: bytes) -> bytes:
    """ClickHouse writes the halves of the hash in turn, each little endian."""
    value = int(CityHash128(data))
    return struct.pack("<QQ", value >> 64, value & (1 << 64) - 1)
