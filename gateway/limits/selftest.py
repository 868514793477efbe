"""The quota's part of the gateway's self-test: one call that must be refused, through the real store."""

from __future__ import annotations

import secrets
from decimal import Decimal

from fusebox.clock import Clock
from fusebox.guard import allow
from fusebox.records import Verdict
from fusebox.store import Store
from gateway.limits.answers import GUARD, Refusal
from gateway.limits.limiter import Limiter
from gateway.limits.rules import Call, Demand, Limit, Measure, Scope


def self_test(store: Store, clock: Clock) -> Verdict:
    """Ask for two requests where one is allowed, in a tenant of its own; anything but a deny is a broken guard.

    Raises:
        StoreUnavailable: the store does not answer.
    """
    store.ping()
    tenant = f"self-test-{secrets.token_hex(4)}"
    limit = Limit(scope=Scope.TENANT, measure=Measure.REQUESTS, limit=Decimal(1), window_s=60)
    limiter = Limiter(store, [limit], clock)
    try:
        answer = limiter.reserve(Call("self-test", tenant=tenant), Demand(requests=2))
        return answer.verdict if isinstance(answer, Refusal) else allow(GUARD)
    finally:
        limiter.close()
        store.delete(f"fusebox:{tenant}:quota")
