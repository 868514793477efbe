"""What is sent to RabbitMQ's management, and to whom."""

import base64
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from fusebox.errors import BrokerUnavailable, ConfigError
from rabbitmq.management import Management
from tests.fixtures.authority import Authority
from tests.fixtures.secured import Secured

_PASSWORD = "Basic " + base64.b64encode(b"admin:hunter2").decode()


class Standin(ThreadingHTTPServer):
    """Knows of no permissions; with ``leads`` it sends everybody there instead."""

    def __init__(self, leads: str = "") -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.leads, self.seen = leads, list[tuple[str, str | None]]()


class _Answer(BaseHTTPRequestHandler):
    server: Standin

    def do_GET(self) -> None:
        self.server.seen.append((self.path, self.headers["authorization"]))
        self.send_response(302 if self.server.leads else 200)
        self.send_header("location", self.server.leads)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"[]")

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def serving(server: Standin) -> Iterator[Standin]:
    with server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_an_ipv6_address_is_told_as_it_is_written() -> None:
    with pytest.raises(BrokerUnavailable, match=r"\[::1\]:1 "):
        Management("http://admin:hunter2@[::1]:1").permissions()


def test_nobody_leads_the_password_elsewhere() -> None:
    with serving(Standin()) as elsewhere:
        there = f"http://127.0.0.1:{elsewhere.server_port}/api/permissions"
        with serving(Standin(leads=there)) as rabbit, pytest.raises(ConfigError, match="302"):
            Management(f"http://admin:hunter2@127.0.0.1:{rabbit.server_port}").permissions()
    assert elsewhere.seen == []


def test_over_https_only_who_is_believed_gets_the_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority(tmp_path, "authority")
    with serving(Standin()) as rabbit:
        behind = f"http://admin:hunter2@127.0.0.1:{rabbit.server_port}"
        with Secured(behind, authority.issue("rabbit")) as secured:
            with pytest.raises(BrokerUnavailable, match="SSL_CERT_FILE"):
                Management(secured.url).permissions()
            assert rabbit.seen == []
            monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
            assert Management(secured.url).permissions() == []
    assert rabbit.seen == [("/api/permissions", _PASSWORD)]


@pytest.mark.parametrize("place", ["127.0.0.1:1/hunter2 b", "127.0.0.1:hunter2", "[::1/hunter2", "hunter2 b:1"])
def test_an_address_that_cannot_be_asked_is_not_repeated(place: str) -> None:
    with pytest.raises(ConfigError, match="cannot be read") as refused:
        Management(f"http://admin:hunter2@{place}")
    assert "hunter2" not in str(refused.value)
