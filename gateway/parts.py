"""Parts: the gateway put together, the same way for serving and for the self-test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from fusebox.config import Config
from fusebox.prices import PriceBook
from fusebox.rundir import lookup, url_of
from gateway.admission import Admission
from gateway.door import Door
from gateway.flights import Flights, Seats
from gateway.keys import FILE, Keys
from gateway.ledger import Ledger
from gateway.limits import Scope, refuse_unmatched, registered_limits
from gateway.models import ModelCalls
from gateway.quota import Quota, quota_store
from gateway.routes import Routes
from gateway.settings import GatewaySettings
from gateway.tools import Tools
from gateway.upstream import Upstream
from rabbitmq.runtime import Runtime
from rabbitmq.wiring import url_of_store

_NOWHERE: Final = "'fusebox why {agent}'"


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything between a socket and the upstreams."""

    door: Door
    keys: Keys
    seats: Seats
    ledger: Ledger
    quota: Quota


def assemble(settings: GatewaySettings, runtime: Runtime, upstream: Upstream) -> Parts:
    """Wire a gateway.

    Raises:
        ConfigError: a credential is missing.
    """
    incident = incident_in(runtime.config)
    keys = Keys(runtime.config.data_dir / FILE, runtime.config.tenant)
    routes = Routes(settings, runtime.clock)
    admission, flights, ledger = Admission(runtime, incident), Flights(runtime, incident), Ledger(runtime)
    seats = Seats(runtime, flights)
    quota = quota_of(settings, runtime, keys)
    models = ModelCalls(routes, upstream, admission, flights, seats, ledger, quota, settings.max_body_bytes)
    tools = Tools(
        settings.tools, settings.circuit, runtime.clock, upstream, admission, flights, seats, ledger,
        quota, settings.max_body_bytes,
    )  # fmt: skip
    return Parts(Door(keys, routes, models, tools, upstream.close), keys, seats, ledger, quota)


def quota_of(settings: GatewaySettings, runtime: Runtime, keys: Keys) -> Quota:
    """The limits of ``gateway.toml`` and the budgets of the registry.

    Raises:
        ConfigError: a limit that could never count, or a bad price.
    """
    limits = (*settings.limits, *registered_limits(runtime.registry))
    known = {Scope.AGENT: {*keys.agents(), *runtime.registry.agents}, Scope.MODEL: set(settings.models)}
    refuse_unmatched(limits, known)
    store = quota_store(url_of_store(runtime.config))
    prices = PriceBook.load(runtime.config.prices_file)
    return Quota(limits, store, runtime.clock, prices, workers=settings.workers)


def incident_in(config: Config) -> Callable[[str, str], str]:
    """Where people read about a stopped agent: its page on the dashboard, else the board, else a command."""

    def incident(agent: str, finding: str) -> str:
        dashboard = lookup(config.data_dir, "dashboard")
        if dashboard is not None:
            return f"{str(dashboard['url']).rstrip('/')}/?agent={agent}" + (f"&finding={finding}" if finding else "")
        watch = url_of(config, "watch", "control_url")
        return f"{watch}/v1/board" if watch else _NOWHERE.format(agent=agent)

    return incident
