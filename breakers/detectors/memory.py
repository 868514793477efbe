"""Memory: which outcomes an agent has had lately, in a few hundred bytes.

An *outcome* is a request with its result. Each is remembered in two forms: the coarse one ignores all numbers and ids,
the exact one takes the request literally and ignores of the result only what names or dates a thing. Comparing both
says what kind of step an event is.
"""

from __future__ import annotations

from array import array
from enum import IntEnum
from typing import Final

from fusebox.records import Event

_MASK: Final = (1 << 64) - 1


class Step(IntEnum):
    """How an event relates to what is remembered."""

    NEW = 0
    """A request that had not been made, with a result of its own."""
    CHANGED = 1
    """A request made before, with another result."""
    MOVED = 2
    """The same request, and only the small numbers of the answer have changed: something moves."""
    VARIED = 3
    """The same but for numbers or ids, and the request varies too: a counter, an attempt, an idempotency key."""
    SAME = 4
    """The same request with the same result."""


class Memory:
    """The last ``length`` different outcomes."""

    __slots__ = ("_coarse", "_exact", "_next", "_requests")

    def __init__(self, length: int) -> None:
        self._coarse, self._exact, self._requests = (array("Q", bytes(8 * length)) for _ in range(3))
        self._next = 0

    def recall(self, event: Event) -> Step:
        """Say what kind of step ``event`` is, and remember it. Without exact hashes the coarse ones decide."""
        request = event.request_exact or event.request
        coarse, exact = mix(event.request, event.result), mix(request, event.result_exact or event.result)
        if exact in self._exact and coarse in self._coarse:
            return Step.SAME
        known = request in self._requests
        moved, changed = (Step.MOVED, Step.CHANGED) if known else (Step.VARIED, Step.NEW)
        step = moved if coarse in self._coarse else changed
        here = self._next
        self._coarse[here], self._exact[here], self._requests[here] = coarse, exact, request
        self._next = (here + 1) % len(self._coarse)
        return step


def mix(one: int, other: int) -> int:
    """Two 64-bit hashes as one, their order kept (a step of a multiplicative hash)."""
    return (one * 0x9E3779B97F4A7C15 + other) & _MASK
