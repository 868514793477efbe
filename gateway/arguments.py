"""Arguments of a tool call that come in pieces: when are they whole?"""

from __future__ import annotations

import re
from typing import Final

import orjson

_SIGN: Final = re.compile(r'\\.?|["{}\[\]]', re.DOTALL)
_ESCAPE: Final = "\\"


class Arguments:
    """Of one call. Each piece is read once, however many there are.

    Args:
        tool: which it calls.
    """

    def __init__(self, tool: str) -> None:
        self.tool = tool
        self._pieces: list[str] = []
        self._depth = 0
        self._quoted = False
        self._escape = ""

    @property
    def text(self) -> str:
        """All that has come."""
        return "".join(self._pieces)

    def feed(self, piece: str) -> bool:
        """Take the next piece; True when all of them are a JSON object, which nothing can make go on."""
        self._pieces.append(piece)
        signs = _SIGN.findall(self._escape + piece)
        self._escape = _ESCAPE if signs and signs[-1] == _ESCAPE else ""
        for sign in signs:
            if sign == '"':
                self._quoted = not self._quoted
            elif not self._quoted and sign[0] != _ESCAPE:
                self._depth += 1 if sign in "{[" else -1
        return bool(signs) and self._depth == 0 and not self._quoted and _is_object(self.text)


def _is_object(text: str) -> bool:
    try:
        return isinstance(orjson.loads(text), dict)
    except orjson.JSONDecodeError:
        return False
