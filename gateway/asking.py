"""Asking others, a policy server say, on threads of their own: who is slow to answer holds up only who asked.

asyncio's own threads are few, and are for work: a long text that is masked must not wait behind the network.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Final, TypeVar

T = TypeVar("T")

_MOST: Final = 64
"""Questions that wait for an answer at once."""


class Asking:
    """The threads for one kind of question, made as they are needed.

    Args:
        whom: their name.
    """

    def __init__(self, whom: str) -> None:
        self._threads = ThreadPoolExecutor(_MOST, f"fusebox-gateway-{whom}")

    async def answer(self, ask: Callable[[], T]) -> T:
        """What ``ask`` returns; raises what it raises. It runs in the caller's context, as on asyncio's own threads."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, copy_context().run, ask)
