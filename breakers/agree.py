"""How one process and the board come to agree.

::

    wish ──► snapshot (a trip: at once) ──► board.step ──► its row replaces the snapshot's
                                              │
                                 store away ──┴──► the same step on the snapshot's own row; the wish is owed

    refresh: pay what is owed ─► renew living probes ─► take newer rows ─► put back rows the store has lost

A row's version only grows. One that is older than what the board told before, or that does not know the opening which
the board told of, was flushed, rolled back or failed over: nothing is decided on it, the row that this process knows is
put back first. So a store that forgets never closes a circuit. A row that is over is not put back: it was let go.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Container, Iterable
from itertools import islice
from threading import Lock
from typing import Final

from breakers.board import Board, Step
from breakers.rows import FORGET_S, Row, is_over, knows, num
from breakers.snapshot import Snapshot
from breakers.steps import REFUSED
from fusebox import happenings
from fusebox.clock import Clock
from fusebox.errors import StoreUnavailable
from fusebox.records import Finding, State, Transition

STORE_AWAY: Final = happenings.declare(
    "circuit_store_away", logging.ERROR, "the state store did not answer; circuits run on the local snapshot"
)
BOARD_LOST: Final = happenings.declare(
    "circuit_board_lost", logging.ERROR, "the store had lost or rolled back a circuit; it was put back"
)
_MAX_OWED: Final = 16
_FORGET_AT_ONCE: Final = 100
_CLOCKS_APART_S: Final = 86_400.0
"""So far a process may be behind the one that let go of a row, and still not take it for lost."""


class Agreement:
    """Brings wishes to the board, and the board's word into the snapshot. Thread-safe.

    Attributes:
        agreed_at: monotonic time at which a shared board last told everything it knows.
    """

    def __init__(self, board: Board, view: Snapshot, clock: Clock) -> None:
        self._board = board
        self._view = view
        self._clock = clock
        self.agreed_at = -math.inf
        self._lock = Lock()
        self._owed: dict[str, deque[Row]] = {}
        self._loaded: set[str] = set()
        self._turns: deque[str] = deque()
        self._away = False

    def settle(self, agent: str, wish: Row) -> Step:
        """Decide a wish: by the board, or alone while the store is away. A trip acts before the board is asked."""
        base, alone = self._view.row(agent), None
        if self._board.shared and wish["kind"] == "trip":
            alone = self._alone(agent, wish)
        step = self._ask(agent, wish, base)
        if step is not None:
            self._view.hear(agent, step.row)
            return step
        alone = alone or self._alone(agent, wish)
        if alone.word != REFUSED:
            with self._lock:
                self._owed.setdefault(agent, deque(maxlen=_MAX_OWED)).append(wish)
        return alone

    def ask(self, agent: str, wish: Row) -> Step | None:
        """Only the board may grant this; None while the store is away."""
        step = self._ask(agent, wish, self._view.row(agent))
        if step is not None:
            self._view.hear(agent, step.row)
        return step

    def load(self, agent: str) -> None:
        """Read an agent's row when this process first has to do with it."""
        if agent in self._loaded or self._away or not self._board.shared:  # refresh() reads what is new once it is back
            return
        try:
            row = self._board.row(agent)
            if self._is_lost(agent, row):  # this process has tripped it, and the store has forgotten that since
                row = self._put_back(agent, self._view.row(agent))
            self._take(agent, row)
            self._loaded.add(agent)
            self._turns.append(agent)
        except StoreUnavailable as error:
            self._lost_store(error)

    def refresh(self, renewals: Iterable[tuple[str, Row]]) -> list[Transition]:
        """Pay, renew, read; the transitions that others brought about. ``renewals``: agents, their probes' wishes."""
        if not self._board.shared:
            return []
        try:
            for agent in list(self._owed):
                self._pay(agent)
            for agent, wish in renewals:
                self._view.hear(agent, self._step(agent, wish, self._view.row(agent)).row)
            noticed = self._read()
        except StoreUnavailable as error:
            self._lost_store(error)
            return []
        self._away, self.agreed_at = False, self._clock.monotonic()
        return noticed

    def since(self, last: Transition) -> Transition | None:
        """What the board tells of a circuit beyond ``last``; None when that is not newer, or shows nothing else."""
        row = self._view.row(last.agent)
        if row.get("last") == last.id or num(row, "moved") < last.time:
            return None
        return told(last.agent, last.after, self._view.circuit(last.agent).shown, row, self._board.tenant)

    def forget(self, keep: Container[str]) -> int:
        """Have the board let go of some of what is over, but for the agents in ``keep``; how many rows it did."""
        before = self._clock.now() - FORGET_S
        old = [each for each in self._view.over(before) if each[0] not in self._owed and each[0] not in keep]
        try:
            gone = [each for each in old[:_FORGET_AT_ONCE] if self._board.forget(*each, before)]
        except StoreUnavailable as error:
            self._lost_store(error)
            return 0
        for agent, row in gone:
            self._view.forget(agent, row)
        return len(gone)

    def _alone(self, agent: str, wish: Row) -> Step:
        step = self._board.imagine(self._view.row(agent), wish)
        if step.word != REFUSED:
            self._view.believe(agent, step.row)
        return step

    def _ask(self, agent: str, wish: Row, base: Row) -> Step | None:
        if self._away:  # one deadline was enough; refresh() finds out when the store is back
            return None
        try:
            return self._step(agent, wish, base)
        except StoreUnavailable as error:
            self._lost_store(error)
            return None

    def _step(self, agent: str, wish: Row, base: Row) -> Step:
        step = self._board.step(agent, wish, self._view.synced(agent), self._view.stopped_by(agent))
        if step.lost:
            self._put_back(agent, base)
            step = self._board.step(agent, wish)
        return step

    def _pay(self, agent: str) -> None:
        """Bring owed wishes, oldest first; each is forgotten only once the board has it."""
        while owed := self._owed.get(agent):
            step = self._step(agent, owed[0], self._view.row(agent))
            with self._lock:
                owed.popleft()
                if not owed:
                    del self._owed[agent]
                    self._view.hear(agent, step.row)

    def _read(self) -> list[Transition]:
        rows, before = self._news(), self._clock.now() - FORGET_S + _CLOCKS_APART_S
        for agent, row in rows.items():
            if agent in self._owed:
                continue
            known = self._view.row(agent)
            if not row and is_over(known, before):
                self._view.forget(agent, known)
            elif self._is_lost(agent, row):
                rows[agent] = self._put_back(agent, known)
        return [moved for agent, row in rows.items() if (moved := self._take(agent, row))]

    def _news(self) -> dict[str, Row]:
        """The rows that are not what this process believes; at first all, for want of changes in an older store."""
        known = self._view.changes()
        if self.agreed_at == -math.inf:
            return {agent: {} for agent in known} | self._board.rows()
        changes = self._board.changes()
        new = {agent for agent, change in changes.items() if change != known.get(agent, "")}
        return {agent: self._board.row(agent) for agent in new | (known.keys() - changes.keys()) | self._next_of_ours()}

    def _next_of_ours(self) -> set[str]:
        """One agent whose messages this process handles, in turn: an earlier Fusebox beside it notes no change."""
        self._turns.rotate(-1)
        return set(islice(self._turns, 1))

    def _is_lost(self, agent: str, row: Row) -> bool:
        return num(row, "version") < self._view.synced(agent) or not knows(row, self._view.stopped_by(agent))

    def _take(self, agent: str, row: Row) -> Transition | None:
        if agent in self._owed or row == self._view.row(agent):
            return None
        before = self._view.circuit(agent).shown
        if not self._view.hear(agent, row):
            return None
        return told(agent, before, self._view.circuit(agent).shown, row, self._board.tenant)

    def _put_back(self, agent: str, row: Row) -> Row:
        happenings.emit(BOARD_LOST, agent=agent, version=row.get("version"))
        return self._board.restore(agent, row)

    def _lost_store(self, error: StoreUnavailable) -> None:
        if not self._away:
            happenings.emit(STORE_AWAY, error=str(error))
        self._away = True


def told(
    agent: str, before: State, after: State, row: Row, tenant: str, finding: Finding | None = None
) -> Transition | None:
    """The transition that a row tells of (its id is the same in every process); None when nothing shows."""
    if before is after:
        return None
    return Transition(
        agent=agent,
        before=before,
        after=after,
        time=num(row, "moved"),
        reason=row.get("reason", ""),
        actor=row.get("actor", ""),
        finding=finding,
        tenant=tenant,
        id=row.get("last", ""),
    )
