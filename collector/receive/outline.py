"""Counting what is in a request before it is parsed.

A span takes two bytes on the wire and some 180 in memory, so a body within its cap can be a hundred times as much once
it is parsed. The walk here reads tags and lengths only (protobuf's wire format; the field numbers of the three levels
are the same for spans and logs).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Final

from collector.receive.refusal import Refusal, Why

MAX_ITEMS: Final = 50_000
"""Spans or log records in one request."""
MAX_PARTS: Final = 1_000_000
"""Attributes, events, links and texts of all of them."""
_RESOURCES, _SCOPES, _ITEMS = 1 << 3 | 2, 2 << 3 | 2, 2 << 3 | 2
_FIXED: Final = {1: 8, 5: 4}
_FIXED64: Final = 1
_VARINT, _LENGTH_DELIMITED = 0, 2
_MORE: Final = 0x80


def refuse_too_many(items: int, noun: str) -> None:
    """Raises a :class:`Refusal` when there are more than 50,000."""
    if items > MAX_ITEMS:
        raise Refusal(Why.TOO_LARGE, f"more than {MAX_ITEMS} {noun} in one request; send smaller batches")


def refuse_dense(body: bytes, noun: str) -> None:
    """Refuse a protobuf request of more items or parts than allowed. A malformed one is left to the parser.

    Raises:
        Refusal: there are too many.
    """
    parts = 0
    for place, (start, end) in enumerate(_items(body)):
        refuse_too_many(place + 1, noun)
        parts += _count(body, start, end, MAX_PARTS - parts)
        if parts > MAX_PARTS:
            raise Refusal(Why.TOO_LARGE, f"{noun} of more than {MAX_PARTS} parts in one request; send smaller batches")


def _items(body: bytes) -> Iterator[tuple[int, int]]:
    for tag, *resource in _fields(body, 0, len(body)):
        if tag == _RESOURCES:
            for inner, *scope in _fields(body, *resource):
                if inner == _SCOPES:
                    yield from ((start, end) for it, start, end in _fields(body, *scope) if it == _ITEMS)


def _fields(body: bytes, position: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Tag and place of each length-delimited field, as far as the bytes make sense."""
    while position < end:
        tag, position = _varint(body, position, end)
        kind = tag & 7
        if kind == _LENGTH_DELIMITED:
            length, position = _varint(body, position, end)
            if position + length > end:
                return
            yield tag, position, position + length
            position += length
        elif kind == _VARINT:
            _, position = _varint(body, position, end)
        elif kind in _FIXED:
            position += _FIXED[kind]
        else:
            return


def _count(body: bytes, position: int, end: int, limit: int) -> int:
    """How many length-delimited fields there are, counted up to one beyond ``limit``."""
    count = 0
    while position + 1 < end and count <= limit:
        tag, length = body[position], body[position + 1]
        if tag & (_MORE | 7) == _FIXED64:
            position += 9
            continue
        if tag & (_MORE | 7) != _LENGTH_DELIMITED or length >= _MORE:
            return count + sum(1 for _ in islice(_fields(body, position, end), limit + 1 - count))
        position += 2 + length
        count += 1
    return count


def _varint(body: bytes, position: int, end: int) -> tuple[int, int]:
    """Value and the position behind it; one that is cut off reads as longer than any body."""
    value = shift = 0
    while position < end:
        byte = body[position]
        if byte < _MORE:
            return value | byte << shift, position + 1
        value |= (byte & ~_MORE) << shift
        position, shift = position + 1, shift + 7
        if shift > 63:
            break
    return end + 1, end
