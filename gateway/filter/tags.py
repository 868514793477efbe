"""What HTML and CSS fetch as soon as they are shown, and what tags say.

A tag is read as far as its attributes go, from every place where one may begin: whether a quote or a sign before it
makes it a text, screens do not agree on.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import Final

_TAG: Final = re.compile(
    r"<(?:img|image|feimage|use|iframe|frame|embed|object|source|video|audio|link|script|input|track|body|table|t[dhr]"
    r"|base|applet|portal|fencedframe|model|bgsound|mglyph|html|lineargradient|radialgradient|pattern"
    r"|textpath|mpath|set|animate|\?xml-stylesheet)\b",
    re.IGNORECASE,
)
_ANY: Final = re.compile(r"<[a-z][\w:-]*", re.IGNORECASE)
_ATTRIBUTE: Final = re.compile(r"[\s/]*(=?[^\s/>=]{0,200})(?:\s*=\s*(?:\"([^\"]*)\"?|'([^']*)'?|([^\s>]{0,2000})))?")
_LOADING: Final = ("src", "href", "data", "srcset", "poster", "background", "codebase", "manifest")
"""How the names of attributes end whose addresses are fetched."""
_OTHERWISE: Final = re.compile(
    r"url\(\s*[\"']?([^\"')]{1,2000})|@import\s*[\"']([^\"']{1,2000})|<meta\b[^>]{0,300}?url=\s*[\"']?([^\s\"'>]+)",
    re.IGNORECASE,
)
_ESCAPE: Final = re.compile(r"\\([0-9A-Fa-f]{2,5})\s?")
"""Of a letter in CSS."""
_SET: Final = re.compile(r"(?:image-set|cross-fade)\([^;{}]{1,2000}", re.IGNORECASE)
_QUOTED: Final = re.compile(r"[\"']([^\"']+)")
_BEGUN: Final = (("'", "<img a='"), ('"', '<img a="'), ("", "<img "))
"""In this order one can stand in the other."""


def fetched(text: str) -> Iterator[str]:
    """Addresses that HTML and CSS fetch, as they are written; some hold several."""
    for found in _attributes(text, _TAG):
        if found[1].lower().endswith(_LOADING):
            yield _value(found)
    for reading in {text, html.unescape(_ESCAPE.sub(_letter, text))}:
        for groups in _OTHERWISE.findall(reading):
            yield from filter(None, groups)
        for images in _SET.findall(reading):
            yield from _QUOTED.findall(images)


def attributes(text: str) -> Iterator[tuple[str, str]]:
    """Of all tags: their names in lower case, and values; not those in braces, which are source text and not shown."""
    for found in _attributes(text, _ANY):
        if not (found[4] or "").startswith("{"):
            yield found[1].lower(), _value(found)


def tag_open(text: str) -> str:
    """The beginning of tags that are as open as the ones at the end of ``text``: in a quote of either kind, or none."""
    ends = {_quote(found) for found in _attributes(text, _TAG) if found.end() == len(text)}
    return "".join(begun for quote, begun in _BEGUN if quote in ends)


def _letter(escape: re.Match[str]) -> str:
    return chr(int(escape[1], 16))


def _attributes(text: str, tags: re.Pattern[str]) -> Iterator[re.Match[str]]:
    """Of tags of a kind. Two that overlap go on alike from where they meet, so no place is read twice."""
    read: set[int] = set()
    for tag in tags.finditer(text):
        at = tag.end()
        while at not in read and (found := _ATTRIBUTE.match(text, at)):
            read.add(at)
            yield found
            at = found.end()


def _value(found: re.Match[str]) -> str:
    return found[2] or found[3] or found[4] or ""


def _quote(found: re.Match[str]) -> str:
    """The one in which an attribute breaks off."""
    return next((sign for group, sign in ((2, '"'), (3, "'")) if found.end(group) == found.end()), "")
