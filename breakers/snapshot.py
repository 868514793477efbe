"""What one process knows of the board: read without I/O on every action, written when it hears something newer."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock

from breakers.board import shown
from breakers.rows import PROBE, Row, is_over, num, permits, stopped_by
from fusebox.clock import Clock
from fusebox.records import State


@dataclass(frozen=True, slots=True)
class Circuit:
    """One agent's circuit. Times are seconds on the injected clock.

    ``state`` is closed, open or half_open whatever the ``mode`` (``normal``, ``observe_only``, ``disabled``).
    ``finding`` is the id of the Finding that opened it, ``opener`` who did (as in :class:`fusebox.records.Transition`);
    ``trips`` counts trips in a row; ``probes`` names who holds a permit.
    """

    agent: str
    state: State = State.CLOSED
    since: float = 0.0
    reason: str = ""
    finding: str = ""
    mode: str = "normal"
    retry_at: float | None = None
    trips: int = 0
    probes: frozenset[str] = frozenset()
    opener: str = ""
    version: int = 0

    @property
    def shown(self) -> State:
        """The state people are shown: the mode where it is special."""
        return shown(self.state, self.mode)

    @property
    def stops(self) -> bool:
        """True when actions are denied unless they belong to the probe."""
        return self.mode == "normal" and self.state is not State.CLOSED


def circuit_of(agent: str, row: Row) -> Circuit:
    """Read a row of the board."""
    return Circuit(
        agent=agent,
        state=shown(row.get("state", ""), ""),
        since=num(row, "since"),
        reason=row.get("reason", ""),
        finding=row.get("finding", ""),
        mode=row.get("mode", "normal"),
        retry_at=num(row, "retry_at") if "retry_at" in row else None,
        trips=int(num(row, "trips")),
        probes=frozenset(name.removeprefix(PROBE) for name in permits(row)),
        opener=row.get("opener", ""),
        version=int(num(row, "version")),
    )


class Snapshot:
    """Rows as this process believes them, and until when the open ones are closed to probes.

    ``synced`` is the version that the board itself last told; a row may be ahead of it by what this process had to
    decide alone. The end of an open time is kept on the monotonic clock, so a stepping wall clock cannot shorten it,
    and it is never further away than the open time is long, so a clock that ran ahead elsewhere cannot stretch it.

    Attributes:
        stopping: the circuits that stop their agents, by agent: what every action looks into.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = Lock()
        self._rows: dict[str, Row] = {}
        self._circuits: dict[str, Circuit] = {}
        self.stopping: dict[str, Circuit] = {}
        self._synced: dict[str, int] = {}
        self._stopped_by: dict[str, str] = {}
        self._due: dict[str, float] = {}

    def circuit(self, agent: str) -> Circuit:
        """The agent's circuit; closed when nothing is known of it."""
        return self._circuits.get(agent) or Circuit(agent)

    def circuits(self) -> list[Circuit]:
        """All circuits that ever moved, by agent."""
        return sorted(self._circuits.copy().values(), key=lambda c: c.agent)

    def changes(self) -> dict[str, str]:
        """The ``change`` of every row as this process believes it, by agent."""
        return {agent: row.get("change", "") for agent, row in self._rows.copy().items()}

    def over(self, before: float) -> list[tuple[str, Row]]:
        """Agents whose rows nobody misses, and these."""
        return [(agent, row) for agent, row in self._rows.copy().items() if is_over(row, before)]

    def forget(self, agent: str, row: Row) -> None:
        """As if nothing had ever been known of the agent's circuit; not where it has moved on from this row."""
        with self._lock:
            if self._rows.get(agent, row) != row:
                return
            for known in (self._rows, self._circuits, self.stopping, self._synced, self._stopped_by, self._due):
                known.pop(agent, None)

    def row(self, agent: str) -> Row:
        """The raw row (empty when nothing is known)."""
        return self._rows.get(agent, {})

    def synced(self, agent: str) -> int:
        """The latest version that the board told."""
        return self._synced.get(agent, 0)

    def stopped_by(self, agent: str) -> str:
        """The openings that stop the agent, as the board told."""
        return self._stopped_by.get(agent, "")

    def retry_after(self, agent: str) -> float | None:
        """Seconds until a probe may be admitted; None when that is not a matter of time."""
        due = self._due.get(agent)
        return None if due is None else max(0.0, due - self._clock.monotonic())

    def probing(self, agent: str) -> int:
        """Probes that are at work, or have succeeded since the circuit became half-open."""
        row, wall = self.row(agent), self._clock.wall()
        living = [name for name in permits(row) if num(row, name) > wall]
        return len(living) + int(num(row, "passed"))

    def hear(self, agent: str, row: Row) -> bool:
        """Take the board's word, unless it is older than what the board said before; True when taken."""
        with self._lock:
            version = int(num(row, "version"))
            if version < self._synced.get(agent, 0):
                return False
            self._synced[agent], self._stopped_by[agent] = version, stopped_by(row)
            self._set(agent, row)
            return True

    def believe(self, agent: str, row: Row) -> None:
        """Take what this process decided alone."""
        with self._lock:
            self._set(agent, row)

    def _set(self, agent: str, row: Row) -> None:
        before, after = self._circuits.get(agent), circuit_of(agent, row)
        if before is None or (before.retry_at, before.state) != (after.retry_at, after.state):
            self._schedule(agent, row, after)
        self._rows[agent] = row
        self._circuits[agent] = after
        if after.stops:
            self.stopping[agent] = after
        else:
            self.stopping.pop(agent, None)

    def _schedule(self, agent: str, row: Row, circuit: Circuit) -> None:
        self._due.pop(agent, None)
        if circuit.state is State.OPEN and circuit.retry_at is not None:
            left = min(max(0.0, circuit.retry_at - self._clock.now()), num(row, "open_for"))
            self._due[agent] = self._clock.monotonic() + left
