"""Reserve, then settle: the quota as one process sees it.

The store is the authority. Settlements wait for the next reservation and travel with it, in one round trip: until then
a call counts at its worst, so waiting is safe. :meth:`Limiter.tick` (say, every second) sends what still waits, renews
the leases of calls that go on, and ends those of workers that died.

When the store does not answer, a process falls back on its own share: each limit divided by the number of workers,
against what this process itself has used in the same windows. What it lets through then is charged when the store is
back. A store that came back empty is told again what each process has used.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final

from fusebox import happenings
from fusebox.clock import Clock
from fusebox.errors import ConfigError, StoreUnavailable
from fusebox.store import Store
from gateway.limits import told
from gateway.limits.answers import Refusal, Reservation, refusal, rows_of
from gateway.limits.leases import LEASE_S, Leases
from gateway.limits.line import Line
from gateway.limits.rows import Row, place_of
from gateway.limits.rules import NOTHING, Call, Counted, Demand, Limit, limits_on
from gateway.limits.share import Share
from gateway.limits.steps import OK, Op
from gateway.limits.wire import Wire

_CALLS_REMEMBERED: Final = 4096


@dataclass(frozen=True, slots=True)
class _Wish:
    """A reservation that is asked for."""

    call: Call
    demand: Demand
    limits: tuple[Counted, ...]
    op: Op
    now: float


class Limiter:
    """Rates and budgets. Thread-safe.

    Args:
        store: where the rows live; give a Redis store a short timeout, it is the longest a caller waits.
        limits: what operators wrote.
        clock: its ``now()`` decides the windows; workers' clocks must agree.
        workers: how many processes share the limits, for when the store is away.
        lease_s: seconds, see :data:`LEASE_S`.
        wire: to the same store, for :meth:`reserve_soon`.

    Raises:
        ConfigError: ``workers`` is not positive.
    """

    def __init__(
        self, store: Store, limits: Iterable[Limit], clock: Clock, *, workers: int = 1, lease_s: float = LEASE_S,
        wire: Wire | None = None,
    ) -> None:  # fmt: skip
        if workers < 1:
            raise ConfigError(f"workers must be at least 1, not {workers}")
        self._limits, self._clock = tuple(limits), clock
        self._line = Line(store, self._tell_again, wire)
        self._leases = Leases(self._line, clock, lease_s)
        self._shared, self._workers = store.shared, workers
        self._shares: dict[str, Share] = defaultdict(lambda: Share(workers))
        self.limits_on = lru_cache(_CALLS_REMEMBERED)(lambda call: limits_on(call, self._limits))
        """The rows a call falls under."""

    def reserve(self, call: Call, demand: Demand) -> Reservation | Refusal:
        """Set aside what ``call`` may cost at worst, in all its rows at once or in none.

        Raises:
            StoreUnavailable: the store serves this process only and still does not answer.
        """
        wish = self._wish(call, demand)
        try:
            answer = self._line.step(call.tenant, wish.op)
        except StoreUnavailable:
            return self._reserve_share(wish)
        return self._answered(wish, answer)

    async def reserve_soon(self, call: Call, demand: Demand, more: int = 0) -> Reservation | Refusal:
        """:meth:`reserve` on the event loop. Not to be cancelled: what was set aside must be settled.

        Args:
            more: further calls like this one for which to set aside as well, where there is much room.

        Raises:
            StoreUnavailable: as :meth:`reserve`.
        """
        wish = self._wish(call, demand, more)
        try:
            answer = await self._line.asked(call.tenant, wish.op)
        except StoreUnavailable:
            return self._reserve_share(wish)
        return self._answered(wish, answer)

    def settle(self, reservation: Reservation, spent: Demand) -> None:
        """The call is over: what it did not spend goes back. Sent with the next reservation, or by :meth:`tick`.

        Settling twice changes nothing; what was spent above the reservation is charged too.
        """
        self.finish(reservation, {counted.row: spent.units(counted.limit.measure) for counted in reservation.limits})

    def finish(self, reservation: Reservation, spent: dict[str, int]) -> None:
        """:meth:`settle`, in units by row."""
        if not self._leases.end(reservation):
            return
        tenant = reservation.call.tenant
        if self._shared:
            self._shares[tenant].settle(reservation.id, spent)
        if reservation.local:
            self._line.later(tenant, self._charge_op(reservation, spent))
        else:
            self._line.later(tenant, {"op": "settle", "id": reservation.id, "spent": spent})

    def give_back(self, reservation: Reservation, units: dict[str, int]) -> None:
        """Of what is set aside, so much is not needed any more. Sent as a settlement is."""
        tenant, back = reservation.call.tenant, {row: n for row, n in units.items() if n > 0}
        if self._shared:
            self._shares[tenant].lessen(reservation.id, back)
        if back and not reservation.local:
            self._line.later(tenant, {"op": "lessen", "id": reservation.id, "back": back})

    def tick(self) -> None:
        """Send settlements that wait, renew leases, end those that are over. Does nothing while the store is away."""
        self._leases.renew()
        for tenant in self._leases.sweep():
            self._shares[tenant].used(self._clock.now())  # forgets what does not count any more
        self.flush()

    def flush(self) -> None:
        """Send the settlements that wait, if the store answers."""
        for tenant in self._line.waiting:
            try:
                self._line.step(tenant)
            except StoreUnavailable:
                return

    def rows(self, call: Call) -> tuple[Row, ...]:
        """The rows a call falls under as they stand now, without asking for anything.

        Raises:
            StoreUnavailable: the store does not answer.
        """
        limits, hash_ = self.limits_on(call), self._line.read(call.tenant)
        now = self._clock.now()
        return rows_of(call, limits, (hash_.get(f"w:{counted.row}", "") for counted in limits), NOTHING, now)

    def close(self) -> None:
        """Send what waits and stop; legal twice. Reservations that are open end with their leases."""
        self.flush()
        self._line.close()

    def _answered(self, wish: _Wish, answer: list[str]) -> Reservation | Refusal:
        word, more, *states = answer
        call, demand, limits, now = wish.call, wish.demand, wish.limits, wish.now
        if word != OK:
            return refusal(call, demand, limits, states, now, local=False)
        if self._shared:
            self._shares[call.tenant].count(wish.op, int(more))
        return self._leases.begin(Reservation(wish.op["id"], call, demand, limits, tuple(states), now, more=int(more)))

    def _reserve_share(self, wish: _Wish) -> Reservation | Refusal:
        if not self._shared:
            raise StoreUnavailable("the store of this process does not answer")
        call, demand, op, now = wish.call, wish.demand, wish.op, wish.now
        # in case the step was made and only its answer was lost
        self._line.later(call.tenant, {"op": "settle", "id": op["id"], "spent": {}})
        word, _, *states = self._shares[call.tenant].reserve(op)
        happenings.emit(told.QUOTA_LOCAL, tenant=call.tenant, agent=call.agent, admitted=word == OK)
        share = tuple(replace(counted, units=counted.units // self._workers) for counted in wish.limits)
        if word != OK:
            return refusal(call, demand, share, states, now, local=True)
        return self._leases.begin(Reservation(op["id"], call, demand, share, tuple(states), now, local=True))

    def _tell_again(self, tenant: str) -> None:
        """The store lost its rows: charge what this process has used."""
        used = self._shares[tenant].used(self._clock.now())
        happenings.emit(told.QUOTA_LOST, tenant=tenant, rows=len(used))
        asks = [
            {"row": name, "keep": row.keep, "slot": slot, "until": row.until, "n": n}
            for name, row in used.items()
            for slot, n in sorted(row.slots.items())
        ]
        self._line.later(tenant, {"op": "charge", "rows": asks})

    def _wish(self, call: Call, demand: Demand, more: int = 0) -> _Wish:
        limits, now = self.limits_on(call), self._clock.now()
        rows = _asks(limits, [demand.units(counted.limit.measure) for counted in limits], now)
        op = {"op": "reserve", "id": secrets.token_hex(8), "lease": self._leases.until(now), "more": more, "rows": rows}
        return _Wish(call, demand, limits, op, now)

    def _charge_op(self, reservation: Reservation, spent: dict[str, int]) -> Op:
        units = [spent[counted.row] for counted in reservation.limits]
        return {"op": "charge", "rows": _asks(reservation.limits, units, self._clock.now())}


def _asks(limits: Iterable[Counted], units: Iterable[int], now: float) -> list[dict[str, Any]]:
    asks = []
    for counted, n in zip(limits, units, strict=True):
        place = place_of(counted.limit, now)
        ask = {"row": counted.row, "limit": counted.units, "n": n}
        asks.append(ask | {"keep": place.keep, "slot": place.slot, "until": place.until})
    return asks
