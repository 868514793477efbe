"""ClickHouse over HTTP, at an address that an operator wrote: a server, or the SQL port of *keep*."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.httputil import default_pool_manager

from fusebox.config import is_loopback
from fusebox.errors import ConfigError


def client_of(url: str, setting: str, **options: Any) -> Client:
    """A client; ``options`` are the driver's.

    Args:
        setting: where the address stands, for the text of an error.

    Raises:
        ConfigError: it is no http(s) address; the text does not repeat it, because it may hold a password.
        ClickHouseError: nobody answers there.
    """
    options["autogenerate_session_id"] = False
    try:
        scheme = _scheme(url)
        if scheme == "https":  # the driver would look at the port only, and send the password in the clear
            options["interface"] = scheme
        elif is_loopback(url):  # a proxy from the environment does not lead back to us, and must not see the token
            options["pool_mgr"] = default_pool_manager()
        return clickhouse_connect.get_client(dsn=url, **options)
    except ValueError:  # its text quotes parts of the address
        raise ConfigError(
            f"{setting} is not an http(s) address; write special characters of a password as %XX"
        ) from None


def _scheme(url: str) -> str:
    """Raises: ValueError: it is no http(s) address."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
        raise ValueError("address")
    return parts.scheme
