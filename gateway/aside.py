"""Looking at long texts, while other calls go on.

Masking and filtering take about a millisecond for each kilobyte: on the loop, one agent's long prompt would stand
before everybody's calls. So texts that are longer than a few kilobytes are looked at on a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_AT_ONCE: Final = 8 << 10
"""Bytes for which going to a thread and back is not worth its while."""


async def aside(size: int, look: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """``look(…)`` at a text of ``size`` bytes; raises what it raises."""
    return look(*args, **kwargs) if size <= _AT_ONCE else await asyncio.to_thread(look, *args, **kwargs)
