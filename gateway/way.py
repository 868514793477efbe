"""Way: who is asked when an attempt has failed. The same upstream while it may do better, then the others in order."""

from __future__ import annotations

from functools import cached_property

from gateway.call import Call
from gateway.denied import Denied
from gateway.upstream import Failed, Target, pause_before


class Way:
    """Of one call.

    Args:
        targets: where its model can be had, best first.
    """

    def __init__(self, call: Call, targets: list[Target]) -> None:
        self._call, self._targets = call, targets
        self.target, self.number = targets[0], 1
        """Whose turn it is, and the number of the attempt."""
        self._left = self.target.retries

    def goes_on(self, failed: Failed) -> bool:
        """True when there is somebody to ask after a failure, and nothing of an answer has reached the agent."""
        return failed.elsewhere and not self._call.reply.status and (self._again(failed) or bool(self._others))

    async def on(self, failed: Failed) -> None:
        """Turn to the one that is next, in a moment where it is the same."""
        if self._again(failed):
            self._left -= 1
            await pause_before(self.number, failed)
        else:
            self.target = self._others.pop(0)
            self._left = self.target.retries
        self.number += 1

    def _again(self, failed: Failed) -> bool:
        return failed.again and self._left > 0 and self.target.circuit.takes()

    @cached_property
    def _others(self) -> list[Target]:
        """Fallbacks; not those that have no word for what is asked, nor those that are left alone for a while."""
        return [target for target in self._targets[1:] if target.circuit.takes() and self._can_be_asked(target)]

    def _can_be_asked(self, target: Target) -> bool:
        try:
            self._call.outgoing(target, target.adapter.translation(self._call.dialect))
        except Denied:
            return False
        return True
