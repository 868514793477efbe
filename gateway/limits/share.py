"""What this process itself has used, and its own share of the limits for when the store is away.

Of at most :data:`MAX_ROWS` rows: runs of workflows are told apart for a month after their last call, so a busy gateway
would remember millions. The row that was silent longest goes first; the store still has it.
"""

from __future__ import annotations

from threading import Lock
from typing import Final

from fusebox import happenings
from gateway.limits import told
from gateway.limits.rows import Place, State
from gateway.limits.steps import OK, SHORT, Op

MAX_ROWS: Final = 100_000
"""Some 100 MB."""


class Share:
    """The same rows as in the store, for the calls of one tenant that this process made. Thread-safe.

    Args:
        workers: how many processes share the limits.
        max_rows: rows remembered at once.
    """

    def __init__(self, workers: int, max_rows: int = MAX_ROWS) -> None:
        self._workers, self._max_rows = workers, max_rows
        self._rows: dict[str, State] = {}
        self._open: dict[str, list[tuple[str, int, int]]] = {}
        self._lock = Lock()

    def count(self, op: Op, more: int) -> None:
        """Count a reservation that the store has granted, for so many calls more."""
        with self._lock:
            self._count(op, [self._rolled(ask) for ask in op["rows"]], more + 1)

    def reserve(self, op: Op) -> list[str]:
        """The step against the share: each limit divided by the workers."""
        with self._lock:
            rows = [self._rolled(ask) for ask in op["rows"]]
            asked = zip(op["rows"], rows, strict=True)
            fits = all(not ask["n"] or row.total + ask["n"] <= ask["limit"] // self._workers for ask, row in asked)
            if fits:
                self._count(op, rows, 1)
            return [OK if fits else SHORT, "0", *(row.text() for row in rows)]

    def lessen(self, id_: str, back: dict[str, int]) -> None:
        """A reservation needs so much less."""
        with self._lock:
            mine = self._open.get(id_, [])
            for place, (name, slot, units) in enumerate(mine):
                less = back.get(name, 0)
                if row := self._rows.get(name):
                    row.held -= less
                    row.correct(slot, -less)
                mine[place] = name, slot, units - less

    def settle(self, id_: str, spent: dict[str, int]) -> None:
        """Count what a call has spent."""
        with self._lock:
            for name, slot, units in self._open.pop(id_, ()):
                if row := self._rows.get(name):
                    row.held -= units
                    row.correct(slot, spent[name] - units)

    def used(self, now: float) -> dict[str, State]:
        """The rows that still count; those that do not are forgotten."""
        with self._lock:
            # one that an open call holds nothing of is its row all the same
            open_ = {name for mine in self._open.values() for name, _, _ in mine}
            for name in [name for name, row in self._rows.items() if row.until <= now and name not in open_]:
                del self._rows[name]
            return {name: row for name, row in self._rows.items() if row.total}

    def _rolled(self, ask: Op) -> State:
        row = self._rows[ask["row"]] = self._rows.pop(ask["row"], State())  # the last that spoke is the last
        row.roll(Place(ask["keep"], ask["slot"], ask["until"]))
        if len(self._rows) > self._max_rows:
            del self._rows[next(iter(self._rows))]
            happenings.emit(told.QUOTA_FORGOTTEN)
        return row

    def _count(self, op: Op, rows: list[State], calls: int) -> None:
        self._open[op["id"]] = mine = []
        for ask, row in zip(op["rows"], rows, strict=True):
            units = ask["n"] * calls
            row.charge(units)
            row.held += units
            mine.append((ask["row"], row.newest, units))
