"""Rate limits and token quotas: reserve the worst case, settle what was spent, get the difference back.

::

    limiter = Limiter(store, limits, clock, workers=3)
    learner = Learner()

    got = limiter.reserve(Call("ticket-helper", team="support", model="gpt-5-mini", workflow=run), worst_case(
        len(body), asked_max_tokens or learner.output("ticket-helper", "gpt-5-mini"), price=price))
    if isinstance(got, Refusal):       # 429 with got.headers(); got.verdict, got.rows say why
        ...
    meter = got.meter()                # for a stream: go on while meter.feed(total=…) is True
    limiter.settle(got, Demand(usage.input_tokens, usage.output_tokens, cost))
    limiter.refund(got)                # instead, when nothing was sent to the provider

    limiter.tick()                     # every second, from one task or thread of each process
    limiter.close()                    # at the end

``reserve`` is one round trip to the store (``reserve_soon`` the same on an event loop); ``settle`` and ``refund`` make
none. With :class:`Grants` before a limiter few calls make one. Rates and budgets are rules of
:mod:`gateway.limits.rules`, rows are explained in :mod:`gateway.limits.rows`, the atomic step in
:mod:`gateway.limits.steps`.
"""

from gateway.limits.answers import GUARD, Refusal, Reservation
from gateway.limits.estimate import DEFAULT_OUTPUT, Learner, worst_case
from gateway.limits.grants import Grants, Part
from gateway.limits.limiter import LEASE_S, Limiter
from gateway.limits.meter import Meter
from gateway.limits.rows import Row
from gateway.limits.rules import (
    NOTHING,
    Budget,
    Call,
    Demand,
    Limit,
    Measure,
    Scope,
    refuse_unmatched,
    registered_limits,
)
from gateway.limits.selftest import self_test
from gateway.limits.wire import Wire

__all__ = [
    "DEFAULT_OUTPUT",
    "GUARD",
    "LEASE_S",
    "NOTHING",
    "Budget",
    "Call",
    "Demand",
    "Grants",
    "Learner",
    "Limit",
    "Limiter",
    "Measure",
    "Meter",
    "Part",
    "Refusal",
    "Reservation",
    "Row",
    "Scope",
    "Wire",
    "refuse_unmatched",
    "registered_limits",
    "self_test",
    "worst_case",
]
