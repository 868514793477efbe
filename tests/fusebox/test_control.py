"""The client of the control API, against a server that says what a test wants."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from fusebox.config import Config
from fusebox.control import ControlClient, ControlRefused
from fusebox.errors import ConfigError, ControlUnavailable
from fusebox.rundir import announce, write_atomic


class Stub(ThreadingHTTPServer):
    """Answers everything with ``answer`` and remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer: tuple[int, bytes] = (200, b"{}")
        self.asked: list[tuple[str, str, str | None, Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Stub

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        asked = (self.command, self.path, self.headers.get("authorization"), json.loads(body) if body else None)
        self.server.asked.append(asked)
        status, raw = self.server.answer
        self.send_response(status)
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    do_GET = do_POST

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def stub() -> Iterator[Stub]:
    with Stub() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def client(stub: Stub) -> ControlClient:
    return ControlClient(stub.url, "tok", timeout=2.0)


def test_each_call_says_what_the_protocol_says(stub: Stub, client: ControlClient) -> None:
    client.board()
    client.kill("agent:a", "why")
    client.resume("all", "why")
    client.trip("a", "why")
    client.reset("a", "why")
    client.mode("a", "disabled", "why")
    client.receipts("cmd/1?")
    client.send("poll", {"cursor": 3}, wait=0.1)
    assert [(method, path) for method, path, _, _ in stub.asked] == [
        ("GET", "/v1/board"),
        ("POST", "/v1/kill"),
        ("POST", "/v1/resume"),
        ("POST", "/v1/trip"),
        ("POST", "/v1/reset"),
        ("POST", "/v1/mode"),
        ("GET", "/v1/receipts/cmd%2F1%3F"),
        ("POST", "/v1/poll"),
    ]
    assert {token for _, _, token, _ in stub.asked} == {"Bearer tok"}
    assert stub.asked[1][3] == {"scope": "agent:a", "reason": "why"}
    assert stub.asked[5][3] == {"agent": "a", "mode": "disabled", "reason": "why"}


def test_a_refusal_carries_status_and_sentence(stub: Stub, client: ControlClient) -> None:
    stub.answer = (403, b'{"error": "operator jo may not kill"}')
    with pytest.raises(ControlRefused, match="operator jo may not kill") as caught:
        client.board()
    assert caught.value.status == 403


@pytest.mark.parametrize(
    "answer",
    [
        (503, b'{"error": "starting"}'),
        (503, b""),
        (200, b"<html>hello</html>"),
        (200, b"[1]"),
        (302, b""),
        (200, b"[" * 9999),
    ],
)
def test_who_is_not_a_ready_watch_is_unavailable(stub: Stub, client: ControlClient, answer: tuple[int, bytes]) -> None:
    stub.answer = answer
    with pytest.raises(ControlUnavailable):
        client.board()


@pytest.mark.parametrize("raw", [b"[]", b"oops", b"null"])
def test_an_error_without_a_sentence_still_is_one(stub: Stub, client: ControlClient, raw: bytes) -> None:
    stub.answer = (500, raw)
    with pytest.raises(ControlRefused, match="HTTP status 500"):
        client.board()


def test_nobody_there_is_unavailable(stub: Stub) -> None:
    gone = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    gone.server_close()
    with pytest.raises(ControlUnavailable, match="does not answer"):
        ControlClient(f"http://127.0.0.1:{gone.server_port}", None).board()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://x",
        "http://",
        "http://h:port",
        "127.0.0.1:4320",
        "http://[::1",
        "ftp://jo:hunter2@h",
        "http://h:hunter2",
    ],
)
def test_an_address_that_is_none_is_a_configuration_error_and_not_repeated(url: str) -> None:
    with pytest.raises(ConfigError, match="control_url") as refused:
        ControlClient(url, None)
    assert "hunter2" not in str(refused.value)


def test_the_local_client_finds_watch_and_the_operators_token(stub: Stub, tmp_path: Path) -> None:
    announce(tmp_path, "watch", url=stub.url)
    write_atomic(tmp_path / "operator.token", "op\n")
    ControlClient.local(Config(data_dir=tmp_path)).board()
    assert stub.asked[0][2] == "Bearer op"


def test_without_a_watch_the_local_client_names_the_fix(tmp_path: Path) -> None:
    with pytest.raises(ControlUnavailable, match="fusebox up"):
        ControlClient.local(Config(data_dir=tmp_path))
