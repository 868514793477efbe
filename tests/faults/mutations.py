"""Mutations of bytes, from a seeded random source: what a broken sender, proxy or disk makes of a request."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Final

_BOUNDARIES: Final = (
    b"\xff" * 10,
    b"\x80" * 11,
    b"\x00",
    b"\x7f",
    b"\xff\xff\xff\xff\x0f",
    b"\xc3\x28",
    b"\xed\xa0\x80",
)
"""Endless and overlong varints, extreme numbers, text that is no UTF-8."""


def flip(data: bytearray, dice: random.Random, _: bytes) -> None:
    place = dice.randrange(len(data))
    data[place] ^= 1 << dice.randrange(8)


def overwrite(data: bytearray, dice: random.Random, _: bytes) -> None:
    data[dice.randrange(len(data))] = dice.randrange(256)


def reletter(data: bytearray, dice: random.Random, _: bytes) -> None:
    """Another letter or digit in the place of one: the shape stays, the meaning goes."""
    places = [place for place, byte in enumerate(data) if chr(byte).isascii() and chr(byte).isalnum()]
    if places:
        data[dice.choice(places)] = ord(dice.choice("0123456789abcdefABCXYZ"))


def insert(data: bytearray, dice: random.Random, _: bytes) -> None:
    place = dice.randrange(len(data) + 1)
    data[place:place] = dice.choice((dice.randbytes(dice.randrange(1, 9)), dice.choice(_BOUNDARIES)))


def delete(data: bytearray, dice: random.Random, _: bytes) -> None:
    start = dice.randrange(len(data))
    del data[start : start + dice.randrange(1, 9)]


def repeat(data: bytearray, dice: random.Random, _: bytes) -> None:
    start = dice.randrange(len(data))
    piece = data[start : start + dice.randrange(1, 64)]
    data[start:start] = piece * dice.randrange(1, 20)


def truncate(data: bytearray, dice: random.Random, _: bytes) -> None:
    del data[dice.randrange(len(data)) :]


def splice(data: bytearray, dice: random.Random, other: bytes) -> None:
    """Put a piece of another request over one of this."""
    start, there = dice.randrange(len(data)), dice.randrange(len(other))
    length = dice.randrange(1, 64)
    data[start : start + length] = other[there : there + length]


_ALL: Final[tuple[Callable[[bytearray, random.Random, bytes], None], ...]] = (
    flip, overwrite, reletter, reletter, insert, delete, repeat, truncate, splice,
)  # fmt: skip


def mutated(seeds: Sequence[bytes], dice: random.Random) -> bytes:
    """One of ``seeds`` after one to four mutations."""
    data = bytearray(dice.choice(seeds))
    for _ in range(dice.choice((1, 1, 1, 2, 3, 4))):
        if data:
            dice.choice(_ALL)(data, dice, dice.choice(seeds))
    return bytes(data)
