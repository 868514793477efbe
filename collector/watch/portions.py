"""Portions: a RESUME that lifts more kills than one Command can name goes out as several, one behind the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from fusebox.command import Command, canonical

MAX_BYTES: Final = 40_000
"""Of what one Command lifts: signed, with the longest reason beside it, it stays below 64 KiB."""


def portions(command: Command) -> list[Command]:
    """The Commands that do together what this one orders; the last keeps its id, for with that all is done."""
    *earlier, last = _cut(command.lifts)
    first = [replace(command, id=f"{command.id}-{n}", lifts=lifts) for n, lifts in enumerate(earlier, 1)]
    return [*first, replace(command, lifts=last)]


def _cut(lifts: Sequence[str]) -> Iterator[tuple[str, ...]]:
    begun = size = 0
    for place, lift in enumerate(lifts):
        more = len(canonical(lift)) + 1
        if size + more > MAX_BYTES:
            yield tuple(lifts[begun:place])
            begun, size = place, 0
        size += more
    yield tuple(lifts[begun:])
