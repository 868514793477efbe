"""Gathering: what is written to a connection in several pieces leaves in one.

The server writes the head of an answer and its body apart: two system calls, and a client that is woken twice.
"""

from __future__ import annotations

import asyncio
from typing import Any


class Gathering:
    """A transport that keeps what is written inside its ``with`` block until the block ends."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._kept: list[bytes] | None = None

    def __enter__(self) -> None:
        self._kept = []

    def __exit__(self, *_: object) -> None:
        self._let_go()

    def write(self, data: bytes) -> None:
        """Write now, or with the rest."""
        if self._kept is None:
            self._transport.write(data)
        else:
            self._kept.append(data)

    def close(self) -> None:
        """Close behind what was written."""
        self._let_go()
        self._transport.close()

    def _let_go(self) -> None:
        kept, self._kept = self._kept, None
        if kept:
            self._transport.write(b"".join(kept))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
