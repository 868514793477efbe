"""Leases: how long reservations stand that nobody settles. Renewed while calls go on, ended when their worker died.

A worker renews its own; the leases of all are looked after by whichever worker has its turn, which also has the rows
forgotten that say nothing any more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from threading import Lock
from typing import Final

import orjson

from fusebox.clock import Clock
from fusebox.errors import StoreUnavailable
from gateway.limits.answers import Reservation
from gateway.limits.line import Line
from gateway.limits.steps import OK, end_of

LEASE_S: Final = 120.0
"""Seconds after which a reservation that nobody renews or settles counts as spent in full."""

LONGEST_CALL_S: Final = 3600.0
"""Seconds after which a reservation is renewed no more: its call was forgotten, not slow."""

_SWEEP_S: Final = 30.0
_PIECE: Final = 500
_PIECES: Final = 40
"""Fields looked at in one step, and steps in one sweep: the next sweep goes on where this one ended."""


@dataclass(slots=True)
class _Open:
    reservation: Reservation
    lease: float


class Leases:
    """Of the reservations that this process has open. Thread-safe.

    Args:
        line: to the store.
        clock: the limiter's.
        seconds: a lease's length.
    """

    def __init__(self, line: Line, clock: Clock, seconds: float) -> None:
        self._line, self._clock, self._seconds = line, clock, seconds
        self._open: dict[str, _Open] = {}
        self._swept = -math.inf
        self._lock = Lock()

    def until(self, now: float) -> int:
        """When a lease ends that begins now (Unix seconds)."""
        return math.ceil(now + self._seconds)

    def begin(self, reservation: Reservation) -> Reservation:
        """It is open from now on."""
        with self._lock:
            self._open[reservation.id] = _Open(reservation, reservation.at + self._seconds)
        return reservation

    def end(self, reservation: Reservation) -> bool:
        """It is settled; False when it was before."""
        with self._lock:
            return self._open.pop(reservation.id, None) is not None

    def renew(self) -> None:
        """Those whose end comes near."""
        now = self._clock.now()
        with self._lock:
            for id_ in [id_ for id_, mine in self._open.items() if now - mine.reservation.at > LONGEST_CALL_S]:
                del self._open[id_]
            due = [mine for mine in self._open.values() if mine.lease - now < self._seconds / 2]
            for mine in due:
                mine.lease = now + self._seconds
        for mine in due:
            if not mine.reservation.local:
                op = {"op": "renew", "id": mine.reservation.id, "lease": self.until(now)}
                self._line.later(mine.reservation.call.tenant, op)

    def sweep(self) -> tuple[str, ...]:
        """End the leases of all workers that are over; the tenants that were looked after, now and then."""
        now = self._clock.now()
        if now - self._swept < _SWEEP_S:
            return ()
        self._swept = now
        return tuple(tenant for tenant in self._line.met if self._sweep(tenant, int(now)))

    def _sweep(self, tenant: str, now: int) -> bool:
        """Found piece by piece, decided by the step; False when another worker has its turn, or the store is away."""
        try:
            if self._line.step(tenant, {"op": "turn", "now": now, "every": int(_SWEEP_S)})[0] != OK:
                return False
            for _ in range(_PIECES):
                _, more, found = self._line.step(tenant, {"op": "over", "now": now, "count": _PIECE})
                self._line.later(tenant, *(end_of(field, now) for field in orjson.loads(found)))
                if more == "0":
                    break
        except StoreUnavailable:
            return False
        return True
