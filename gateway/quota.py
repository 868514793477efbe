"""Quota: what a call may use at worst is set aside before it is made, and given back once its use is known.

:mod:`gateway.limits` counts; this is its place in the door. Without a limit that concerns tokens or money nothing is
written into requests; with one, a request that names no limit of its own is given the one that was reserved.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from decimal import Decimal
from http import HTTPStatus
from typing import Any, Final

from fusebox import happenings
from fusebox.clock import Clock
from fusebox.prices import PriceBook
from fusebox.records import Action
from fusebox.store import MEMORY, MemoryStore, RedisStore, Store
from fusebox.usage import Usage
from gateway.denied import Denied
from gateway.dialects import Ask, Dialect
from gateway.hold import Around, Hold, Toll, set_aside, split
from gateway.http import Reply
from gateway.keys import Identity
from gateway.limits import Call, Demand, Grants, Learner, Limit, Limiter, Measure, Part, Wire, worst_case
from gateway.media_count import media_in
from gateway.upstream import Target

STORE_TIMEOUT_S: Final = 0.25
"""The longest that a call waits for Redis before the process falls back on its own share."""
_TICK_S: Final = 1.0

TICK_FAILED: Final = happenings.declare("quota_tick_failed", logging.ERROR, "the quota's housekeeping raised")


def quota_store(url: str) -> Store:
    """Where the rows live."""
    return MemoryStore() if url == MEMORY else RedisStore(url, timeout=STORE_TIMEOUT_S)


def quota_wire(url: str) -> Wire | None:
    """How calls reach them.

    Raises:
        ConfigError: the address asks for what the gateway does not know.
    """
    return None if url == MEMORY else Wire(url, STORE_TIMEOUT_S)


class Quota:
    """All limits of a gateway.

    Args:
        limits: what operators wrote.
        workers: how many gateways share the limits, for when Redis is away.
        wire: to the same store as ``store``.
    """

    def __init__(
        self, limits: Sequence[Limit], store: Store, clock: Clock, prices: PriceBook, *, workers: int = 1,
        wire: Wire | None = None,
    ) -> None:  # fmt: skip
        limiter = Limiter(store, limits, clock, workers=workers, wire=wire)
        self._grants = Grants(limiter, clock) if limits else None
        self._wire = wire
        self._tokens = any(limit.measure is not Measure.REQUESTS for limit in limits)
        self._money = any(limit.measure is Measure.USD for limit in limits)
        self._learner, self._prices, self._clock = Learner(), prices, clock
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fusebox-gateway-quota", daemon=True)

    # --- lifecycle ------------------------------------------------------------------------------------------------
    def start(self) -> None:
        """Look after leases every second."""
        if self._grants is not None:
            self._thread.start()

    def stop(self, timeout: float = 10.0) -> None:
        """Settle what can be settled. Legal before start and twice."""
        self._stopping.set()
        if self._thread.ident:
            self._thread.join(timeout)
        if self._grants is not None:
            self._grants.close()

    def _run(self) -> None:
        while not self._stopping.wait(_TICK_S):
            try:
                self._grants.tick()  # type: ignore[union-attr]  # the thread runs only with one
            except Exception as error:  # what failed is tried again
                happenings.emit(TICK_FAILED, error=repr(error))

    # --- calls ----------------------------------------------------------------------------------------------------
    async def for_model(
        self, identity: Identity, dialect: Dialect, ask: Ask, action: Action, targets: Sequence[Target], reply: Reply
    ) -> AbstractContextManager[Hold | None]:
        """To be entered around one model call; gives None where no limit is configured.

        Raises:
            Denied: 429: too little is left; 403: a limit in money, and a model without a price, or one in tokens or
                money, and nobody can tell what the request costs.
        """
        if self._grants is None:
            return nullcontext()
        call = _call(identity, action, action.operation)
        worst = Demand()
        if self._tokens:
            _require_bounded(dialect, ask, self._grants, call)
            worst = self._priced(self._worst(identity, dialect, ask), targets, ask.tier)
        chosen = ask.max_tokens is not None  # such a length says nothing about how long answers are by themselves
        aside = _Aside(self._grants, call, reply)
        await aside.take(worst)
        told: dict[str, Any] = {}  # not the hold's own: with it in its hands each call would be garbage in a circle

        async def more(tokens: int) -> bool:
            try:
                await aside.take(self._priced(Demand(0, tokens, requests=0), targets, ask.tier))
            except Denied as denied:
                told.update(denied.told)
                return False
            return True

        def learn() -> None:
            if hold.sent and not chosen:
                self._learner.saw(identity.agent, ask.model, math.ceil(hold.answered / ask.choices))

        hold = Hold(aside.worst, self._price, more if self._tokens else None, told)
        return Around(hold, lambda: aside.settle(hold.spent), learn)

    async def for_tool(self, identity: Identity, action: Action, reply: Reply) -> AbstractContextManager[Toll]:
        """To be entered around one tool call, which is a request and no tokens.

        Raises:
            Denied: 429.
        """
        toll, grants = Toll(), self._grants
        if grants is None:
            return nullcontext(toll)
        part = await set_aside(grants, _call(identity, action, ""), Demand(), reply)
        return Around(toll, lambda: grants.settle(part, toll.spent))

    def hang_up(self) -> None:
        """No more calls will come; on their event loop."""
        if self._wire is not None:
            self._wire.close()

    def _worst(self, identity: Identity, dialect: Dialect, ask: Ask) -> Demand:
        """Tokens to set aside, which the request is held to."""
        ask.held = True
        output = ask.max_tokens
        if output is None:
            output = self._learner.output(identity.agent, ask.model)
            dialect.limit(ask, output)
        return worst_case(len(ask.raw), output, media=media_in(ask.body), choices=ask.choices)

    def _priced(self, demand: Demand, targets: Sequence[Target], tier: str) -> Demand:
        """A demand with its price at the dearest of the targets: at the tier asked for, and not below the usual one,
        which may serve in its place.

        Raises:
            Denied: as :meth:`_price`.
        """
        usage = Usage(demand.input_tokens, demand.output_tokens)
        if not self._money:
            return demand
        return demand._replace(usd=max(self._price(usage, target, at) for target in targets for at in {tier, ""}))

    def _price(self, usage: Usage, target: Target, tier: str) -> Decimal:
        """
        Raises:
            Denied: 403, nobody knows it.
        """
        if not self._money:
            return Decimal(0)
        cost = self._prices.cost_of(usage, target.model, target.adapter.provider, self._clock.now(), tier)
        if cost is None:
            sentence = f"{target.model} has no known price and there is a limit in money; add it to prices_file"
            raise Denied(HTTPStatus.FORBIDDEN, "model_unpriced", sentence)
        return cost.usd


class _Aside:
    """What is set aside for one call: its worst case, and more of it as its answer grows."""

    def __init__(self, grants: Grants, call: Call, reply: Reply) -> None:
        self._grants, self._call, self._reply = grants, call, reply
        self._parts: list[Part] = []

    @property
    def worst(self) -> Demand:
        """What was set aside first."""
        return self._parts[0].demand

    async def take(self, demand: Demand) -> None:
        """
        Raises:
            Denied: 429, too little is left.
        """
        self._parts.append(await set_aside(self._grants, self._call, demand, self._reply))

    def settle(self, spent: Demand) -> None:
        """The call is over."""
        if len(self._parts) == 1:  # as nearly always
            self._grants.settle(self._parts[0], spent)
            return
        for part, share in zip(self._parts, split(spent, [part.demand for part in self._parts]), strict=True):
            self._grants.settle(part, share)


def _call(identity: Identity, action: Action, model: str) -> Call:
    return Call(identity.agent, identity.team, model, action.workflow, identity.tenant)


def _require_bounded(dialect: Dialect, ask: Ask, grants: Grants, call: Call) -> None:
    """
    Raises:
        Denied: 403, what the call costs would be known only when it is too late.
    """
    unbounded = dialect.unbounded(ask)
    if unbounded and grants.bound_cost(call):
        sentence = (
            f"with {unbounded!r} nobody can tell beforehand what the call costs, and a limit in tokens or money holds "
            "for it; leave it out"
        )
        raise Denied(HTTPStatus.FORBIDDEN, "cost_unbounded", sentence, told=dialect.without(unbounded))
