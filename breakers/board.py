"""The board: what every process agrees on about circuits; one hash per agent in the state store.

``board.step(agent, wish)`` is one atomic script (:mod:`breakers.steps`) and the only authority on transitions. It notes
the row's ``change`` in one hash for all rows, by which processes see several times a second what is new: a search
through a store that also holds the claims of a million messages would take the store's whole time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from breakers.rows import Row, text
from breakers.steps import DONE, LOST, MOVED, STEP
from fusebox.clock import Clock
from fusebox.records import State, new_id
from fusebox.store import Store

MODES: Final = frozenset({"normal", "observe_only", "disabled"})
_STATES: Final = {state.value: state for state in (State.CLOSED, State.OPEN, State.HALF_OPEN)}
_SHOWN: Final = {"observe_only": State.OBSERVE_ONLY, "disabled": State.DISABLED}


@dataclass(frozen=True, slots=True)
class Step:
    """What the board answered to a wish."""

    word: str
    before: State
    row: Row

    @property
    def moved(self) -> bool:
        """True when the wish was a transition."""
        return self.word == MOVED

    @property
    def lost(self) -> bool:
        """True when the board's row is not what the asker has seen, or what came of that."""
        return self.word == LOST


class Board:
    """The circuits of one tenant in a store.

    Every method raises :class:`fusebox.errors.StoreUnavailable` when the store does not answer.
    """

    def __init__(self, store: Store, clock: Clock, tenant: str = "default") -> None:
        self._store = store
        self._clock = clock
        self.tenant = tenant
        self.shared = store.shared
        self._prefix, self._changes = f"fusebox:{tenant}:circuit:", f"fusebox:{tenant}:circuits"

    def step(self, agent: str, wish: Row, seen: int = 0, stopped_by: str = "") -> Step:
        """Ask for one atomic change; ``seen``, ``stopped_by``: the version and the openings that the asker knows."""
        pairs = self._stamped(wish) | {"seen": str(seen), "stopped_by": stopped_by}
        return self._run(agent, pairs)

    def imagine(self, row: Row, wish: Row) -> Step:
        """The same step on a copy of ``row``, in this process only: for when the store is away."""
        copy = dict(row)
        return answer(STEP.twin(copy, _flat(self._stamped(wish) | {"seen": "0"})))

    def restore(self, agent: str, row: Row) -> Row:
        """Put a row back that the store has lost, unless it holds one that has seen as much; what it holds then."""
        return self._run(agent, row | {"kind": "restore", "now": "0", "seen": "0", "id": new_id("put")}).row

    def forget(self, agent: str, row: Row, before: float) -> bool:
        """Delete a row that is over, if it is still this one; False when it is not, or did not end before that."""
        wish = {"kind": "forget", "expect": row["version"], "before": text(before), "id": ""}
        return self.step(agent, wish).word == DONE

    def row(self, agent: str) -> Row:
        """One agent's row; empty when its circuit never moved."""
        return self._store.read(self._prefix + agent)

    def rows(self) -> dict[str, Row]:
        """All rows, by agent, those included that no :meth:`changes` know; searches the whole store."""
        keys = self._store.keys(self._prefix)
        return {key.removeprefix(self._prefix): row for key in keys if (row := self._store.read(key))}

    def changes(self) -> dict[str, str]:
        """The ``change`` of every row, by agent, as the last step left it."""
        return {key.removeprefix(self._prefix): change for key, change in self._store.read(self._changes).items()}

    def _run(self, agent: str, pairs: Row) -> Step:
        return answer(self._store.run(STEP, self._prefix + agent, *_flat(pairs), index=self._changes))

    def _stamped(self, wish: Row) -> Row:
        """``wish`` with the time, unless it already has one (a wish that had to wait)."""
        return {"now": text(self._clock.now()), "wall": text(self._clock.wall()), **wish}


def answer(reply: list[str]) -> Step:
    """Read the script's answer."""
    word, state, mode, *pairs = reply
    return Step(word, shown(state, mode), dict(zip(pairs[::2], pairs[1::2], strict=True)))


def shown(state: str, mode: str) -> State:
    """What people see of a circuit: its mode where it has a special one, else its state.

    A state that this version does not know counts as open: whoever wrote it meant to stop something.
    """
    if mode in _SHOWN:
        return _SHOWN[mode]
    return _STATES.get(state or "closed", State.OPEN)


def _flat(pairs: Row) -> tuple[str, ...]:
    return tuple(part for pair in pairs.items() for part in pair)
