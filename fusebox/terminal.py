"""Where commands print their tables."""

from __future__ import annotations

from typing import Final

from rich.console import Console

_WIDE: Final = 4_000


def console(*, stderr: bool = False) -> Console:
    """A terminal as wide as it is; a file or a pipe as wide as the lines need, so that nothing is cut there."""
    found = Console(stderr=stderr, highlight=False)
    if not found.is_terminal:
        found.width = _WIDE
    return found


def plain(text: str) -> str:
    """Text of other people for one cell: what a terminal would obey is shown as a dot."""
    return "".join(char if char.isprintable() else "·" for char in text)
