"""A fault: it strikes, is healed, and shows by a counter that it really happened.

``evidence`` is read before and after; a strike after which it has not grown did not happen, whatever was called.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final

from tests.faults.lab import Lab

LOST: Final = "broker_connection_lost"


class Fault(ABC):
    """One kind of violence."""

    name: str

    def strike(self, lab: Lab) -> None:
        """Do it, and return once it shows."""
        before = self.evidence(lab)
        self.hit(lab)
        lab.until(lambda: self.evidence(lab) > before, f"{self.name} shows")

    @abstractmethod
    def hit(self, lab: Lab) -> None:
        """Do it."""

    def heal(self, lab: Lab) -> None:  # noqa: B027  (a hook: most faults pass by themselves)
        """Undo it."""

    @abstractmethod
    def evidence(self, lab: Lab) -> int:
        """Grows each time it happens."""
