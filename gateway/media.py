"""Pictures and files in base64 are no text: they stand aside while a request is masked.

What only looks like one is text. A file that is a text itself is read as one, whatever it is called.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any, Final

from gateway.codec import codec_of

_BEGINS: Final = "data:"
_DATA: Final = ";base64,"
_HEAD: Final = 128
"""Characters in which a head must have ended."""
_LEAST: Final = 64
"""Characters of base64. What is shorter and holds no text is hardly a picture, and may be a number or a key."""


def without_media(value: Any) -> Any:
    """The value with ``[head]`` in the place of each, ``[head, text]`` of one that is a text."""
    if isinstance(value, dict):
        bare = value.get("type") == "base64"
        return {n: _opened("", v) if bare and n == "data" else without_media(v) for n, v in value.items()}
    if isinstance(value, list):
        return [without_media(each) for each in value]
    if isinstance(value, str) and value.startswith(_BEGINS) and _DATA in value[:_HEAD]:
        head, comma, data = value.partition(",")
        return _opened(head + comma, data)
    return value


def with_media(masked: Any, value: Any) -> Any:
    """What became of ``without_media(value)``, with everything back in its place."""
    if isinstance(value, dict):
        return {n: with_media(m, v) for (n, m), v in zip(masked.items(), value.values(), strict=True)}
    if isinstance(value, list):
        return [with_media(m, v) for m, v in zip(masked, value, strict=True)]
    if isinstance(value, str) and isinstance(masked, list):
        return _closed(masked, value.rpartition(",")[2])
    return masked


def _opened(head: str, data: Any) -> Any:
    file = _bytes_in(data) if isinstance(data, str) else None
    if file is None:
        return head + data if isinstance(data, str) else without_media(data)
    codec = codec_of(file)
    if codec in (None, "latin-1") and len(data) < _LEAST:
        return head + data
    return [head] if codec is None else [head, file.decode(codec)]


def _closed(parts: list[str], data: str) -> str:
    head, *text = parts
    if text:
        file = base64.b64decode(data)
        codec = codec_of(file) or ""
        if file.decode(codec) != text[0]:
            data = base64.b64encode(text[0].encode(codec)).decode()
    return head + data


def _bytes_in(data: str) -> bytes | None:
    """What base64 holds; None for what is none, to the last character."""
    try:
        return base64.b64decode(data, validate=True) or None
    except (binascii.Error, ValueError):
        return None
