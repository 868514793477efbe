"""Rate limits and token quotas: reserve the worst case, settle what was spent, get the difference back.

::

    grants = Grants(Limiter(store, limits, clock, workers=3, wire=wire), clock)
    learner = Learner()

    call = Call("ticket-helper", team="support", model="gpt-5-mini", workflow=run)
    demand = worst_case(len(body), asked_max_tokens or learner.output("ticket-helper", "gpt-5-mini"))
    got = grants.take(call, demand) or await grants.reserve(call, demand)
    if isinstance(got, Refusal):       # 429 with got.headers(); got.verdict, got.rows say why
        ...
    meter = Meter(demand.output_tokens, more)  # for a stream: go on while await meter.reach(…) is True
    grants.settle(got, Demand(usage.input_tokens, usage.output_tokens, cost))
    grants.settle(got, NOTHING)        # instead, when nothing was sent to the provider

    grants.tick()                      # every second, from one task or thread of each process
    grants.close()                     # at the end

Most calls are taken out of a grant (:mod:`gateway.limits.grants`) and ask nobody; a :class:`Limiter` makes one round
trip to the store for each reservation and none for a settlement. Rates and budgets are rules of
:mod:`gateway.limits.rules`, rows are explained in :mod:`gateway.limits.rows`, the atomic step in
:mod:`gateway.limits.steps`.
"""

from gateway.limits.answers import GUARD, Refusal, Reservation
from gateway.limits.estimate import DEFAULT_OUTPUT, Learner, worst_case
from gateway.limits.grants import Grants, Part
from gateway.limits.leases import LEASE_S
from gateway.limits.limiter import Limiter
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
    "worst_case",
]
