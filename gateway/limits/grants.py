"""Grants: slices of the limits that a process has set aside, so that most calls ask nobody.

A grant is one reservation, for this call and for more like it; it stands in the store as any other does (see
:mod:`gateway.limits.steps`), so what the store counts is never less than what all processes may still spend. Calls take
their worst case out of the grant and put back what they have not used.

::

                        take(worst case) · settle(spent): the rest is there for the next call
                              ┌─────┐
    reserve(this and more) ─► open ─┴─ its slot ends, a second passes, or a call does not fit ─► retired
                                                                                                   │ no call is open
                               what no call holds goes back at once; then, call by call            ▼
                                                                                                 settled

Invariants, which a model in the tests checks:

1. What a grant's calls hold and have spent never exceeds what the grant holds in the store, but by what a call spent
   above its own worst case; that is charged when the grant is settled.
2. A call is admitted only while the slot lasts in which its grant was charged: windows hold as without grants.
3. A grant that nobody uses is back in the store a tick after its second is over, whatever its calls do.

How much more is asked for follows the traffic: twice what the grant before has served. The store gives at most an
eighth of the room that is left, so near a limit there are no grants, and each call is decided by itself. Calls that
come while a grant is asked for wait for it, and ask for themselves only when it has no room for them. A refusal that
other grants of this process have caused is not told before these are given back and it was asked again.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock
from typing import Final, NamedTuple

from fusebox.clock import Clock
from gateway.limits.answers import Refusal, Reservation, rate_headers
from gateway.limits.limiter import Limiter
from gateway.limits.rows import turn_of
from gateway.limits.rules import Call, Counted, Demand, Measure

GRANT_S: Final = 1.0
"""Seconds that a grant may be used."""
MOST: Final = 512
"""Calls that one grant is asked for, beside the call at hand."""
_CALLS_REMEMBERED: Final = 4096

_Key = tuple[str, ...]


@dataclass(slots=True, eq=False)
class Grant:
    """What is set aside, row by row, in the order of its limits."""

    reservation: Reservation
    until: float
    left: list[int]
    """Units that no call holds."""
    spent: list[int]
    """Units of the calls that are over."""
    open: int = 0
    """Calls that are not."""
    served: int = 0
    """Calls so far."""
    retired: bool = False

    def take(self, units: list[int], now: float) -> bool:
        """Hold so much for a call; False when it does not fit, the grant's time is over or the clock went back."""
        rest = [left - n for n, left in zip(units, self.left, strict=True)]
        if not self.reservation.at <= now < self.until or min(rest, default=0) < 0:
            return False
        self.left = rest
        self.open, self.served = self.open + 1, self.served + 1
        return True

    def rows(self, units: list[int]) -> dict[str, int]:
        """Units by the rows' names."""
        return {counted.row: n for counted, n in zip(self.reservation.limits, units, strict=True)}


class Part(NamedTuple):
    """What one call holds of a grant."""

    grant: Grant
    call: Call
    demand: Demand
    units: list[int]
    at: float
    """Unix seconds."""

    def headers(self) -> dict[str, str]:
        """The ``x-ratelimit-…`` headers of an answer: as the store said, and what this process has left of it."""
        return rate_headers(self.grant.reservation.told, self.grant.left)


