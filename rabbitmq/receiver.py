"""Receiver: what a carrier hands its catch to, and the happenings that carriers share."""

from __future__ import annotations

import logging
from typing import Any, Final, Protocol

from fusebox import happenings

Json = dict[str, Any]

CARRIER_FAILED: Final = happenings.declare(
    "carrier_failed", logging.INFO, "a Command carrier lost its connection and tries again"
)
CARRIER_REFUSED: Final = happenings.declare(
    "carrier_refused", logging.ERROR, "watch refused this process (token, agent ids or protocol)"
)


class Carrier(Protocol):
    """A way by which Commands reach this process."""

    def start(self) -> None:
        """Listen on a thread of its own, again and again while nobody answers."""

    def stop(self, timeout: float = 1.0) -> None:
        """End; legal before start and twice."""

    def hurry(self) -> None:
        """Ask for a snapshot now, where this carrier can: an agent has just joined."""


class Receiver:
    """What a carrier hands its catch to (the runtime's link)."""

    def command(self, signed: bytes, *, past: bool = False) -> None:
        """A Command arrived; ``past``: it was there before this process was, and is on the board."""
        raise NotImplementedError

    def heard(self) -> None:
        """Watch answered: it would have told of a Command."""
        raise NotImplementedError

    def snapshot(self, signed: bytes, nonce: str) -> int:
        """A snapshot arrived; returns the cursor to poll from.

        Raises:
            BadCommand: signature or nonce is wrong.
        """
        raise NotImplementedError

    def introduction(self) -> Json:
        """``process``, ``host``, ``pid``, ``agents`` and untold kills, for a poll."""
        raise NotImplementedError

    def unverified(self) -> bool:
        """True while an agent of this process has not been named in a snapshot."""
        raise NotImplementedError
