"""Parts: the gateway put together, the same way for serving and for the self-test."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import pybreaker

from fusebox import happenings
from fusebox.clock import Clock
from fusebox.config import Config
from fusebox.metrics import Gauge, render
from fusebox.prices import PriceBook
from fusebox.registry import Registry
from fusebox.rundir import dashboard_page, url_of
from gateway.admission import Admission
from gateway.approving import Approving
from gateway.breaker import Circuit
from gateway.door import Door, Metrics
from gateway.filter import Canaries, OutputFilter
from gateway.flights import Flights, Seats
from gateway.keys import FILE, Keys
from gateway.ledger import Capture, Ledger
from gateway.limits import Scope, refuse_unmatched, registered_limits
from gateway.listening import is_local
from gateway.masking import MaskingSettings, RoutePolicy
from gateway.means import Means
from gateway.models import ModelCalls
from gateway.quota import Quota, quota_store, quota_wire
from gateway.routes import Routes
from gateway.screens import Screens, mask_key
from gateway.settings import GatewaySettings
from gateway.tools import Tools
from gateway.upstream import Upstream
from rabbitmq.runtime import Runtime
from rabbitmq.wiring import url_of_store

if TYPE_CHECKING:
    from gateway.masking.masker import Masker

_NOWHERE: Final = "'fusebox why {agent}'"

GRANT_UNMATCHED: Final = happenings.declare(
    "gateway_grant_unmatched", logging.WARNING,
    "an SQL grant of agents.toml fits no tool that the gateway serves: a slip, unless an agent's own function is meant",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything between a socket and the upstreams."""

    door: Door
    keys: Keys
    means: Means


def assemble(settings: GatewaySettings, runtime: Runtime, upstream: Upstream) -> Parts:
    """Wire a gateway.

    Raises:
        ConfigError: a credential is missing.
    """
    incident = incident_in(runtime.config)
    keys = Keys(runtime.config.data_dir / FILE, runtime.config.tenant)
    routes = Routes(settings, runtime.clock)
    flights, key = Flights(runtime, incident), mask_key(runtime.config.data_dir)
    means = Means(
        seats=Seats(runtime, flights, keys.agents), flights=flights, admission=Admission(runtime, incident),
        approving=Approving(runtime),
        screens=screens_of(settings, runtime, key),
        quota=quota_of(settings, runtime.config, runtime.registry, runtime.clock),
        ledger=Ledger(runtime, capture_of(settings, runtime, key)), upstream=upstream, max_body=settings.max_body_bytes,
    )  # fmt: skip
    models = ModelCalls(routes, means)
    tools = Tools(settings.tools, routes.providers, settings.circuit, runtime.clock, means)
    circuits = [*routes.circuits(), *tools.circuits()]

    async def end() -> None:
        means.quota.hang_up()
        await upstream.close()

    metrics = Metrics(lambda: render(_gauges(flights, circuits)), anybody=is_local(runtime.config))
    door = Door(keys, routes, models, tools, runtime.audit.ruled, metrics, end)
    return Parts(door, keys, means)


def _gauges(flights: Flights, circuits: Iterable[Circuit]) -> Iterator[Gauge]:
    yield Gauge("gateway_calls", "calls under way", flights.count())
    for circuit in circuits:
        closed = circuit.state == pybreaker.STATE_CLOSED
        yield Gauge(
            "gateway_upstream_open", "1 while an upstream is left alone", not closed, {"upstream": circuit.name}
        )


def quota_of(settings: GatewaySettings, config: Config, registry: Registry, clock: Clock) -> Quota:
    """The limits of ``gateway.toml`` and the budgets of the registry.

    Raises:
        ConfigError: a limit that could never count, a bad price, or an address of Redis that the gateway does not know.
    """
    limits = (*settings.limits, *registered_limits(registry))
    refuse_unmatched(limits, _known(settings, config, registry))
    url, prices = url_of_store(config), PriceBook.load(config.prices_file)
    return Quota(limits, quota_store(url), clock, prices, workers=settings.workers, wire=quota_wire(url))


def _known(settings: GatewaySettings, config: Config, registry: Registry) -> dict[Scope, set[str]]:
    """What a limit can be on; runs of workflows name themselves."""
    agents, entries = registry.agents, Keys(config.data_dir / FILE, config.tenant).entries().values()
    return {
        Scope.AGENT: {*agents, *(entry.agent for entry in entries)}, Scope.MODEL: set(settings.models),
        Scope.TEAM: {*(agent.team for agent in agents.values()), *(entry.team for entry in entries)} - {""},
        Scope.TENANT: {config.tenant},
    }  # fmt: skip


def screens_of(settings: GatewaySettings, runtime: Runtime, key: bytes) -> Screens:
    """Masking and the filter, where the settings have their sections."""
    _tell_unmatched(settings, runtime.registry)
    masker = _masker(settings.masking, key) if settings.masking is not None else None
    output = OutputFilter(settings.filter, runtime.registry) if settings.filter is not None else None
    return Screens(masker, output, Canaries(key) if settings.plant_canaries else None, runtime.audit.ruled)


def _tell_unmatched(settings: GatewaySettings, registry: Registry) -> None:
    """Tell of SQL grants for tools that are not served here; a function that an agent has of its own may be meant."""
    served = [*settings.tools, *(name for name, each in settings.providers.items() if each.passthrough)]
    granted = {grant.tool for entry in registry.agents.values() for grant in entry.sql} - {"*"}
    for tool in sorted(granted) if settings.filter is not None else ():
        if not any(fnmatchcase(name, tool) for name in served):
            happenings.emit(GRANT_UNMATCHED, tool=tool, served=served)


def _masker(settings: MaskingSettings, key: bytes) -> Masker:
    from gateway.masking.masker import Masker  # seconds, and a hundred megabytes, that others do not pay

    return Masker(settings, key)


def capture_of(settings: GatewaySettings, runtime: Runtime, key: bytes) -> Capture | None:
    """What masks content for spans, with everything found replaced; None unless ``capture_content`` is set."""
    if not runtime.capture_content:
        return None
    every = (settings.masking or MaskingSettings()).model_copy(update={"routes": {"*": RoutePolicy()}})
    masker = _masker(every, key)
    return lambda text: str(masker.session("capture").mask(text).value or "")


def incident_in(config: Config) -> Callable[[str], str]:
    """Where people read about a stopped agent: its tile on the dashboard, else the board, else a command."""

    def incident(agent: str) -> str:
        dashboard = dashboard_page(config.data_dir)
        if dashboard is not None:
            return f"{dashboard}/board?find={quote(agent, safe='')}"
        watch = url_of(config, "watch", "control_url")
        return f"{watch}/v1/board" if watch else _NOWHERE.format(agent=agent)

    return incident
