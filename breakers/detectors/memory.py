"""Memory: which outcomes an agent has had lately, in a few hundred bytes.

An *outcome* is a request with its result. Each is remembered in two forms: the coarse one ignores all numbers and ids,
the exact one takes the request literally and ignores of the result only what names or dates a thing. Comparing both
says what kind of step an event is: the numbers below, the higher the less it brings.
"""

from __future__ import annotations

from struct import Struct
from typing import Final

from fusebox.records import Event

_SIZE: Final = 8
_PACK: Final = Struct("<Q").pack
_PUT: Final = Struct("<Q").pack_into

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


class Memory:
    """The last ``length`` different outcomes, each as four hashes of 8 bytes in a buffer that is searched as bytes.

    The buffer has four lanes, one for each of what is compared. Two hashes are put together by exclusive or: they are
    hashes of different things, never each other's mirror. That one is found where two others meet is as likely as that
    two hashes are equal.
    """

    __slots__ = ("_lanes", "_next")

    def __init__(self, length: int) -> None:
        self._lanes = bytearray(4 * _SIZE * length)
        self._next = 0

    def recall(self, event: Event) -> int:
        """Say what kind of step ``event`` is, and remember it. Without exact hashes the coarse ones decide."""
        request, answer = event.request, event.result
        literal, result = event.request_exact or request, event.result_exact or answer
        coarse, exact = request ^ answer, literal ^ result
        lanes = self._lanes
        first = len(lanes) // 4
        second, third = 2 * first, 3 * first
        find = lanes.find  # the hottest lines of a detector: ``in`` costs twice as much
        old = find(_PACK(coarse), 0, first) >= 0
        if old and find(_PACK(exact), first, second) >= 0:
            return SAME
        half = request ^ result
        known = find(_PACK(literal), third) >= 0
        step = CHANGED if known else NEW
        if old:
            step = MOVED if known else VARIED if find(_PACK(half), second, third) >= 0 else KIN
        here = self._next
        _PUT(lanes, here, coarse)
        _PUT(lanes, first + here, exact)
        _PUT(lanes, second + here, half)
        _PUT(lanes, third + here, literal)
        self._next = (here + _SIZE) % first
        return step
