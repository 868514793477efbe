"""SimHash: texts that are alike have hashes that differ in few bits.

Charikar's 64-bit SimHash (2002) over the words and word pairs of the normalised text (:func:`fusebox.fingerprint.
normalise`), each with the same weight: a bit is set when it is set in more than half of their hashes.
"""

from __future__ import annotations

import re
from itertools import pairwise
from operator import index
from typing import Final, SupportsIndex

import xxhash

from fusebox.fingerprint import normalise, utf8

_KEPT: Final = 256
_WORD: Final = re.compile(r"\w+")
_GAPS: Final = bytes(byte if _WORD.match(chr(byte)) else ord(" ") for byte in range(256))
"""What :data:`_WORD` takes for a gap in ASCII is a space."""
_BITS: Final = 64
_MASK: Final = (1 << _BITS) - 1


def simhash(text: str) -> int:
    """64-bit SimHash of the normalised text's words and word pairs; 0 when there are no words."""
    words = _words(normalise(text))
    return _majority([*map(xxhash.xxh3_64_digest, {*words, *map(b" ".join, pairwise(words))})])


def _words(text: str) -> list[bytes]:
    """What is left when all is taken for a gap that cannot be part of a word."""
    if text.isascii():
        return text.encode().translate(_GAPS).split()
    return utf8(" ".join(_WORD.findall(text))).split()


def _majority(hashes: list[bytes]) -> int:
    """The bits that are set in more than half of ``hashes`` (of 8 bytes), counted in all 64 positions at once.

    ``planes[i]`` holds bit i of each position's count. Three numbers of one weight are added to one of that weight
    and a carry of the next, as hardware adds partial products (carry-save adder; C. S. Wallace, 1964). All hashes lie
    side by side in one long number, so a third of them is added to another third and to the rest at a time.
    """
    planes, column, count = [], int.from_bytes(b"".join(hashes), "big"), len(hashes)
    while column:
        carries = width = 0
        while count > 1:
            count = -(-count // 3)
            third = _BITS * count
            a, b, c = column & (1 << third) - 1, column >> third & (1 << third) - 1, column >> 2 * third
            odd = a ^ b
            carries |= (a & b | odd & c) << width
            column, width = odd ^ c, width + third
        planes.append(column)
        column, count = carries, width // _BITS
    return _above(planes, len(hashes) // 2)


def _above(planes: list[int], limit: int) -> int:
    """The positions whose count, spread over ``planes``, is greater than ``limit``."""
    greater, equal = 0, _MASK
    for weight in reversed(range(max(len(planes), limit.bit_length()))):
        plane = planes[weight] if weight < len(planes) else 0
        if limit >> weight & 1:
            equal &= plane
        else:
            greater |= equal & plane
            equal &= ~plane
    return greater


class Likeness:
    """A SimHash that is taken once it is asked for: that of other people's spans, of which hardly one ever is compared.

    Until then it keeps the text; of more than 256 characters it is taken at once.
    """

    __slots__ = ("_of",)

    def __init__(self, text: str) -> None:
        self._of: str | int = text if len(text) <= _KEPT else simhash(text)

    def __index__(self) -> int:
        if isinstance(self._of, str):
            self._of = simhash(self._of)
        return self._of

    def __bool__(self) -> bool:
        return self.__index__() != 0

    def __eq__(self, other: object) -> bool:
        return self.__index__() == other

    def __hash__(self) -> int:
        return self.__index__()


def distance(a: SupportsIndex, b: SupportsIndex) -> int:
    """Number of differing bits of two SimHashes (0 … 64)."""
    return ((index(a) ^ index(b)) & _MASK).bit_count()
