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
        rows = self._rows.take(start + len(entries))
        seq, kind = self._difference(rows, entries, start)
        if seq is None:
            self.copied = start + len(rows)
        else:
            self._bad = True
            self._tell(seq, kind, COPY, "")

    def finish(self, size: int) -> None:
        """The journal has ended, with ``size`` entries; the copy must have ended too."""
        beyond = [row for row in self._rows.take(None) if row.seq >= size]
        if self._rows.given > size:
            self._tell(size, "rolled back", JOURNAL, f"{self._rows.given} entries were copied")
        elif beyond:
            self._tell(size, "inserted", COPY, f"the copy has entry {beyond[0].seq}")

    def blame(self, run: Run, seq: int, kind: str) -> None:
        """The journal is wrong in this run; a copy that is as it was signed knows from where on."""
        rows = self._rows.take(run.start + run.length if run.length is not None else None)
        differs, _ = self._difference(rows, run.items, run.start)
        if differs is not None:
            wrong = diagnose(Run(rows[: run.length], run.start, run.prev, run.length, run.head, never))
            if wrong:
                self._tell(*wrong, COPY, "")
            seq = min(seq, wrong[0], differs) if wrong else differs
        self._tell(seq, kind, JOURNAL, "")

    def _difference(self, rows: Sequence[Entry], items: Sequence[Item], start: int) -> tuple[int | None, str]:
        """The first number at which they differ, and how; None when only rows are missing that may be late."""
        same = (rows, items) if rows == items[: len(rows)] else self._without_erased(rows, items)
        place = first_difference(*same)
        late = self._rows.over and start + len(rows) >= min(self._rows.given, start + len(items))
        if place == len(rows) and (len(rows) == len(items) or late):
            return None, ""
        twice = rows[place].seq if place < len(rows) else start + place
        return min(start + place, twice), _kind(*same)

    def _without_erased(self, rows: Sequence[Entry], items: Sequence[Item]) -> tuple[list[Item], list[Item]]:
        """Both, without the payloads that either of them has lost."""
        gone_here = {row.seq: row for row in rows if not row.payload}
        gone_there = {item.seq for item in items[: len(rows)] if item and not item.payload}
        self.half_erased |= gone_here.keys() ^ gone_there
        self.erased |= gone_here
        either = gone_here.keys() | gone_there
        left, right = (
            [each._replace(payload=b"") if each and each.seq in either else each for each in side]
            for side in (rows, items)
        )
        return left, right


def _kind(rows: Sequence[Item], entries: Sequence[Item]) -> str:
    if len(rows) != len(entries):
        return "inserted" if len(rows) > len(entries) else "deleted"
    here, there = (sorted(each[1:] for each in side if each) for side in (rows, entries))
    return "reordered" if here == there else "edited"
