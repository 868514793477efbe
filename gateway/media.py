"""Pictures and files in base64 are no text: they stand aside while a request is masked.

So does what a provider has sealed (signatures of thoughts, encrypted reasoning): it takes it back to the letter only.
What only looks like one is text. A file that is a text itself is read as one, whatever it is called.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any, Final

from gateway.codec import codec_of

_BEGINS: Final = "data:"
_DATA: Final = ";base64,"
_HEAD: Final = 128
"""Characters in which a head must have ended."""
_FIELDS: Final[Mapping[str, str]] = {
    "base64": "data", "thinking": "signature", "redacted_thinking": "data", "reasoning": "encrypted_content",
    "compaction": "encrypted_content", "web_search_result": "encrypted_content",
    "web_search_result_location": "encrypted_index", "image_generation_call": "result",
}  # fmt: skip
"""By the type of a part: where such a thing stands in it without a head."""
_RECORDING: Final = {"data", "format"}
_OF_URLS: Final = str.maketrans("-_", "+/")
_LEAST: Final = 64
"""Characters of base64. What is shorter and holds no text is hardly a picture, and may be a number or a key."""


def without_media(value: Any) -> Any:
    """The value with ``[head]`` in the place of each, ``[head, text]`` of one that is a text."""
    if isinstance(value, dict):
        bare = "data" if value.keys() == _RECORDING else _FIELDS.get(str(value.get("type")))
        return {n: _opened("", v) if n == bare else without_media(v) for n, v in value.items()}
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
        file = _bytes_in(data) or b""
        codec = codec_of(file) or ""
        if file.decode(codec) != text[0]:
            data = base64.b64encode(text[0].encode(codec)).decode()
    return head + data


def _bytes_in(data: str) -> bytes | None:
    """What base64 holds, in either of its alphabets, padded or not; None for what is none, to the last character."""
    try:
        return base64.b64decode(data.translate(_OF_URLS) + "=" * (-len(data) % 4), validate=True) or None
    except (binascii.Error, ValueError):
        return None
