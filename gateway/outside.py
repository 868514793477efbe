"""Outside: what of a conversation its agent has not written itself, which is read for signs of an injection."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from gateway.filter.statements import texts
from gateway.media import without_media

Json = dict[str, Any]
_OUTSIDE: Final = frozenset({"tool", "function", "document"})
"""Roles and types, beside all results and outputs."""


def from_outside(body: Json) -> Iterator[str]:
    """What tools and documents have put into a conversation."""
    for message in (*_list(body.get("messages")), *_list(body.get("input"))):
        if isinstance(message, dict):
            parts = [part for part in _list(message.get("content")) if isinstance(part, dict)]
            yield from (text_of(each) for each in ([message] if _is_outside(message) else filter(_is_outside, parts)))


def _is_outside(part: Json) -> bool:
    kind = str(part.get("type"))
    return part.get("role") in _OUTSIDE or kind in _OUTSIDE or kind.endswith(("_result", "_output"))


def text_of(value: Any) -> str:
    """All that a value says."""
    shown = without_media(value)
    return shown if isinstance(shown, str) else "\n".join(text for _, text in texts(shown))


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
