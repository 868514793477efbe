"""Where could a value be? One cheap look, so that recognisers run only there.

Each rule is wider than the recogniser it stands for: whatever that would find, the rule hits. A hit becomes a window,
the hit with some room around it for context words; windows that touch are one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from gateway.masking.recognisers import Recognisers
from gateway.masking.secrets import HINT

_ROOM: Final = 60
"""Characters around a hit, for context words and for the run the hit is part of."""

_RULES: Final[tuple[tuple[re.Pattern[str], tuple[str, ...]], ...]] = (
    (re.compile(r"\S+@\S+"), ("EMAIL",)),
    (re.compile(r"(?:[A-Z]{2}\d{2}(?:[ -]?[A-Z0-9]{4}){2,7}[ -]?[A-Z0-9]{0,4})", re.IGNORECASE), ("IBAN",)),
    (re.compile(r"\d{1,3}(?:\.\d{1,3}){3}|[0-9A-Fa-f:]*:[0-9A-Fa-f]*:[0-9A-Fa-f:.]*"), ("IP",)),
    (re.compile(HINT + r"\S*"), ("SECRET",)),
)
_DIGITS: Final = re.compile(r"(?:\d[ .\-/()\u00a0\u2010-\u2015]{0,3}){7,}")
_PEM: Final = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z ]*-----|\Z)", re.DOTALL)
_WORD: Final = re.compile(r"\w+")


@dataclass(slots=True)
class Window:
    """A stretch of a text and the types that could be in it."""

    start: int
    end: int
    types: set[str]


def windows(text: str, recognisers: Recognisers) -> list[Window]:
    """The stretches to look at, in order, none touching another."""
    if recognisers.has_model:  # a model may find names anywhere
        return [Window(0, len(text), set(recognisers.types))]
    merged: list[Window] = []
    for first, last, types in sorted(_hits(text, recognisers), key=lambda hit: hit[0]):
        start, end = _run_start(text, max(0, first - _ROOM)), _run_end(text, min(len(text), last + _ROOM))
        if merged and start <= merged[-1].end:
            merged[-1].end = max(merged[-1].end, end)
            merged[-1].types.update(types)
        else:
            merged.append(Window(start, end, set(types)))
    return merged


def _hits(text: str, recognisers: Recognisers) -> Iterator[tuple[int, int, tuple[str, ...]]]:
    for rule, types in _RULES:
        for match in rule.finditer(text):
            yield match.start(), match.end(), types
    for match in _DIGITS.finditer(text):
        digits = sum(c.isdigit() for c in match[0])
        types = ("PHONE", *(("SSN",) if digits >= 9 else ()), *(("CARD",) if digits >= 12 else ()))
        yield match.start(), match.end(), types
    for match in _PEM.finditer(text):
        yield match.start(), match.end(), ("SECRET",)
    for names in recognisers.names:
        for word in _WORD.finditer(text):
            if names.starts(word[0]):
                yield word.start(), word.end(), tuple(names.supported_entities)


def _run_start(text: str, at: int) -> int:
    """Back to a blank, so that a window never begins inside a value."""
    while at > 0 and not text[at - 1].isspace():
        at -= 1
    return at


def _run_end(text: str, at: int) -> int:
    while at < len(text) and not text[at].isspace():
        at += 1
    return at
