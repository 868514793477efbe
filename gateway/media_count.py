"""Pictures, recordings and files in a request, which count by themselves: their bytes say little of their tokens."""

from __future__ import annotations

from typing import Any, Final

_TYPES: Final = frozenset({
    "image_url", "input_image", "image", "computer_screenshot", "image_generation_call", "input_file", "file",
    "document", "input_audio", "audio_url", "video_url", "input_video", "video",
})  # fmt: skip
_NAMES: Final = frozenset({"image_url", "input_audio", "audio_url", "video_url", "audio"})
"""Fields by which some servers know a part that does not say its type."""
_SCHEMAS: Final = frozenset({"tools", "functions", "response_format", "text", "output_format", "output_config"})
"""Fields of a request that only describe; what they name is none."""


_NESTED: Final = (dict, list)


def media_in(body: dict[str, Any]) -> int:
    """How many pictures, recordings and files a request holds or points to."""
    return sum([_count(value) for name, value in body.items() if type(value) in _NESTED and name not in _SCHEMAS])


def _count(value: Any) -> int:
    found, inner = 0, value
    if isinstance(value, dict):
        found, inner = int(_is_part(value)), list(value.values())
    for each in inner:
        if type(each) in _NESTED:  # of a text nothing is read again
            found += _count(each)
    return found


def _is_part(value: dict[str, Any]) -> bool:
    kind = value.get("type")
    return (type(kind) is str and kind in _TYPES) or not _NAMES.isdisjoint(value)
