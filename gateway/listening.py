"""Where the gateway listens: on this machine, or with TLS for others, who all need a key or a certificate."""

from __future__ import annotations

from typing import Final

from fusebox.config import LOOPBACK, Config
from fusebox.errors import ConfigError
from gateway.settings import GatewaySettings

_ANY: Final = frozenset({"0.0.0.0", "::"})


def host_of(config: Config, settings: GatewaySettings) -> str:
    """The address to bind to.

    Raises:
        ConfigError: others could reach it, and keys would pass in the clear.
    """
    host = config.gateway_host or config.host
    if not is_local(config) and settings.tls is None:
        raise ConfigError(
            f"{host!r} would open the gateway to the network without TLS: give gateway.toml a section [tls], keep a "
            "loopback address, or set behind_loopback_publish = true when a container publishes the port on 127.0.0.1"
        )
    return host


def is_local(config: Config) -> bool:
    """True when only this machine reaches it."""
    return (config.gateway_host or config.host) in LOOPBACK or config.behind_loopback_publish


def shown(host: str) -> str:
    """The address as other programs of this machine reach it."""
    return "127.0.0.1" if host in _ANY else host
