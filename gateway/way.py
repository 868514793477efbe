"""Way: who is asked when an attempt has failed. The same upstream while it may do better, then the others in order."""

from __future__ import annotations

from dataclasses import replace

from gateway.admission import Admission
from gateway.call import Call
from gateway.denied import Denied
from gateway.upstream import Failed, Target, pause_before


class Way:
    """Of one call.

    Args:
        targets: where its model can be had, best first.
        admission: says which other models its agent may be served by.
    """

    def __init__(self, call: Call, targets: list[Target], admission: Admission) -> None:
        self._call, self._admission = call, admission
        self.target, *self._others = targets
        """Whose turn it is."""
        self.number = 1
        """Of the attempt."""
        self._left = self.target.retries
        self._failed: Failed | None = None
        self._next: Target | None = None

    async def goes_on(self, failed: Failed) -> bool:
        """True when there is somebody to ask after a failure, and nothing of an answer has reached the agent."""
        if failed is not self._failed:
            self._failed, self._next = failed, await self._after(failed)
        return self._next is not None

    async def on(self, failed: Failed) -> None:
        """Turn to the one that is next, in a moment where it is the same."""
        assert self._next is not None
        if self._next is self.target:
            self._left -= 1
            await pause_before(self.number, failed)
        else:
            self.target, self._left = self._next, self._next.retries
        self.number += 1

    async def _after(self, failed: Failed) -> Target | None:
        if not failed.elsewhere or self._call.reply.status:
            return None
        if failed.again and self._left and self.target.circuit.takes():
            return self.target
        while self._others:
            other = self._others.pop(0)
            if other.circuit.takes() and self._can_be_asked(other) and await self._may(other):
                return other
        return None

    def _can_be_asked(self, target: Target) -> bool:
        """False for one that has no word for what is asked."""
        try:
            self._call.outgoing(target, target.adapter.translation(self._call.dialect))
        except Denied:
            return False
        return True

    async def _may(self, target: Target) -> bool:
        return await self._admission.may(replace(self._call.action, operation=target.alias))
