"""Dresses: what a text says to who reads through encodings, look-alike letters and characters that nobody sees.

Models do. So what is looked for in a text is looked for in these readings of it, too.
"""

from __future__ import annotations

import base64
import binascii
import html
import re
import unicodedata
import zlib
from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote

_ESCAPE: Final = re.compile(r"\\(?:u\{?([0-9A-Fa-f]{4,6})\}?|x([0-9A-Fa-f]{2})|([0-3][0-7]{2}))")
_SOFT: Final = re.compile(r"=([0-9A-F]{2})")  # as mail writes it
_ALIKE: Final = str.maketrans(
    "аеорсухіјѕԁӏһԛԝвкмнтАВЕКМНОРСТУХІЈЅαεοριυκντΑΒΕΖΗΙΚΜΝΟΡΤΥΧı",
    "aeopcyxijsdlhqwbkmhtABEKMHOPCTYXIJSaeopiukvtABEZHIKMNOPTYXi",
)
_TAGS: Final = {0xE0000 + code: code for code in range(0x20, 0x7F)} | dict.fromkeys(
    (0x115F, 0x1160, 0x2800, 0x3164), 0x20
)
"""Letters of their own that nobody sees, and blanks that are called letters."""
_BASE64: Final = re.compile(r"[A-Za-z0-9+/_\-]{16,}")
_WRAPPED: Final = re.compile(
    r"(?<![A-Za-z0-9+/_\-])(?:[A-Za-z0-9+/_\-]{8,}+\s{1,4})+[A-Za-z0-9+/_\-]{2,}"
    r"|(?:[A-Za-z0-9+/_\-]{4} ){4,}[A-Za-z0-9+/_\-]{2,}"
)
"""Begun at the beginning of a word only: a long one is read once, and not from each of its letters."""
_BASE32: Final = re.compile(r"[A-Z2-7]{24,}|[a-z2-7]{24,}")
_HEX: Final = re.compile(r"(?:(?:\\x|0x)?[0-9A-Fa-f]{2}[\s:,;\-]{0,2}){12,}")
_DECIMALS: Final = re.compile(r"(?:\d{2,3}[\s,;]{1,2}){11,}\d{2,3}")
_BITS: Final = re.compile(r"(?:[01]{8}[\s,]?){12,}")
_CONTROLS: Final = bytes({*range(0x20), 0x7F} - set(b"\t\n\r"))
_MOSTLY: Final = 10
"""In a text at most one character of so many is none."""
_PACKED: Final = ("\x1f\x8b", "x\x01", "x\x5e", "x\x9c", "x\xda")
_ANY_HEAD: Final = 47
"""gzip's or zlib's, for the window that both use."""
_MOST_OPENED: Final = 8
_DEPTH: Final = 2
"""Encodings around each other."""


def plain(text: str) -> str:
    """The text without escapes, accents and invisible characters, in our letters where others look like them."""
    for _ in range(_DEPTH):
        text = _ESCAPE.sub(_escaped, unquote(html.unescape(text)))
    text = _SOFT.sub(lambda found: chr(int(found[1], 16)), text)
    if text.isascii():
        return text
    spread = unicodedata.normalize("NFKD", text.translate(_TAGS))
    return "".join(c for c in spread if unicodedata.category(c) not in ("Cf", "Mn")).translate(_ALIKE)


def decoded(text: str, depth: int = _DEPTH) -> Iterator[str]:
    """What stands in a text in base64, base32, hex, decimal or binary numbers, wherever it begins in a word; packed
    by gzip or zlib, too."""
    for told in _decoded(text):
        for inner in (told, *_opened(told)):
            yield inner
            if depth > 1 and inner.isascii():
                yield from decoded(inner, depth - 1)


def texts_in(text: str) -> Iterator[str]:
    """What stands in a text in an encoding and is a text itself, nearly all of it: no picture, no key and no hash."""
    for inner in (inner for reading in dict.fromkeys((text, plain(text))) for inner in decoded(reading)):
        letters = inner.encode("latin-1", "replace").replace(b"\0", b"")  # of UTF-16, too
        told = letters.decode("utf-8", "replace")
        odd = told.count("\ufffd") + len(letters) - len(letters.translate(None, _CONTROLS))
        if letters and odd * _MOSTLY <= len(told):
            yield told


def _decoded(text: str) -> Iterator[str]:
    wrapped = (re.sub(r"\s+", "", lines) for lines in _WRAPPED.findall(text))
    for word in {*_BASE64.findall(text), *wrapped}:
        letters = word.replace("-", "+").replace("_", "/")
        yield from (_base64(letters[skip:]) for skip in range(4))
    for word in _BASE32.findall(text):
        yield from (_base32(word[skip:]) for skip in range(8))
    for run in _HEX.findall(text):
        digits = re.sub(r"\\x|0x|[\s:,;\-]", "", run)
        yield from (
            bytes.fromhex(digits[skip : len(digits) - (len(digits) - skip) % 2]).decode("latin-1") for skip in (0, 1)
        )
    for run in _DECIMALS.findall(text):
        yield "".join(chr(int(number)) for number in re.findall(r"\d+", run))
    for run in _BITS.findall(text):
        bits = re.sub(r"[\s,]", "", run)
        yield "".join(chr(int(bits[at : at + 8], 2)) for at in range(0, len(bits), 8))


def _escaped(found: re.Match[str]) -> str:
    code = int(found[1] or found[2], 16) if found[1] or found[2] else int(found[3], 8)
    return chr(code) if code < 0x110000 else found[0]


def _opened(told: str) -> Iterator[str]:
    """What is packed in it; no more than people's texts give, or a small one could be made to fill the memory."""
    if told.startswith(_PACKED):
        try:
            packed = told.encode("latin-1")
            yield zlib.decompressobj(_ANY_HEAD).decompress(packed, _MOST_OPENED * len(told)).decode("latin-1")
        except (UnicodeEncodeError, zlib.error):  # the first: numbers that are no bytes
            return


def _base64(letters: str) -> str:
    letters = letters.rstrip("=")
    whole = letters[: len(letters) - (len(letters) % 4 == 1)]
    return base64.b64decode(whole + "=" * (-len(whole) % 4)).decode("latin-1")


def _base32(letters: str) -> str:
    whole = letters[: len(letters) // 8 * 8]
    try:
        return base64.b32decode(whole, casefold=True).decode("latin-1")
    except binascii.Error:
        return ""
