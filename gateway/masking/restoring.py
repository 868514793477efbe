"""Restoring: values go back to where an answer has their placeholders, be it whole or a stream.

A text that is JSON, as a structured answer is, gets them as JSON writes them: a key of several lines would break it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Final

from gateway.masking.placeholders import PLACEHOLDER

_BEGUN: Final = re.compile(r"<(?:[A-Z]{0,20}|[A-Z]{2,20}_[A-Z2-7]{0,8})")
_SIGNS: Final = 2
_JSON: Final = frozenset({'{"', '["', "[{", "[["})
"""How objects and lists begin, but for blanks; ``{{ name }}`` is a template."""


def restored(text: str, values: Mapping[str, str]) -> str:
    """A whole text with its values.

    Args:
        values: by their placeholders.
    """
    return _put_back(text, values, _head_of(text))


class StreamRestorer:
    """One text that comes in pieces; half a placeholder waits for its other half.

    Args:
        values: by their placeholders.
    """

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values, self._rest, self._head = values, "", ""

    def feed(self, piece: str, *, last: bool = False) -> str:
        """What may go out by now."""
        text = self._rest + piece
        at = text.rfind("<")
        cut = at if at >= 0 and not last and _BEGUN.fullmatch(text, at) else len(text)
        self._rest, text = text[cut:], text[:cut]
        if len(self._head) < _SIGNS:
            self._head = _head_of(self._head + text)
        return _put_back(text, self._values, self._head)


def _head_of(text: str) -> str:
    """The first signs of it that are no blanks."""
    return "".join(text.split(maxsplit=_SIGNS))[:_SIGNS]


def _put_back(text: str, values: Mapping[str, str], head: str) -> str:
    def value(found: re.Match[str]) -> str:
        told = values.get(found[0], found[0])
        return json.dumps(told, ensure_ascii=False)[1:-1] if head in _JSON else told

    return PLACEHOLDER.sub(value, text)
