"""The service *gateway*: wiring, and nothing else."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from fusebox.certificates import Tls
from fusebox.clock import system_clock
from fusebox.config import Config
from fusebox.http_server import HttpServer
from fusebox.lifecycle import serve
from fusebox.ports import address, bind, port_of
from fusebox.rundir import announce, withdraw
from gateway.http import Wire, afford_connections
from gateway.listening import host_of, shown
from gateway.parts import assemble, quota_of
from gateway.selftest import self_test
from gateway.settings import GatewaySettings, load_settings
from gateway.upstream import Upstream
from governance.registry import load_registry
from rabbitmq.runtime import Runtime


class Gateway:
    """A :class:`fusebox.lifecycle.Service`.

    Args:
        runtime: what every process of agents has; started and stopped with the gateway.
    """

    def __init__(self, settings: GatewaySettings, runtime: Runtime) -> None:
        self._settings, self._runtime = settings, runtime
        self._patience = 5.0
        self._resources = contextlib.ExitStack()
        self.url = ""

    def start(self) -> None:
        """Test the guards, listen, announce the port.

        Raises:
            ConfigError: a setting or a credential is missing or wrong.
            SelfTestFailed: a guard let through what it must stop.
            PortInUse: the port is taken.
        """
        config = self._runtime.config
        host = host_of(config, self._settings)
        self_test(self._settings, config)
        afford_connections()
        with contextlib.ExitStack() as resources:
            sock = bind(host, config.gateway_port, "gateway_port")
            port = port_of(sock)
            resources.callback(lambda: self._runtime.stop(self._patience))
            self._runtime.start()
            parts = assemble(self._settings, self._runtime, Upstream())
            parts.means.ledger.judge.start()
            resources.callback(lambda: parts.means.ledger.judge.stop(self._patience))
            resources.callback(lambda: parts.means.quota.stop(self._patience))
            parts.means.quota.start()
            parts.means.seats.start(parts.keys.agents())
            resources.callback(parts.means.seats.stop)
            server = _server(self._settings, parts.door)
            resources.callback(lambda: server.stop(self._patience))
            server.start(sock)
            self.url = f"{'https' if self._settings.tls else 'http'}://{address(shown(host), port)}"
            announce(config.data_dir, "gateway", url=self.url)
            resources.callback(withdraw, config.data_dir, "gateway")
            self._resources = resources.pop_all()

    def stop(self, timeout: float = 10.0) -> None:
        """Take the announcement back, let running calls finish for a moment, end. Legal before start and twice."""
        self._patience = timeout / 3
        self._resources.close()


def check(config: Config) -> str:
    """Read the settings and try every guard; what would be served, in a sentence.

    Raises:
        ConfigError: as :meth:`Gateway.start`.
        SelfTestFailed: as :meth:`Gateway.start`.
    """
    settings = load_settings(config.gateway_file)
    host_of(config, settings)
    quota_of(settings, config, load_registry(config.agents_file), system_clock())  # the self-test has its own limits
    _server(settings, lambda *_: None)  # and no certificate
    self_test(settings, config)
    counted = f"{len(settings.models)} models of {len(settings.providers)} providers and {len(settings.tools)} tools"
    return f"{config.gateway_file} is in order: {counted}; every guard denied what it must"


def _server(settings: GatewaySettings, door: Callable[..., Any]) -> HttpServer:
    """
    Raises:
        ConfigError: a certificate or key cannot be used.
    """
    tls = settings.tls
    return HttpServer(door, Wire, lifespan=True, tls=Tls(**tls.model_dump()) if tls else None)


def main(config: Config) -> None:
    """Run until SIGTERM."""
    serve(Gateway(load_settings(config.gateway_file), Runtime.from_config(config, name="gateway")))
