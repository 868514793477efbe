"""Memory: which outcomes an agent has had lately, in a few hundred bytes.

An *outcome* is a request with its result. Each is remembered in two forms: the coarse one ignores all numbers and ids,
the exact one takes the request literally and ignores of the result only what names or dates a thing. Comparing both
says what kind of step an event is: the numbers below, the higher the less it brings.
"""

from __future__ import annotations

from typing import Final

from fusebox.records import Event

_SIZE: Final = 8


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
    """The last ``length`` different outcomes, each as 8 bytes of a buffer that is searched as bytes.

    Two hashes are put together by exclusive or: they are hashes of different things, never each other's mirror. That
    one is found where two others meet is as likely as that two hashes are equal.
    """

    __slots__ = ("_coarse", "_exact", "_half", "_next", "_requests")

    def __init__(self, length: int) -> None:
        self._coarse, self._half, self._exact, self._requests = (bytearray(_SIZE * length) for _ in range(4))
        self._next = 0

    def forget(self) -> None:
        """Know nothing."""
        for buffer in (self._coarse, self._half, self._exact, self._requests):
            buffer[:] = bytes(len(buffer))
        self._next = 0

    def recall(self, event: Event) -> int:
        """Say what kind of step ``event`` is, and remember it. Without exact hashes the coarse ones decide."""
        request, answer = event.request, event.result
        literal, result = event.request_exact or request, event.result_exact or answer
        coarse, exact = (request ^ answer).to_bytes(_SIZE, "little"), (literal ^ result).to_bytes(_SIZE, "little")
        old = coarse in self._coarse
        if old and exact in self._exact:
            return SAME
        half, asked = (request ^ result).to_bytes(_SIZE, "little"), literal.to_bytes(_SIZE, "little")
        known = asked in self._requests
        step = CHANGED if known else NEW
        if old:
            step = MOVED if known else VARIED if half in self._half else KIN
        here, end = self._next, self._next + _SIZE
        self._coarse[here:end] = coarse
        self._half[here:end] = half
        self._exact[here:end] = exact
        self._requests[here:end] = asked
        self._next = end % len(self._coarse)
        return step
