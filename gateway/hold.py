"""Holds: what is set aside for one call, and what of it was used in the end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from http import HTTPStatus
from types import TracebackType
from typing import Any, Final, Generic, TypeVar

from fusebox.usage import Usage
from gateway.denied import Denied
from gateway.http import Header, Reply
from gateway.limits import NOTHING, Call, Demand, Grants, Meter, Part, Refusal
from gateway.limits.meter import More
from gateway.meter import Metered
from gateway.upstream import Target

_TOLD: Final = ("name", "limit", "used", "held", "expired", "since", "reset_s", "ledger")
"""What a refusal says of each row."""

H = TypeVar("H")
Price = Callable[[Usage, Target, str], Decimal]
"""What tokens cost that a target served, at a service tier."""


class Toll:
    """Of a tool call, which is one request."""

    left = False
    """True once it may have reached its system; what never left is not counted."""

    @property
    def spent(self) -> Demand:
        """What it counts as."""
        return Demand() if self.left else NOTHING


class Hold:
    """Of a model call.

    Args:
        worst: what it may use.
        price: of what it used.
        more: sets output tokens aside beyond that; None where nobody counts them.
        told: of the refusal to do so, once there was one: the rows behind it.
    """

    def __init__(self, worst: Demand, price: Price, more: More | None, told: Mapping[str, Any]) -> None:
        self._worst, self._price = worst, price
        self._stream = Meter(worst.output_tokens, more) if more is not None else None
        self._spent: Demand | None = None
        self.told = told
        self.answered = 0
        """Output tokens of the attempt that had most; 0 while none was sent."""

    @property
    def sent(self) -> bool:
        """True once an attempt left."""
        return self._spent is not None

    @property
    def spent(self) -> Demand:
        """What its attempts used; the call is one request as soon as one of them left, whatever came of it."""
        return self._spent or NOTHING

    async def reach(self, told: int, size: int) -> bool:
        """As :meth:`gateway.limits.Meter.reach`, of an answer under way."""
        return self._stream is None or await self._stream.reach(told, size)

    def used(self, metered: Metered | None, target: Target) -> None:
        """An attempt that left is over; it used nothing where its upstream refused it."""
        usage, _, tier = metered or Metered(Usage(), estimated=False)
        worst = self._worst
        before = self._spent or Demand(requests=worst.requests)
        self.answered = max(self.answered, usage.output_tokens)
        try:
            usd = self._price(usage, target, tier)
        except Denied:  # a usage that nobody can price costs what was set aside
            usd = worst.usd
        self._spent = Demand(
            before.input_tokens + usage.input_tokens, before.output_tokens + usage.output_tokens, before.usd + usd,
            before.requests,
        )  # fmt: skip


def _nothing() -> None:
    """Nothing to learn."""


class Around(Generic[H]):
    """Around one call: what is set aside is settled however it ends, and learned from when it went well."""

    __slots__ = ("_hold", "_learn", "_settle")

    def __init__(self, hold: H, settle: Callable[[], None], learn: Callable[[], None] = _nothing) -> None:
        self._hold, self._settle, self._learn = hold, settle, learn

    def __enter__(self) -> H:
        return self._hold

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._settle()
        if kind is None:
            self._learn()


def split(spent: Demand, aside: Sequence[Demand]) -> Iterator[Demand]:
    """What was spent, for each of what was set aside for it; the first has all that the others do not."""
    shares = []
    for part in aside[1:]:
        tokens = min(part.output_tokens, max(0, spent.output_tokens - aside[0].output_tokens))
        usd = min(part.usd, max(Decimal(0), spent.usd - aside[0].usd))
        shares.append(Demand(0, tokens, usd, 0))
        spent = Demand(spent.input_tokens, spent.output_tokens - tokens, spent.usd - usd, spent.requests)
    yield from (spent, *shares)


async def set_aside(grants: Grants, call: Call, demand: Demand, reply: Reply) -> Part:
    """Hold a call's demand until what it spent is settled.

    Raises:
        Denied: 429, too little is left.
    """
    got = grants.take(call, demand) or await _reserved(grants, call, demand)
    if isinstance(got, Refusal):
        raise _refused(got)
    reply.extra += _headers(got.headers())
    return got


async def _reserved(grants: Grants, call: Call, demand: Demand) -> Part | Refusal:
    """What the limits say; given back if the client leaves meanwhile."""
    asking = asyncio.ensure_future(grants.reserve(call, demand))
    try:
        return await asyncio.shield(asking)
    except asyncio.CancelledError:
        asking.add_done_callback(lambda done: _give_back(grants, done))
        raise


def _give_back(grants: Grants, done: asyncio.Task[Part | Refusal]) -> None:
    got = None if done.cancelled() or done.exception() else done.result()
    if isinstance(got, Part):
        grants.settle(got, NOTHING)


def _refused(refusal: Refusal) -> Denied:
    verdict = refusal.verdict
    told = {
        "guard": verdict.guard,
        "rows": [{name: getattr(row, name) for name in _TOLD} for row in refusal.rows],
    }
    passes = refusal.retry_after is not None
    return Denied(
        HTTPStatus.TOO_MANY_REQUESTS, "rate_limit_exceeded" if passes else "insufficient_quota", verdict.reason,
        retry_after=refusal.retry_after, told=told,
        headers=_headers(refusal.headers()),
    )  # fmt: skip


def _headers(told: dict[str, str]) -> tuple[Header, ...]:
    return tuple((name.encode(), value.encode()) for name, value in told.items())
