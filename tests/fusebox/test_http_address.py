"""Where a connection goes that an address asks for."""

from urllib.parse import urlsplit

import pytest

from fusebox.http_address import connection_to


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("https://[2001:db8::12]/v1", "2001:db8::12", 443),
        ("http://[::1]", "::1", 80),
        ("http://[::1]:4320", "::1", 4320),
        ("https://watch.example", "watch.example", 443),
    ],
)
def test_a_port_that_is_not_said_is_the_scheme_s_own(url: str, host: str, port: int) -> None:
    connection = connection_to(urlsplit(url), 1.0)
    assert (connection.host, connection.port) == (host, port)
