"""Memory: which outcomes an agent has had lately, in about two kilobytes.

An *outcome* is a request with its result. Each is remembered in two forms: the coarse one ignores all numbers and ids,
the exact one takes the request literally and ignores of the result only what names or dates a thing. Comparing both
says what kind of step an event is: the numbers below, the higher the less it brings.
"""

from __future__ import annotations

from array import array
from typing import Final

from fusebox.records import Event

NEW: Final = 0
"""A request that had not been made, with a result of its own."""
CHANGED: Final = 1
"""A request made before, with another result."""
KIN: Final = 2
"""Another request that differs in numbers or ids only, and so does its result: another row of the same form."""
MOVED: Final = 3
"""The same request, and only the small numbers of the answer have changed: something moves."""
VARIED: Final = 4
"""The same but for numbers or ids in the request, with the same result: a counter, an attempt, an idempotency key."""
SAME: Final = 5
"""The same request with the same result."""

_EACH: Final = array("Q").itemsize
"""Bytes of a hash."""


class Memory:
    """The last ``length`` different outcomes, in four lanes: one for each of what is compared.

    Two hashes are put together by exclusive or: they are hashes of different things, never each other's mirror. That
    one is found where two others meet is as likely as that two hashes are equal. The two lanes that every event asks
    are lists, which are searched fastest; the other two are arrays, which are smaller.
    """

    __slots__ = ("_coarse", "_exact", "_half", "_length", "_literal", "_next")

    def __init__(self, length: int) -> None:
        self._coarse, self._literal = [0] * length, [0] * length
        nothing = bytes(_EACH * length)
        self._exact, self._half = array("Q", nothing), array("Q", nothing)
        self._length = length
        self._next = 0

    def recall(self, event: Event) -> int:
        """Say what kind of step ``event`` is, and remember it. Without exact hashes the coarse ones decide."""
        request, answer = event.request, event.result
        literal, result = event.request_exact or request, event.result_exact or answer
        coarse, exact, half = request ^ answer, literal ^ result, request ^ result
        old = coarse in self._coarse
        if old and exact in self._exact:
            return SAME
        step = CHANGED if literal in self._literal else NEW
        if old:
            step = MOVED if step == CHANGED else VARIED if half in self._half else KIN
        here = self._next
        self._coarse[here] = coarse
        self._literal[here] = literal
        self._exact[here] = exact
        self._half[here] = half
        self._next = here + 1 if here + 1 < self._length else 0
        return step
