"""Confirms: what a hand-over gives, for threads that wait and for coroutines that must not.

::

    handed over ──► known: confirmed, or an error that says why not
         └─ deadline, or nobody cares any more ──► withdrawn when it was not sent yet; else it may still arrive
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Protocol

from fusebox.errors import FuseboxError


class Confirm(Protocol):
    """The broker's ruling on one message."""

    def __call__(self) -> None:
        """Wait for it, at most until the message's deadline; raises as :meth:`rabbitmq.broker.Broker.publish` does."""

    def notify(self, callback: Callable[[], None]) -> None:
        """Have ``callback`` called once the ruling is known, at once when it is; from any thread, perhaps twice."""

    def abandon(self) -> None:
        """Nobody waits any more: a message that was not sent yet is not sent."""


class Known:
    """A ruling that is known from the start."""

    def __init__(self, error: FuseboxError | None = None) -> None:
        self._error = error

    def __call__(self) -> None:
        if self._error is not None:
            raise self._error

    def notify(self, callback: Callable[[], None]) -> None:
        callback()

    def abandon(self) -> None:
        """It is too late for that."""


def soon(hand_over: Callable[[], Confirm]) -> Confirm:
    """The confirm of a hand-over; one that fails at once gives a confirm that says so."""
    try:
        return hand_over()
    except FuseboxError as error:
        return Known(error)


async def confirmed(confirm: Confirm, timeout: float) -> None:
    """Wait for a confirm without holding the event loop; raises what the confirm raises.

    A coroutine that is cancelled meanwhile abandons the message.
    """
    loop, known = asyncio.get_running_loop(), asyncio.Event()

    def wake() -> None:
        with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits
            loop.call_soon_threadsafe(known.set)

    confirm.notify(wake)
    try:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(known.wait(), timeout)
    except BaseException:
        confirm.abandon()
        raise
    confirm()
