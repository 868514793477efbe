"""Turning stored values into something to read. Nothing here yields markup.

Agents choose their own names, operations and error texts, so every stored string is hostile until proven otherwise.
It is shown by elements that take plain text only (``st.text``, ``st.code``, ``st.dataframe``), never as a label, and
:func:`visible` takes away the characters by which text could hide or turn around what stands beside it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from hashlib import blake2s
from typing import Final

from fusebox.spelled import spelled

LIMIT: Final = 300
_MINUTE: Final = 60
_HOUR: Final = 3_600
_DAY: Final = 86_400
_THOUSAND: Final = 1_000
_BARS: Final = "▁▂▃▄▅▆▇█"


def visible(value: object, limit: int = LIMIT) -> str:
    """``value`` as one line of text in which each invisible character is written out, cut at ``limit`` characters."""
    text = spelled(str(value)[: limit + 1])
    return text if len(text) <= limit else f"{text[:limit]}…"


def tag(value: str) -> str:
    """A short stable name for ``value``, safe as a widget key and as a CSS class."""
    return blake2s(value.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def spark(numbers: Sequence[float]) -> str:
    """A course as bars, the highest number the tallest."""
    most = max(numbers, default=0)
    return "".join(_BARS[round(number / most * (len(_BARS) - 1)) if most else 0] for number in numbers)


def ago(seconds: float) -> str:
    """How long ago, in words: ``just now``, ``42 s ago``, ``5 min ago``, ``3 h ago``, ``2 d ago``."""
    return "just now" if seconds < 2 else f"{lasted(seconds)} ago"


def lasted(seconds: float) -> str:
    """A duration in the largest unit that fits."""
    for unit, size in (("d", _DAY), ("h", _HOUR), ("min", _MINUTE)):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{max(0, int(seconds))} s"


def count(number: float) -> str:
    """A number in at most four characters or so: ``0``, ``7.5``, ``950``, ``12.3k``, ``1.2M``."""
    for suffix, size in (("M", _THOUSAND**2), ("k", _THOUSAND)):
        if number >= size:
            return f"{number / size:.1f}{suffix}"
    return f"{number:.0f}" if number == int(number) or number >= 100 else f"{number:.1f}"


def many(number: int, one: str, more: str = "") -> str:
    """A number of things: ``1 message``, ``2 messages``."""
    return f"{number} {one if number == 1 else more or f'{one}s'}"


def money(dollars: float) -> str:
    """US dollars, with as many digits as a small amount needs."""
    if 0 < dollars < 0.001:
        return "<$0.001"
    return f"${dollars:,.2f}" if dollars >= 1 or dollars == 0 else f"${dollars:.3f}"


def seconds(number: float) -> str:
    """A short time: ``12 ms``, ``1.4 s``, ``95 s``."""
    if not math.isfinite(number):
        return ""
    if number < 1:
        return f"{number * 1000:.0f} ms"
    return f"{number:.1f} s" if number < 10 else f"{number:.0f} s"


def moment(seconds: float) -> str:
    """A Unix time as date and time in UTC."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds))


def hour(seconds: float) -> str:
    """A Unix time as time of day in UTC."""
    return time.strftime("%H:%M:%S UTC", time.gmtime(seconds))
