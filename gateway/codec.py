"""In which letters bytes are written, if they are a text at all: nobody says so of a file, and some say it wrongly."""

from __future__ import annotations

import codecs
import json
import re
from typing import Final

_MARKS: Final = (
    (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
_WIDE: Final = ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be")
_UNSEEN: Final = re.compile(r"[\s\u00ad\u200b-\u200f\u2028-\u202e\u2060-\u2064\ufeff]+")
"""Blanks, and characters without width: they are in texts, and Python does not call them printable."""
_OURS: Final = re.compile(r"[ -~]")
"""With its bytes the wrong way round, a text has fewer of them."""
_CONTROLS: Final = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")


def codec_of(data: bytes) -> str | None:
    """The codec by which bytes are a text; None where they are none, such as a picture."""
    wide = wide_codec_of(data)
    if wide is not None:
        return wide
    if _text_in(data, "utf-8") is not None:
        return "utf-8"
    return None if _CONTROLS.search(data) else "latin-1"


def wide_codec_of(data: bytes) -> str | None:
    """The codec of a text in UTF-16 or UTF-32; None for all else."""
    for mark, codec in _MARKS:
        if data.startswith(mark) and _text_in(data, codec) is not None:
            return codec
    if b"\0" not in data:  # without one there is no letter of ours in it
        return None
    read = {codec: text for codec in _WIDE if (text := _text_in(data, codec)) is not None and _is_text(text)}
    return max(read, key=lambda codec: len(_OURS.findall(read[codec])), default=None)


def _text_in(data: bytes, codec: str) -> str | None:
    try:
        return data.decode(codec)
    except UnicodeDecodeError:
        return None


def _is_text(text: str) -> bool:
    return _UNSEEN.sub("", text).isprintable() or _is_json(text)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
