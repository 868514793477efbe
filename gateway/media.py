"""Pictures and files in base64 are no text: they stand aside while a request is masked."""

from __future__ import annotations

from typing import Any, Final

_DATA: Final = ";base64,"


def without_media(value: Any, kept: list[str]) -> Any:
    """The value with a mark in the place of each; what was there is added to ``kept``."""
    if isinstance(value, dict):
        if value.get("type") == "base64" and isinstance(value.get("data"), str):
            return {**value, "data": _aside(value["data"], kept)}
        return {name: without_media(each, kept) for name, each in value.items()}
    if isinstance(value, list):
        return [without_media(each, kept) for each in value]
    if isinstance(value, str) and value.startswith("data:") and _DATA in value[:128]:
        return _aside(value, kept)
    return value


def _aside(text: str, kept: list[str]) -> str:
    kept.append(text)
    return f"\x00{len(kept) - 1}\x00"


def with_media(value: Any, kept: list[str]) -> Any:
    """The value with everything back in its place."""
    if isinstance(value, dict):
        return {name: with_media(each, kept) for name, each in value.items()}
    if isinstance(value, list):
        return [with_media(each, kept) for each in value]
    if isinstance(value, str) and value.startswith("\x00"):
        number = value.strip("\x00")
        return kept[int(number)] if number.isdecimal() and len(number) < 9 and int(number) < len(kept) else value
    return value
