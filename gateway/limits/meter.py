"""The meter of a stream: sees to it that nothing goes by that was not set aside, and says when the stream must end.

A provider that says what it has used is believed. Of another one only the text is seen: a token for every four bytes is
set aside, more of it as the text grows, because a long word, or a script that takes three bytes a letter, is no reason
to cut an answer that its provider keeps short enough. What no text can be is: so many bytes for so few tokens.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

_BYTES_PER_TOKEN: Final = 4
_MOST_BYTES: Final = 32
"""An answer has fewer bytes for each of its tokens, whatever it is written in."""
_STEP: Final = 64
"""Tokens that are set aside at least when more is needed."""

More = Callable[[int], Awaitable[bool]]
"""Sets so many output tokens more aside; False when there are not as many."""


class Meter:
    """Told of each chunk of a stream; says stop at the chunk behind which nothing is set aside.

    Args:
        most: output tokens that the provider was held to, and that are set aside.
        more: for what its text may be beyond.
    """

    def __init__(self, most: int, more: More) -> None:
        self._most, self._room, self._more = most, most, more

    async def reach(self, told: int, size: int) -> bool:
        """The stream is so long by now; False says: relay it, and no more.

        Args:
            told: output tokens, as the provider said.
            size: bytes of text (arguments of tool calls included) that went by since it did.
        """
        if told + size // _MOST_BYTES > self._most:
            return False
        used = told + -(-size // _BYTES_PER_TOKEN)
        if used > self._room:
            step = max(used - self._room, self._most // 4, _STEP)
            if not await self._more(step):
                return False
            self._room += step
        return True
