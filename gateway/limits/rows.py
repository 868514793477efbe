"""A row of the quota: what one limit has counted, as text in one field, and how it moves with time.

Format of a row (field ``w:<name>``), numbers separated by blanks::

    until keep newest held expired slot:n slot:n …

======== ==============================================================================================
until    Unix seconds after which the row says nothing any more
keep     how many slots before the newest still count
newest   number of the newest slot that was charged
held     units of open reservations, contained in the slots
expired  units that were spent in full because nobody settled them, contained in the slots
slot:n   units charged in a slot; slots older than ``newest - keep`` are dropped
======== ==============================================================================================

A sliding window of W seconds has slots of W/12 and keeps twelve beside the newest: thirteen slots cover every stretch
of W seconds that ends now, so no such stretch ever holds more than the limit. A budget has one slot, its calendar hour,
day or month; a lifetime has slot 0.

A clock that is behind charges the newest slot; one that is ahead moves the row on, and the others follow.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from gateway.limits.rules import MICRO, Budget, Counted, Limit, Measure, Scope

SLOTS: Final = 12
_LIFETIME_KEPT_S: Final = 30 * 86_400
"""A lifetime is forgotten when its subject was silent for so long."""


@dataclass(slots=True)
class State:
    """A row, read."""

    until: int = 0
    keep: int = 0
    newest: int = 0
    held: int = 0
    expired: int = 0
    slots: dict[int, int] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str | None) -> State:
        """Read a row; an absent one is empty."""
        if not text:
            return cls()
        until, keep, newest, held, expired, *slots = text.split()
        pairs = (slot.split(":") for slot in slots)
        return cls(int(until), int(keep), int(newest), int(held), int(expired), {int(s): int(n) for s, n in pairs})

    def text(self) -> str:
        """The row as it is kept."""
        head = f"{self.until} {self.keep} {self.newest} {self.held} {self.expired}"
        return head + "".join(f" {slot}:{n}" for slot, n in sorted(self.slots.items()))

    def roll(self, place: Place) -> None:
        """Move on to a slot; what no longer counts is dropped."""
        self.keep = place.keep
        self.newest = max(self.newest, place.slot)
        self.until = max(self.until, place.until)
        self.slots = {slot: n for slot, n in self.slots.items() if slot >= self.newest - self.keep}
        self.expired = min(self.expired, self.total)

    def charge(self, units: int) -> None:
        """Count units now."""
        self.slots[self.newest] = self.slots.get(self.newest, 0) + units

    def correct(self, slot: int, more: int) -> None:
        """What was spent belongs to the slot it was reserved in; when that is over, only a surplus still counts."""
        if slot in self.slots:
            self.slots[slot] = max(0, self.slots[slot] + more)
        elif more > 0:
            self.charge(more)

    @property
    def total(self) -> int:
        """Units that count now."""
        return sum(self.slots.values())


@dataclass(frozen=True, slots=True)
class Place:
    """Where a charge made now belongs."""

    keep: int
    slot: int
    until: int


def place_of(limit: Limit, now: float) -> Place:
    """The slot of ``limit`` at ``now`` (Unix seconds)."""
    if limit.window_s:
        slot = int(now * SLOTS / limit.window_s)
        return Place(SLOTS, slot, _slot_end(limit.window_s, slot + SLOTS))
    return _budget_place(limit.budget, int(now))


def turn_of(limit: Limit, now: float) -> float:
    """Unix seconds at which the slot of ``now`` is over."""
    if limit.window_s:
        return (int(now * SLOTS / limit.window_s) + 1) * limit.window_s / SLOTS
    return _budget_place(limit.budget, int(now)).until


def _slot_end(window_s: int, slot: int) -> int:
    return -(-(slot + 1) * window_s // SLOTS)


def _budget_place(budget: Budget | None, now: int) -> Place:
    if budget is Budget.HOUR:
        return Place(0, now // 3600, (now // 3600 + 1) * 3600)
    if budget is Budget.DAY:
        return Place(0, now // 86_400, (now // 86_400 + 1) * 86_400)
    if budget is Budget.LIFETIME:
        return Place(0, 0, now + _LIFETIME_KEPT_S)
    day = datetime.fromtimestamp(now, UTC)
    months = day.year * 12 + day.month - 1
    first = datetime((months + 1) // 12, (months + 1) % 12 + 1, 1, tzinfo=UTC)
    return Place(0, months, int(first.timestamp()))


@dataclass(frozen=True, slots=True)
class Row:
    """What stands behind a number, for people: one limit, what it has counted and until when that holds."""

    name: str
    """``tokens/60s/agent/ticket-helper``."""
    measure: Measure
    limit: int
    used: int
    """Units that count now, open reservations at their worst included (millionths of a dollar for ``usd``)."""
    held: int
    """Of these, units of open reservations."""
    expired: int
    """Of these, at most so many were never settled: their worker died, they count in full."""
    since: float
    """Unix seconds from which on calls count; 0 for a lifetime."""
    reset_s: float | None
    """Seconds until what was asked for may fit (of a row that has room: until it is empty); None when never."""
    scope: Scope
    subject: str
    tenant: str

    @property
    def ledger(self) -> str:
        """The SQL that shows the settled calls behind ``used``; of a team's row all of the tenant's, by agent.

        What was asked for, and that tools were, only events know; what attempts cost that others followed, only the
        ledger.
        """
        events = self.measure is Measure.REQUESTS or self.scope is Scope.MODEL
        what, table = ("operation", "agent_events") if events else ("model", "token_ledger")
        where = [f"tenant = {_quoted(self.tenant)}", f"time >= {int(self.since)}"]
        if events:
            where.append("action IN ('model_call', 'tool_call')")
        if column := _COLUMN.get(self.scope):
            where.append(self._fits(column))
        return (
            f"SELECT agent, {what}, count() AS calls, sum(input_tokens + output_tokens) AS tokens, "  # noqa: S608
            f"sum(cost_usd) AS usd FROM {table} WHERE {' AND '.join(where)} GROUP BY agent, {what} ORDER BY calls DESC"
        )

    def _fits(self, column: str) -> str:
        if self.subject.endswith("*"):
            return f"startsWith({column}, {_quoted(self.subject[:-1])})"
        return f"{column} = {_quoted(self.subject)}"

    @property
    def remaining(self) -> int:
        """Units left."""
        return max(0, self.limit - self.used)

    def __str__(self) -> str:
        return f"{self.name}: {self._say(self.used)} of {self._say(self.limit)}, {self._say(self.held)} of it reserved"

    def _say(self, units: int) -> str:
        return f"${units / MICRO:g}" if self.measure is Measure.USD else str(units)


def shown(counted: Counted, state: State, units: int, now: float, tenant: str) -> Row:
    """A row for people.

    Args:
        counted: the limit.
        units: what is asked for, for :attr:`Row.reset_s`.
        now: Unix seconds.
    """
    limit = counted.limit
    state.roll(place_of(limit, now))
    reset = _reset(counted, state, units, now)
    amounts = counted.units, state.total, state.held, state.expired
    return Row(counted.row, limit.measure, *amounts, _since(limit, now), reset, limit.scope, counted.subject, tenant)


def _since(limit: Limit, now: float) -> float:
    if limit.window_s:
        return (int(now * SLOTS / limit.window_s) - SLOTS) * limit.window_s / SLOTS
    day = datetime.fromtimestamp(now, UTC).replace(minute=0, second=0, microsecond=0)
    if limit.budget is Budget.DAY:
        day = day.replace(hour=0)
    if limit.budget is Budget.MONTH:
        day = day.replace(hour=0, day=1)
    return 0.0 if limit.budget is Budget.LIFETIME else day.timestamp()


def _reset(counted: Counted, state: State, units: int, now: float) -> float | None:
    """Seconds until ``units`` more fit, if nothing else is charged."""
    limit, left = counted.limit, state.total
    full = left + units > counted.units
    if units > counted.units or (full and limit.budget is Budget.LIFETIME):
        return None
    for slot, n in sorted(state.slots.items()):
        left -= n
        if left + units <= counted.units if full else not left:
            end = _slot_end(limit.window_s, slot + SLOTS) if limit.window_s else state.until
            return max(0.0, end - now)
    return 0.0


_COLUMN: Final = {Scope.AGENT: "agent", Scope.MODEL: "operation", Scope.WORKFLOW: "workflow"}


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
