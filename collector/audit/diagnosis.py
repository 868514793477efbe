"""Where a run of entries is wrong, and how: used once it is known that it is.

What counts as good is what hangs on something signed: an entry is as it was when the next good one, or the signed head,
has its hash as the one before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from collector.audit.entry import Entry

Item = Entry | None
"""A line, as an entry; None for one that is none."""


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive entries of one source, which should be ``start``, ``start`` + 1, … behind ``prev``.

    Attributes:
        length: how many there should be; None for an end that is not signed.
        head: the signed hash of the last one; empty when that is not signed.
        later: True for a number that stands further behind in the source.
    """

    items: Sequence[Item]
    start: int
    prev: str
    length: int | None
    head: str
    later: Callable[[int], bool]


def diagnose(run: Run) -> tuple[int, str] | None:
    """The first bad number and what is wrong with it; None when nothing is."""
    prev = run.prev
    for place, item in enumerate(run.items):
        seq = run.start + place
        if item is None or not item.genuine:
            return seq, "edited"
        if item.seq != seq or item.prev != prev:
            vouched = item.seq == seq and _vouched(run, place, item)
            twice = item.seq == seq - 1 and _ahead(run, place, seq)
            before = place > 0 and item.hash != prev and (vouched or twice)
            return (seq - 1 if before else seq), "edited" if item.seq == seq else _misplaced(run, place, item)
        prev = item.hash
    if run.length is not None and len(run.items) < run.length:
        return run.start + len(run.items), "truncated"
    return (run.start, "forked") if run.head and prev != run.head else None


def _misplaced(run: Run, place: int, item: Entry) -> str:
    seq = run.start + place
    if _ahead(run, place, seq):
        return "reordered" if item.seq > seq and not _ahead(run, place, item.seq) else "inserted"
    if item.seq > seq and not any(other and other.seq == item.seq for other in run.items[place + 1 :]):
        return "deleted"
    return "inserted" if run.length is None or place >= run.length else "edited"


def _ahead(run: Run, place: int, seq: int) -> bool:
    """True when an entry of that number stands behind a place."""
    return any(other and other.seq == seq for other in run.items[place + 1 :]) or run.later(seq)


def _vouched(run: Run, place: int, item: Entry) -> bool:
    """True when what follows says that this one is as it was; then the one before it is false."""
    if place + 1 < len(run.items):
        after = run.items[place + 1]
        return after is not None and after.prev == item.hash
    return bool(run.head) and run.head == item.hash


def never(_seq: int) -> bool:
    """A source that is looked at no further."""
    return False


def first_difference(items: Sequence[Item], truth: Sequence[Item]) -> int:
    """The first place at which two runs differ."""
    for place, (item, true) in enumerate(zip(items, truth, strict=False)):
        if item != true:
            return place
    return min(len(items), len(truth))
