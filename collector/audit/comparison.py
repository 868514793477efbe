"""Holds the copy's rows against the journal, run by run; and asks them where the journal is wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from collector.audit.diagnosis import Item, Run, diagnose, first_difference, never
from collector.audit.entry import Entry
from collector.audit.report import COPY, JOURNAL
from collector.audit.rows import Rows

Tell = Callable[[int, str, str, str], None]
"""``tell(seq, kind, where, detail)``: reports a problem."""


class Comparison:
    """The copy of one chain. After its first problem no more of it is believed.

    Attributes:
        copied: entries up to this number have their row.
        erased: rows without their payload.
        half_erased: numbers of entries whose payload one of the two sources still has.
        unpruned: rows of entries that retention has deleted from the journal.
    """

    def __init__(self, rows: Rows, tell: Tell) -> None:
        self._rows, self._tell = rows, tell
        self._bad = False
        self.copied = 0
        self.erased: dict[int, Entry] = {}
        self.half_erased: set[int] = set()
        self.unpruned = 0

    def skip(self, below: int) -> None:
        """Leave out the rows before this number: the journal has no such entries any more."""
        self.unpruned = len(self._rows.take(below))

    def compare(self, entries: Sequence[Entry], start: int) -> None:
        """Hold the rows of a good run, which begins with the number ``start``, against it."""
        if self._bad:
            return
        end = start + len(entries)
        rows = self._rows.take(end)
        late = len(rows) == len(entries) or (self._rows.over and start + len(rows) >= min(self._rows.given, end))
        same = (rows, entries) if rows == entries[: len(rows)] else self._without_erased(rows, entries)
        place = first_difference(*same)
        if place == len(rows) and late:
            self.copied = start + place
            return
        self._bad = True
        twice = rows[place].seq if place < len(rows) else start + place
        self._tell(min(start + place, twice), _kind(*same), COPY, "")

    def finish(self, size: int) -> None:
        """The journal has ended, with ``size`` entries; the copy must have ended too."""
        beyond = [row for row in self._rows.take(None) if row.seq >= size]
        if self._rows.given > size:
            self._tell(size, "rolled back", JOURNAL, f"{self._rows.given} entries were copied")
        elif beyond:
            self._tell(size, "inserted", COPY, f"the copy has entry {beyond[0].seq}")

    def blame(self, run: Run, seq: int, kind: str) -> None:
        """The journal is wrong in this run, it seems from ``seq`` on; a copy that is as it was signed knows better."""
        rows = self._rows.take(run.start + run.length if run.length is not None else None)
        copy = Run(rows, run.start, run.prev, run.length, run.head, never)
        wrong, place = diagnose(copy), first_difference(run.items, rows)
        if wrong is None and place < len(rows):
            seq = run.start + place
        elif rows != list(run.items):
            self._tell(*(wrong or (seq, kind)), COPY, "")
        self._tell(seq, kind, JOURNAL, "")

    def _without_erased(self, rows: Sequence[Entry], entries: Sequence[Entry]) -> tuple[list[Entry], list[Entry]]:
        """Both, without the payloads that either of them has lost."""
        gone_here = {row.seq: row for row in rows if not row.payload}
        gone_there = {entry.seq for entry in entries[: len(rows)] if not entry.payload}
        self.half_erased |= gone_here.keys() ^ gone_there
        self.erased |= gone_here
        either = gone_here.keys() | gone_there
        left, right = (
            [each._replace(payload=b"") if each.seq in either else each for each in side] for side in (rows, entries)
        )
        return left, right


def _kind(rows: Sequence[Item], entries: Sequence[Item]) -> str:
    if len(rows) != len(entries):
        return "inserted" if len(rows) > len(entries) else "deleted"
    here, there = (sorted(each[1:] for each in side if each) for side in (rows, entries))
    return "reordered" if here == there else "edited"
