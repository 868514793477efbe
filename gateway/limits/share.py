"""What this process itself has used, and its own share of the limits for when the store is away."""

from __future__ import annotations

from threading import Lock

from gateway.limits.rows import Place, State
from gateway.limits.steps import OK, SHORT, Op


class Share:
    """The same rows as in the store, for the calls of one tenant that this process made. Thread-safe.

    Args:
        workers: how many processes share the limits.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._rows: dict[str, State] = {}
        self._open: dict[str, list[tuple[str, int, int]]] = {}
        self._lock = Lock()

    def count(self, op: Op) -> None:
        """Count a reservation that the store has granted."""
        with self._lock:
            self._count(op, [self._rolled(ask) for ask in op["rows"]])

    def reserve(self, op: Op) -> list[str]:
        """The step against the share: each limit divided by the workers."""
        with self._lock:
            rows = [self._rolled(ask) for ask in op["rows"]]
            asked = zip(op["rows"], rows, strict=True)
            fits = all(not ask["n"] or row.total + ask["n"] <= ask["limit"] // self._workers for ask, row in asked)
            if fits:
                self._count(op, rows)
            return [OK if fits else SHORT, *(row.text() for row in rows)]

    def settle(self, id_: str, spent: dict[str, int]) -> None:
        """Count what a call has spent."""
        with self._lock:
            for name, slot, units in self._open.pop(id_, ()):
                row = self._rows[name]
                row.held -= units
                row.correct(slot, spent[name] - units)

    def used(self, now: float) -> dict[str, State]:
        """The rows that still count; those that do not are forgotten."""
        with self._lock:
            for name in [name for name, row in self._rows.items() if row.until <= now and not row.held]:
                del self._rows[name]
            return {name: row for name, row in self._rows.items() if row.total}

    def _rolled(self, ask: Op) -> State:
        row = self._rows.setdefault(ask["row"], State())
        row.roll(Place(ask["keep"], ask["slot"], ask["until"]))
        return row

    def _count(self, op: Op, rows: list[State]) -> None:
        self._open[op["id"]] = mine = []
        for ask, row in zip(op["rows"], rows, strict=True):
            row.charge(ask["n"])
            row.held += ask["n"]
            mine.append((ask["row"], row.newest, ask["n"]))