class Grants:
    """Reserve and settle, mostly without a round trip. Thread-safe.

    Args:
        limiter: asked for grants.
        clock: the limiter's.
    """

    def __init__(self, limiter: Limiter, clock: Clock) -> None:
        self._limiter, self._clock = limiter, clock
        self._place = lru_cache(_CALLS_REMEMBERED)(self._place_of)
        self._current: dict[_Key, Grant] = {}
        self._asking: dict[_Key, asyncio.Event] = {}
        self._lock = Lock()

    def bound_cost(self, call: Call) -> bool:
        """True when a limit in tokens or money holds for the call."""
        return any(counted.limit.measure is not Measure.REQUESTS for counted in self._place(call)[1])

    def take(self, call: Call, demand: Demand) -> Part | None:
        """Out of a grant that is there; None where :meth:`reserve` has to ask."""
        key, limits = self._place(call)
        units, now = _units(demand, limits), self._clock.now()
        with self._lock:
            grant = self._current.get(key)
            if grant is None or not grant.take(units, now):
                return None
        return Part(grant, call, demand, units, now)

    async def reserve(self, call: Call, demand: Demand) -> Part | Refusal:
        """As :meth:`gateway.limits.Limiter.reserve_soon`, and like it on one event loop and not to be cancelled."""
        key, _ = self._place(call)
        if asking := self._asking.get(key):
            await asking.wait()
            if part := self.take(call, demand):
                return part
        with self._lock:
            more = self._more(key)
        try:
            got = await self._limiter.reserve_soon(call, demand, more)
        finally:
            if more:
                self._asking.pop(key).set()
        if isinstance(got, Refusal) and self._retire_on(call.tenant, {row.name for row in got.rows}):
            got = await self._limiter.reserve_soon(call, demand)
        return got if isinstance(got, Refusal) else self._begun(key, got)

    def settle(self, part: Part, spent: Demand) -> None:
        """The call is over. To be called once."""
        grant = part.grant
        units = _units(spent, grant.reservation.limits)
        with self._lock:
            grant.open -= 1
            for row, used in enumerate(units):
                grant.spent[row] += used
                if not grant.retired:
                    grant.left[row] += part.units[row] - used
            if not grant.retired:
                return
            if grant.open:
                rest = [n - used for n, used in zip(part.units, units, strict=True)]
                self._limiter.give_back(grant.reservation, grant.rows(rest))
            else:
                self._limiter.finish(grant.reservation, grant.rows(grant.spent))

    def tick(self) -> None:
        """Give back what nobody may use any more; then the limiter's own."""
        now = self._clock.now()
        with self._lock:
            self._retire_each([key for key, grant in self._current.items() if now >= grant.until])
        self._limiter.tick()

    def close(self) -> None:
        """Give back all that no call holds, and stop; legal twice."""
        with self._lock:
            self._retire_each(list(self._current))
        self._limiter.close()

    def _place_of(self, call: Call) -> tuple[_Key, tuple[Counted, ...]]:
        limits = self._limiter.limits_on(call)
        return (call.tenant, *(counted.row for counted in limits)), limits

    def _more(self, key: _Key) -> int:
        """For how many further calls to ask: one asks for many, the others for themselves."""
        before = None if key in self._asking else self._current.pop(key, None)
        if before is None:
            return 0
        self._retire(before)
        self._asking[key] = asyncio.Event()
        return min(MOST, 2 * before.served)

    def _begun(self, key: _Key, got: Reservation) -> Part:
        units = _units(got.demand, got.limits)
        left, until = [n * got.more for n in units], _until(got.limits, got.at)
        grant = Grant(got, until, left, [0] * len(units), open=1, served=1)
        with self._lock:
            if not got.more and key in self._current:
                grant.retired = True  # there is one that holds more
            else:
                if before := self._current.pop(key, None):
                    self._retire(before)
                self._current[key] = grant
        return Part(grant, got.call, got.demand, units, got.at)

    def _retire_on(self, tenant: str, rows: set[str]) -> bool:
        """Retire the grants that hold any of these rows; true when something went back."""
        with self._lock:
            grants = self._retire_each(
                [key for key in self._current if key[0] == tenant and rows.intersection(key[1:])]
            )
        return any(any(grant.left) for grant in grants)

    def _retire_each(self, keys: list[_Key]) -> list[Grant]:
        grants = [self._current.pop(key) for key in keys]
        for grant in grants:
            self._retire(grant)
        return grants

    def _retire(self, grant: Grant) -> None:
        grant.retired = True
        if grant.open:
            self._limiter.give_back(grant.reservation, grant.rows(grant.left))
        else:
            self._limiter.finish(grant.reservation, grant.rows(grant.spent))


def _units(demand: Demand, limits: tuple[Counted, ...]) -> list[int]:
    return [demand.units(counted.limit.measure) for counted in limits]


def _until(limits: tuple[Counted, ...], at: float) -> float:
    """The end of the slots in which a grant made at ``at`` was charged, and of its second."""
    return min([at + GRANT_S, *(turn_of(counted.limit, at) for counted in limits)])
