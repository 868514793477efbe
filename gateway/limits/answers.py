"""What a caller is told: a reservation or a refusal, the rows behind either, and the usual headers as data.

The header names are those of OpenAI's API (``x-ratelimit-limit-requests`` …) and of RFC 9110 (``retry-after``).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, NamedTuple

from fusebox.guard import deny
from fusebox.records import Verdict
from gateway.limits.rows import Row, State, shown
from gateway.limits.rules import NOTHING, Call, Counted, Demand, Measure

GUARD: Final = "quota"
_AWAY_S: Final = 5.0
"""Seconds after which the store may be back."""
_NAMES: Final = {
    measure: tuple(f"x-ratelimit-{what}-{measure}" for what in ("limit", "remaining", "reset"))
    for measure in (Measure.REQUESTS, Measure.TOKENS)
}


@dataclass(frozen=True)
class Reservation:
    """What is set aside for one call, until it is settled or its lease is over."""

    id: str
    call: Call
    demand: Demand
    limits: tuple[Counted, ...]
    states: tuple[str, ...]
    """Each limit's row just after."""
    at: float
    """Unix seconds."""
    local: bool = False
    """True when the store was away and this process's own share was charged."""
    more: int = 0
    """For so many further calls like this one it holds, too."""

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """The rows it is set aside in, as they stood just after."""
        return rows_of(self.call, self.limits, self.states, NOTHING, self.at)

    @cached_property
    def told(self) -> Mapping[Measure, tuple[Told, ...]]:
        """The same for headers."""
        return told_of(self.rows)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Nothing was set aside: these rows have too little left."""

    call: Call
    demand: Demand
    rows: tuple[Row, ...]
    """The rows that said no, the one that takes longest first."""
    others: tuple[Row, ...] = ()
    """The rows with room."""
    local: bool = False
    """True when the store was away and this process's own share is used up."""

    @property
    def retry_after(self) -> float | None:
        """Seconds until the call may fit, or None when it never does; soon, where the store is away: once it is back,
        more than a share counts."""
        waits = [math.inf if row.reset_s is None else row.reset_s for row in self.rows]
        wait = min(max(waits, default=0.0), _AWAY_S if self.local else math.inf)
        return None if wait == math.inf else wait

    @property
    def verdict(self) -> Verdict:
        """The refusal as a guard's verdict; it concerns this call, not the agent's circuit."""
        asked = ", ".join(f"{self.demand.units(row.measure)} {_unit(row)} asked for, {row}" for row in self.rows)
        why = f"the store is away and this worker's share is used up: {asked}" if self.local else asked
        return deny(GUARD, why, retry_after=self.retry_after, narrow=True)

    def headers(self) -> dict[str, str]:
        """``retry-after`` in whole seconds (left out when waiting cannot help), and the ``x-ratelimit-…`` headers."""
        wait = self.retry_after
        later = {} if wait is None else {"retry-after": str(max(1, math.ceil(wait)))}
        return later | rate_headers(told_of((*self.rows, *self.others)))


def rows_of(
    call: Call, limits: Iterable[Counted], states: Iterable[str], demand: Demand, now: float
) -> tuple[Row, ...]:
    """Rows for people, each with the wait until ``demand`` may fit."""
    pairs = zip(limits, states, strict=True)
    return tuple(shown(c, State.parse(text), demand.units(c.limit.measure), now, call.tenant) for c, text in pairs)


def refusal(
    call: Call, demand: Demand, limits: Iterable[Counted], states: Iterable[str], now: float, local: bool
) -> Refusal:
    """The refusal that rows as they stand (``states``) give a demand."""
    rows = rows_of(call, limits, states, demand, now)
    short = [row for row in rows if 0 < demand.units(row.measure) > row.remaining]
    short.sort(key=lambda row: math.inf if row.reset_s is None else row.reset_s, reverse=True)
    return Refusal(call, demand, tuple(short), tuple(row for row in rows if row not in short), local)


def _unit(row: Row) -> str:
    return "millionths of a dollar" if row.measure is Measure.USD else str(row.measure)


class Told(NamedTuple):
    """What headers say of a row, and what of it stays the same while other calls are admitted."""

    place: int
    """Which of all rows it is."""
    left: int
    limit: str
    reset: str
    """Empty: waiting does not help."""


def told_of(rows: Sequence[Row]) -> Mapping[Measure, tuple[Told, ...]]:
    """The rows of each measure that has headers."""
    return {
        measure: found
        for measure in _NAMES
        if (found := tuple(_told(place, row) for place, row in enumerate(rows) if row.measure is measure))
    }


def _told(place: int, row: Row) -> Told:
    reset = "" if row.reset_s is None else f"{math.ceil(row.reset_s)}s"
    return Told(place, row.remaining, str(row.limit), reset)


def rate_headers(told: Mapping[Measure, Sequence[Told]], more: Sequence[int] = ()) -> dict[str, str]:
    """The headers that rows give, by the narrowest of each measure; ``more`` is what is left beside each row."""
    headers = {}
    for measure, rows in told.items():
        lefts = [row.left + more[row.place] for row in rows] if more else [row.left for row in rows]
        left = min(lefts)
        narrow = rows[lefts.index(left)]
        for_limit, for_left, for_reset = _NAMES[measure]
        headers[for_limit], headers[for_left] = narrow.limit, str(left)
        if narrow.reset:
            headers[for_reset] = narrow.reset
    return headers
