"""The meter of a stream: says when its reservation is used up."""

from __future__ import annotations

from typing import Final

_BYTES_PER_TOKEN: Final = 4


class Meter:
    """Fed with each chunk of a stream; says stop at the chunk that reaches the reservation.

    What was relayed before the stop is at most the reservation, plus the one chunk in flight.

    Args:
        output_tokens: tokens reserved for the answer.
    """

    def __init__(self, output_tokens: int) -> None:
        self._reserved = output_tokens
        self.used = 0
        """Output tokens so far."""
        self.estimated = False
        """True when the provider did not say what some chunk used: a token for every four UTF-8 bytes was assumed."""

    def feed(self, *, tokens: int | None = None, total: int | None = None, size: int = 0) -> bool:
        """Count one chunk; False says: relay it, and no more.

        Args:
            tokens: output tokens of this chunk, if the provider says so.
            total: output tokens of the stream so far, if the provider says that instead.
            size: UTF-8 bytes of the chunk's text (arguments of tool calls included), for when it says neither.
        """
        if total is not None:
            self.used = max(self.used, total)
        elif tokens is not None:
            self.used += max(0, tokens)
        elif size:
            self.used += -(-size // _BYTES_PER_TOKEN)
            self.estimated = True
        return self.used < self._reserved
