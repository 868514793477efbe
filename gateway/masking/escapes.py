"""A text without the escapes of URLs, HTML and programs, and with our letters in the place of those that only look so.

A value behind such is a value: who gets the text reads it. Each character keeps the place where it stood.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

_DRESSED: Final = re.compile(
    r"%(?P<url>[0-9A-Fa-f]{2})|&#(?P<html>\d{2,6});|&#[xX](?P<hex>[0-9A-Fa-f]{2,5});"
    r"|\\(?:u00|x)(?P<program>[0-7][0-9A-Fa-f])"
    r"|(?<=\d{4})(?P<gap>\+| [-\u2010-\u2015] |\u00b7)(?=\d{4})"
    r"|(?P<unseen>[\u00ad\u200b-\u200d\u2060-\u2064\ufeff]+(?!\d))"
    r"|(?P<tag>[\U000e0020-\U000e007e])"
    r"|(?P<alike>[\u0660-\u0669\u06f0-\u06f9\u2460-\u24ff\U0001d400-\U0001d7ff])"
)
_SIGNS: Final = ("%", "&#", "\\u", "\\x", "+", " - ")
"""One of them is in a text of ASCII that has any."""


@dataclass(frozen=True, slots=True)
class Bare:
    """The text, and for each of its characters, and its end, the place in the text that it was."""

    text: str
    places: list[int]


def bare(text: str) -> Bare | None:
    """None for a text that has none."""
    if text.isascii() and not any(sign in text for sign in _SIGNS):
        return None
    parts, lengths, at = [], list[int](), 0
    for found in _DRESSED.finditer(text):
        parts += [text[at : found.start()], _shown(found)]
        lengths += [1] * (found.start() - at)
        lengths += _spread(len(found[0]), len(parts[-1]), lengths)
        at = found.end()
    if not parts:
        return None
    return Bare("".join([*parts, text[at:]]), [0, *accumulate([*lengths, *[1] * (len(text) - at)])])


def _spread(width: int, letters: int, before: list[int]) -> list[int]:
    """How many characters each letter stands for; what nobody sees belongs to the letter in front."""
    if not letters:
        if before:
            before[-1] += width
        return []
    return [*[0] * (letters - 1), width]


def _shown(found: re.Match[str]) -> str:
    kind, told = found.lastgroup, found[found.lastgroup or 0]
    if kind == "html":
        return chr(int(told)) if int(told) < 0x110000 else told[:1]
    if kind in ("url", "hex", "program"):
        return chr(int(told, 16))
    if kind == "tag":
        return chr(ord(told) - 0xE0000)
    if kind == "alike":
        return str(unicodedata.digit(told, None) if told.isdigit() else unicodedata.normalize("NFKC", told))
    return " " if kind == "gap" else ""
