"""The copy in ClickHouse, as a verification reads it: raw columns, page by page, in the order of their numbers."""

from __future__ import annotations

from collections.abc import Iterable

from collector.audit.entry import Entry


class Rows:
    """The rows of one writer.

    Args:
        rows: in the order of ``seq``.
        given: how many entries the table was given, as ``copied.json`` says; what is missing of those was deleted.
    """

    def __init__(self, rows: Iterable[Entry], given: int) -> None:
        self._rows = iter(rows)
        self._next: Entry | None = next(self._rows, None)
        self.given = given

    @property
    def over(self) -> bool:
        """True when there is no further row."""
        return self._next is None

    def take(self, below: int | None) -> list[Entry]:
        """The next rows, up to those with this number (all that are left for None)."""
        found: list[Entry] = []
        while self._next is not None and (below is None or self._next.seq < below):
            found.append(self._next)
            self._next = next(self._rows, None)
        return found
