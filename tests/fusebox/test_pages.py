"""The pages of a role that serves nothing else."""

import json
import socket
import urllib.error
import urllib.request

import pytest

from fusebox.errors import ConfigError, PortInUse
from fusebox.metrics import Gauge
from fusebox.pages import Pages


def get(pages: Pages, path: str, method: str = "GET") -> tuple[int, str]:
    ask = urllib.request.Request(f"http://127.0.0.1:{pages.port}{path}", method=method)
    try:
        with urllib.request.urlopen(ask, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_they_say_how_the_role_is_and_what_it_counts() -> None:
    troubles: list[str] = []
    pages = Pages("127.0.0.1", 0, "x_port", lambda: "".join(troubles), lambda: [Gauge("water", "how high", 3.0)])
    pages.start()
    try:
        assert get(pages, "/healthz") == (200, '{"ok": true, "reason": ""}')
        troubles.append("it rains")
        assert get(pages, "/healthz?full")[0] == 503
        assert json.loads(get(pages, "/healthz")[1])["reason"] == "it rains"
        status, text = get(pages, "/metrics")
        assert status == 200
        assert "# TYPE fusebox_water gauge\nfusebox_water 3\n" in text
        assert get(pages, "/metrics", "HEAD") == (200, "")
        assert get(pages, "/")[0] == 404
        assert get(pages, "/metrics", "POST")[0] == 501
    finally:
        pages.stop()
    with pytest.raises(OSError, match="refused"):
        get(pages, "/healthz")
    pages.stop()


def test_an_address_that_cannot_be_had_is_named_with_the_setting_that_moves_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(PortInUse, match="x_port"):
        Pages("127.0.0.1", taken.getsockname()[1], "x_port", str, list).start()
    with pytest.raises(ConfigError, match="x_port"):
        Pages("192.0.2.1", 0, "x_port", str, list).start()
