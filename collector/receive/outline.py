"""Counting what is in a request before it is parsed.

A span takes two bytes on the wire and some 180 in memory, an element of a list two and some 40, so a body within its
cap can be a hundred times as much once it is parsed. What is counted of protobuf are tags and lengths, along the
messages that may hold many of something:

=============  ==========================================================================================
message        what it may hold many of, by field number (the same for spans and logs down to the items)
=============  ==========================================================================================
request        1 resources; of each: 1 resource (1 attributes), 2 scopes; of each: 1 scope (3 attributes), 2 items
span           9 attributes, 11 events (3 attributes), 13 links (4 attributes)
log record     5 body, 6 attributes
attribute      2 its value: 5 list (1 values), 6 map (1 attributes)
=============  ==========================================================================================

Of JSON, the marks that make a list, a map or one more of their elements are counted, wherever they stand.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from collector.receive.refusal import Refusal, Why

MAX_ITEMS: Final = 50_000
"""Spans or log records in one request."""
MAX_GROUPS: Final = 10_000
"""Resources and scopes in one request."""
MAX_PARTS: Final = 1_000_000
"""Attributes, events, links, texts and elements of lists and maps, of all of them."""
_MORE: Final = 0x80
_FIXED: Final = {1: 8, 5: 4}
_FIXED64: Final = 1
_VARINT, _LENGTH_DELIMITED = 0, 2
_MARKS: Final = (b"\x0a", b"\x1a", b"\x22", b"\x8a", b"\x9a", b"\xa2")
"""Each element of a list or map, and each attribute that does not stand in an item itself, begins with one of these
bytes (in one byte, or in more than are needed). Where there are few, nobody needs to look into the items' parts."""
_SHORTEST: Final = 2
"""Bytes of a part, which has a tag and a length: two megabytes cannot hold too many, so nobody counts them there."""
_DEEPEST: Final = 100
"""Nesting that the parser takes."""


@dataclass(frozen=True, slots=True, eq=False)
class _Shape:
    """A message as far as it is looked into."""

    inside: dict[int, _Shape] = field(default_factory=dict)
    """By tag, what is looked into further; any other field is one part."""
    of_itself: int = 0
    """So many of its fields are itself and no parts: an attribute is a key and a value."""


def _tag(number: int) -> int:
    return number << 3 | _LENGTH_DELIMITED


_NOTHING: Final = _Shape()
_RESOURCES, _SCOPES, _HEAD, _ITEMS = _tag(1), _tag(2), _tag(1), _tag(2)
_VALUE: Final = _Shape(of_itself=1)
_ATTRIBUTE: Final = _Shape({_tag(2): _VALUE}, of_itself=2)
_VALUE.inside.update({_tag(5): _Shape({_tag(1): _VALUE}), _tag(6): _Shape({_tag(1): _ATTRIBUTE})})
_RESOURCE: Final = _Shape({_tag(1): _ATTRIBUTE})
_SCOPE: Final = _Shape({_tag(3): _ATTRIBUTE})
_EVENT: Final = _Shape({_tag(3): _ATTRIBUTE})
_LINK: Final = _Shape({_tag(4): _ATTRIBUTE})
_ITEM: Final[Mapping[str, _Shape]] = {
    "spans": _Shape({_tag(9): _ATTRIBUTE, _tag(11): _EVENT, _tag(13): _LINK}),
    "log records": _Shape({_tag(5): _VALUE, _tag(6): _ATTRIBUTE}),
}


def refuse_too_many(items: int, noun: str) -> None:
    """Raises a :class:`Refusal` when there are more than 50,000."""
    if items > MAX_ITEMS:
        raise Refusal(Why.TOO_LARGE, f"more than {MAX_ITEMS} {noun} in one request; send smaller batches")


def refuse_too_scattered(groups: int) -> None:
    """Raises a :class:`Refusal` when there are more than 10,000 resources and scopes: each is stamped by itself."""
    if groups > MAX_GROUPS:
        raise Refusal(Why.TOO_LARGE, f"more than {MAX_GROUPS} resources and scopes in one request; send fewer at once")


def refuse_dense(body: bytes, noun: str) -> None:
    """Refuse a protobuf request of more items, groups or parts than allowed. A malformed one is left to the parser.

    Raises:
        Refusal: there are too many.
    """
    long_enough = len(body) > _SHORTEST * MAX_PARTS
    deep = long_enough and sum(map(body.count, _MARKS)) > MAX_PARTS
    groups = items = parts = 0
    for shape, start, end in _outline(body, _ITEM[noun]):
        if shape is None:
            groups += 1
            refuse_too_scattered(groups)
            continue
        if shape is _ITEM[noun]:
            items += 1
            refuse_too_many(items, noun)
        if not long_enough:
            continue
        parts += _count(body, start, end, shape if deep else _NOTHING, MAX_PARTS - parts)
        _refuse_many_parts(parts, noun)


def refuse_dense_text(body: bytes, noun: str) -> None:
    """Refuse a JSON request that would become too many objects. Raises: Refusal."""
    _refuse_many_parts(sum(map(body.count, (b"{", b"[", b","))), noun)


def _refuse_many_parts(parts: int, noun: str) -> None:
    if parts > MAX_PARTS:
        raise Refusal(Why.TOO_LARGE, f"{noun} of more than {MAX_PARTS} parts in one request; send smaller batches")


def _outline(body: bytes, item: _Shape) -> Iterator[tuple[_Shape | None, int, int]]:
    """Every group (without a shape), and every head of one and every item, with what it may hold."""
    for tag, start, end in _fields(body, 0, len(body)):
        if tag == _RESOURCES:
            yield None, start, end
            for inner, first, last in _fields(body, start, end):
                if inner == _HEAD:
                    yield _RESOURCE, first, last
                elif inner == _SCOPES:
                    yield None, first, last
                    for tag_, here, there in _fields(body, first, last):
                        yield item if tag_ == _ITEMS else _SCOPE, here, there


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


def _count(body: bytes, position: int, end: int, shape: _Shape, limit: int, depth: int = 0) -> int:
    """How many parts there are, counted up to a few beyond ``limit``."""
    inside, count = shape.inside, 0
    while position + 1 < end and count <= limit:
        tag, length = body[position], body[position + 1]
        if tag & (_MORE | 7) == _FIXED64:
            position += 9
            continue
        if tag & (_MORE | 7) != _LENGTH_DELIMITED or length >= _MORE:
            break
        start, position = position + 2, position + 2 + length
        count += 1
        if (inner := inside.get(tag)) is not None:
            count += _inside(body, start, position, inner, limit - count, depth)
    for tag, start, stop in _fields(body, position, end):
        if count > limit:
            break
        count += 1
        if (inner := inside.get(tag)) is not None:
            count += _inside(body, start, stop, inner, limit - count, depth)
    return count


def _inside(body: bytes, start: int, end: int, shape: _Shape, limit: int, depth: int) -> int:
    """Parts of a part; what makes an attribute or a value, one of each kind, is none."""
    if depth >= _DEEPEST:
        return 0
    own = shape.of_itself
    return max(0, _count(body, start, end, shape, limit + own, depth + 1) - own)


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
