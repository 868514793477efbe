"""One record: encoding, decoding, and finding the next intact one behind damage."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import xxhash

MAGIC: Final = b"\xf5SPL"
MAX_PAYLOAD: Final = 64 << 20
_BODY: Final = struct.Struct("<4sIQQ")
_SUM: Final = struct.Struct("<I")
HEADER: Final = _BODY.size + _SUM.size

Buffer = bytes | memoryview


@dataclass(frozen=True, slots=True)
class Record:
    """What a reader gets."""

    number: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Header:
    """A record's header whose own checksum is right."""

    length: int
    number: int
    checksum: int


def header_of(number: int, payload: bytes, salt: int) -> bytes:
    """The header that precedes ``payload``."""
    body = _BODY.pack(MAGIC, len(payload), number, xxhash.xxh64_intdigest(payload, salt))
    return body + _SUM.pack(xxhash.xxh32_intdigest(body, salt))


def parse_header(data: Buffer, salt: int) -> Header | None:
    """The header at the start of ``data``, or None when it is short or damaged."""
    if len(data) < HEADER:
        return None
    magic, length, number, checksum = _BODY.unpack_from(data)
    (own,) = _SUM.unpack_from(data, _BODY.size)
    if magic != MAGIC or length > MAX_PAYLOAD or own != xxhash.xxh32_intdigest(data[: _BODY.size], salt):
        return None
    return Header(length, number, checksum)


def intact(header: Header, payload: Buffer, salt: int) -> bool:
    """True when ``payload`` is the whole payload that ``header`` announces."""
    return len(payload) == header.length and xxhash.xxh64_intdigest(payload, salt) == header.checksum


def walk(data: bytes, salt: int, offset: int = 0) -> Iterator[tuple[int, Header]]:
    """The intact records of a segment's bytes from ``offset`` on: where each starts and its header. Skips damage."""
    view = memoryview(data)
    while offset < len(data):
        header = _intact_at(view, offset, salt)
        if header:
            yield offset, header
            offset += HEADER + header.length
            continue
        offset = data.find(MAGIC, offset + 1)
        if offset < 0:
            return


def _intact_at(view: memoryview, offset: int, salt: int) -> Header | None:
    header = parse_header(view[offset : offset + HEADER], salt)
    start = offset + HEADER
    return header if header and intact(header, view[start : start + header.length], salt) else None
