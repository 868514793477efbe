"""Ports: taken ones are named together with the setting that moves them."""

import pytest

from fusebox.errors import ConfigError, PortInUse
from fusebox.ports import address, bind, port_of


def test_port_zero_is_any_free_port() -> None:
    with bind("127.0.0.1", 0, "http_port") as sock:
        assert port_of(sock) > 0


def test_a_taken_port_names_its_setting() -> None:
    with bind("127.0.0.1", 0, "http_port") as sock:
        port = port_of(sock)
        with pytest.raises(PortInUse, match=f"port {port} on 127.0.0.1 .*sql_port .FUSEBOX_SQL_PORT"):
            bind("127.0.0.1", port, "sql_port")


def test_an_address_of_another_machine_is_a_configuration_error() -> None:
    with pytest.raises(ConfigError, match="change host or http_port"):
        bind("192.0.2.1", 0, "http_port")


def test_addresses() -> None:
    assert address("127.0.0.1", 1) == "127.0.0.1:1"
    assert address("::1", 1) == "[::1]:1"
