"""Where could a value be? One cheap look, so that recognisers run only there.

Each rule is wider than the recogniser it stands for: whatever that would find, the rule hits. A hit becomes a window,
the hit with some room around it for context words, never ending inside a word; windows that touch are one. All windows
of a text are then looked at together, as one short text: :class:`Excerpt`.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from gateway.masking.names import WORD
from gateway.masking.recognisers import Recognisers
from gateway.masking.secrets import LITERALS, RARER

_ROOM: Final = 60
"""Characters around a hit, for context words and for the run the hit is part of."""

LONGEST_WORD: Final = 4096
"""Characters without a blank that are looked at on either side: the longest tokens are of this size."""

_BLANKS: Final = (" ", "\n", "\t")

_GAP: Final = "\n| | | | | | |\n"
"""Between two windows: more words than context looks at."""

_DIGITS: Final = re.compile(r"(?:\d[ .\-/()\u00a0\u2010-\u2015]{0,3}){7,}")
_IBAN: Final = re.compile(r"[A-Z]{2}\d{2}[ -]?[A-Z0-9]{4}[ -]?[A-Z0-9]{4}", re.IGNORECASE)
_IP: Final = re.compile(r"\d{1,3}\.\d{1,3}\.\d{1,3}\.\d|::|[0-9A-Fa-f]{1,4}:[0-9A-Fa-f]{1,4}:")
_PEM: Final = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z ]*-----|\Z)", re.DOTALL)

_Hit = tuple[int, int, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Excerpt:
    """The windows of a text, put together."""

    text: str
    types: frozenset[str]
    places: tuple[tuple[int, int], ...]
    """For each window: where it begins in the excerpt, and in the text."""

    def back(self, at: int) -> int:
        """The place in the text that stands at ``at`` in the excerpt."""
        here, there = self.places[bisect_right(self.places, (at, 1 << 62)) - 1]
        return at - here + there


def excerpt(text: str, recognisers: Recognisers) -> Excerpt:
    """What of a text has to be looked at, and for which types."""
    if recognisers.has_model:  # a model may find names anywhere
        return Excerpt(text, recognisers.types, ((0, 0),))
    hits = sorted(_hits(text, recognisers))
    parts, places, length = [], [], 0
    for start, end in _windows(text, hits):
        places.append((length, start))
        parts.append(text[start:end])
        length += end - start + len(_GAP)
    return Excerpt(_GAP.join(parts), frozenset(type_ for hit in hits for type_ in hit[2]), tuple(places))


def _windows(text: str, hits: list[_Hit]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for first, last, _ in hits:
        if merged and last + _ROOM <= merged[-1][1]:
            continue
        start, end = _run_start(text, max(0, first - _ROOM)), _run_end(text, min(len(text), last + _ROOM))
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(merged[-1][1], end)
        else:
            merged.append((start, end))
    return merged


def _hits(text: str, recognisers: Recognisers) -> Iterator[_Hit]:
    for at in _places(text, "@"):
        yield at, at + 1, ("EMAIL",)
    for match in _DIGITS.finditer(text):
        digits = sum(c.isdigit() for c in match[0])
        types = ("PHONE", *(("SSN",) if digits >= 9 else ()), *(("CARD",) if digits >= 12 else ()))
        yield match.start(), match.end(), types
    for match in _IBAN.finditer(text):
        yield match.start(), match.end(), ("IBAN",)
    for match in _IP.finditer(text):
        yield match.start(), match.end(), ("IP",)
    for names in recognisers.names:
        for match in WORD.finditer(text):
            if names.starts(match[0]):
                yield match.start(), match.end(), tuple(names.supported_entities)
    yield from _secret_hits(text)


def _secret_hits(text: str) -> Iterator[_Hit]:
    for literal in LITERALS:
        for at in _places(text, literal):
            yield at, at + len(literal), ("SECRET",)
    for found in RARER.finditer(text):
        yield found.start(), found.end(), ("SECRET",)
    if "PRIVATE KEY" in text:
        for match in _PEM.finditer(text):
            yield match.start(), match.end(), ("SECRET",)


def _places(text: str, literal: str) -> Iterator[int]:
    at = text.find(literal)
    while at >= 0:
        yield at
        at = text.find(literal, at + 1)


def _run_start(text: str, at: int) -> int:
    """Back to a blank, so that a window never begins inside a value; or as far as the longest word may be."""
    first = max(0, at - LONGEST_WORD)
    return max(text.rfind(blank, first, at) + 1 or first for blank in _BLANKS)


def _run_end(text: str, at: int) -> int:
    last = min(len(text), at + LONGEST_WORD)
    ends = [text.find(blank, at, last) for blank in _BLANKS]
    return min(last if end < 0 else end for end in ends)
