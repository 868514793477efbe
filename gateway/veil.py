"""Veil: strikes the gateway's credential out of what a system answers; some show the request that they were asked with.

It comes piece by piece, and a piece may end amid the credential: such an end is held back until what follows decides.
What is struck out keeps its length, since that may have been announced.
"""

from __future__ import annotations

import logging
from typing import Final

from fusebox import happenings

_SHORTEST: Final = 8
"""Bytes; a shorter one is a word that answers may well say."""

ECHOED: Final = happenings.declare(
    "gateway_credential_echoed", logging.ERROR,
    "a system answered with the gateway's own credential, which was struck out: see what it shows of a request",
)  # fmt: skip


class Veil:
    """Over one answer.

    Args:
        system: its name.
        secret: the credential; none or a short one is not looked for.
    """

    def __init__(self, system: str, secret: str) -> None:
        self._system = system
        self._secret = secret.encode() if len(secret) >= _SHORTEST else b""
        self._held = b""

    def over(self, text: str) -> str:
        """A text, as agents may see it."""
        if not self._secret:
            return text
        return self._struck(text.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")

    def piece(self, piece: bytes) -> bytes:
        """What can be said after the next piece."""
        if not self._secret:
            return piece
        told = self._struck(self._held + piece)
        end = self._begins(told)
        self._held = told[end:]
        return told[:end]

    def rest(self) -> bytes:
        """What was held back: nothing follows."""
        held, self._held = self._held, b""
        return held

    def _struck(self, told: bytes) -> bytes:
        if self._secret not in told:
            return told
        happenings.emit(ECHOED, system=self._system)
        return told.replace(self._secret, b"*" * len(self._secret))

    def _begins(self, told: bytes) -> int:
        """Where the credential may begin that the next piece goes on with; the end of ``told`` for nowhere."""
        at = max(0, len(told) - len(self._secret) + 1)
        while (at := told.find(self._secret[:1], at)) >= 0:
            if self._secret.startswith(told[at:]):
                return at
            at += 1
        return len(told)
