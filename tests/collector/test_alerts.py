"""Alerts reach people: signed, once, through restarts, and never into places they must not go."""

import http.server
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from collector.alerts import sinks
from collector.alerts.alert import Alert
from collector.alerts.outbox import Outbox
from collector.alerts.sinks import Fate, LogSink, Outcome, WebhookSink, is_public
from fusebox.clock import SystemClock
from fusebox.control import ControlClient
from fusebox.errors import ConfigError
from fusebox.webhooks import new_secret, verify
from tests.fixtures.collector import StartRoles, until

SECRET = new_secret()
ALERT = Alert("alert_1", "circuit.opened", "2026-01-01T00:00:00.000Z", {"agent": "bot"})


class Receiver(http.server.ThreadingHTTPServer):
    """A webhook receiver that answers as told and keeps what it got."""

    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[tuple[int, dict[str, str], bytes]] = []
        self.slow: float = 0.0
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook?tenant=1"

    def close(self) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join(5)

    def verified(self) -> list[str]:
        return [verify([SECRET], headers, body, now=time.time()) for headers, body in self.got]


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.got.append((dict(self.headers), body))
        status, headers, content = self.server.answers.pop(0) if self.server.answers else (204, {}, b"")
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        for start in range(0, len(content), 1024 if self.server.slow else 1 << 20):
            time.sleep(self.server.slow)
            try:
                self.wfile.write(content[start : start + (1024 if self.server.slow else 1 << 20)])
            except OSError:
                return

    def log_message(self, format: str, *args: Any) -> None:
        return


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    yield server
    server.close()


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Callable[..., Outbox]]:
    started: list[Outbox] = []

    def start(*made: sinks.Sink, told: Callable[[str, str, Outcome], None] = lambda *_: None) -> Outbox:
        box = Outbox(tmp_path / "alerts", made, SystemClock(), told)
        started.append(box)
        box.start()
        return box

    yield start
    for box in started:
        box.stop(5)


def webhook(receiver: Receiver, **more: Any) -> WebhookSink:
    return WebhookSink(receiver.url, SECRET, SystemClock(), **{"private": True, "timeout": 5.0, **more})


def test_an_alert_arrives_signed_and_leaves_nothing_behind(receiver: Receiver, outbox: Callable[..., Outbox]) -> None:
    ends: list[tuple[str, str, Fate]] = []
    box = outbox(webhook(receiver), told=lambda id, sink, outcome: ends.append((id, sink, outcome.fate)))
    started = time.monotonic()
    box.put(ALERT)
    until(lambda: ends == [("alert_1", "webhook", Fate.DELIVERED)], "delivered", 5)
    assert time.monotonic() - started < 2
    assert receiver.verified() == ["alert_1"]
    headers, body = receiver.got[0]
    assert json.loads(body) == {"type": ALERT.type, "timestamp": ALERT.timestamp, "data": ALERT.data}
    assert headers["content-type"] == "application/json"
    assert box.counts() == {"pending": 0, "delivered": 1, "failed": 0}


def test_a_dead_sink_delays_no_other(receiver: Receiver, outbox: Callable[..., Outbox], tmp_path: Path) -> None:
    port = _free_port()
    dead = WebhookSink(f"http://127.0.0.1:{port}/", SECRET, SystemClock(), private=True)
    box = outbox(dead, LogSink(tmp_path / "alerts.log"))
    box.put(ALERT)
    until((tmp_path / "alerts.log").exists, "the log has it", 5)
    assert json.loads((tmp_path / "alerts.log").read_text())["id"] == "alert_1"
    until(lambda: box.counts() == {"pending": 1, "delivered": 1, "failed": 0}, "the webhook's waits", 5)


def test_a_receiver_that_is_busy_gets_it_again_under_the_same_id(
    receiver: Receiver, outbox: Callable[..., Outbox]
) -> None:
    receiver.answers = [(503, {}, b""), (302, {"location": "http://127.0.0.1:1/"}, b"")]
    box = outbox(webhook(receiver))
    box.put(ALERT)
    until(lambda: box.counts()["delivered"] == 1, "delivered", 10)
    assert receiver.verified() == ["alert_1"] * 3


def test_one_refused_alert_does_not_hold_up_the_next(receiver: Receiver, outbox: Callable[..., Outbox]) -> None:
    receiver.answers = [(400, {}, b"")]
    box = outbox(webhook(receiver))
    box.put(ALERT)
    until(lambda: receiver.got, "refused", 5)
    box.put(Alert("alert_2", ALERT.type, ALERT.timestamp, {}))
    until(lambda: "alert_2" in receiver.verified(), "the next one passed", 1)
    until(lambda: box.counts() == {"pending": 0, "delivered": 2, "failed": 0}, "both delivered", 10)


def test_410_ends_it_for_good(receiver: Receiver, outbox: Callable[..., Outbox]) -> None:
    receiver.answers = [(410, {}, b"")]
    box = outbox(webhook(receiver))
    box.put(ALERT)
    until(lambda: box.counts()["failed"] == 1, "given up", 5)
    box.put(ALERT)
    box.put(Alert("alert_2", ALERT.type, ALERT.timestamp, {}))
    until(lambda: box.counts()["failed"] == 2, "the sink is off", 5)
    assert len(receiver.got) == 1


def test_what_waits_survives_and_a_damaged_file_is_set_aside(
    receiver: Receiver, outbox: Callable[..., Outbox], tmp_path: Path
) -> None:
    port = _free_port()
    first = outbox(WebhookSink(f"http://127.0.0.1:{port}/", SECRET, SystemClock(), private=True))
    first.put(ALERT)
    first.stop(5)
    (tmp_path / "alerts" / "webhook" / "alert_0.json").write_text('{"id": "alert_0"')
    second = outbox(webhook(receiver))
    until(lambda: second.counts() == {"pending": 0, "delivered": 1, "failed": 1}, "delivered", 5)
    assert receiver.verified() == ["alert_1"]


class TestWhereItMayGo:
    @pytest.mark.parametrize(
        "address",
        [
            "127.0.0.1", "10.1.2.3", "192.168.0.1", "169.254.169.254", "0.0.0.0", "100.64.0.1", "224.0.0.1",
            "::1", "fe80::1%eth0", "fd00::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1",
            "2002:7f00:1::", "ff02::1", "::",
        ],
    )  # fmt: skip
    def test_private_addresses_are_known_in_every_spelling(self, address: str) -> None:
        assert not is_public(address)

    @pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700:4700::1111", "::ffff:1.1.1.1"])
    def test_public_ones_too(self, address: str) -> None:
        assert is_public(address)

    def test_a_private_receiver_is_not_even_called(self, receiver: Receiver) -> None:
        outcome = webhook(receiver, private=False).deliver(ALERT)
        assert outcome.fate is Fate.RETRY
        assert "alert_webhook_private" in outcome.detail
        assert receiver.got == []

    @pytest.mark.parametrize("url", ["ftp://example.com", "http://", "example.com", "http://jo:pw@example.com/"])
    def test_an_address_that_is_none_is_refused_at_start(self, url: str) -> None:
        with pytest.raises(ConfigError, match="alert_webhook_url"):
            WebhookSink(url, SECRET, SystemClock())

    def test_a_huge_answer_is_not_read_to_its_end(self, receiver: Receiver) -> None:
        receiver.answers = [(200, {}, b"x" * (20 << 20))]
        assert webhook(receiver).deliver(ALERT).fate is Fate.DELIVERED

    def test_an_answer_that_trickles_ends_at_the_deadline(self, receiver: Receiver) -> None:
        receiver.answers, receiver.slow = [(200, {}, b"x" * 60_000)], 0.2
        started = time.monotonic()
        outcome = webhook(receiver, timeout=0.5).deliver(ALERT)
        assert time.monotonic() - started < 3
        assert outcome.fate is not Fate.DELIVERED or outcome.detail == "200"


def test_a_trip_is_told_once_though_the_receiver_was_down_and_watch_killed(roles: StartRoles) -> None:
    port = _free_port()
    running = roles(
        "watch",
        env={
            "FUSEBOX_ALERT_WEBHOOK_URL": f"http://127.0.0.1:{port}/", "FUSEBOX_ALERT_WEBHOOK_SECRET": SECRET,
            "FUSEBOX_ALERT_WEBHOOK_PRIVATE": "true",
        },
    )  # fmt: skip
    transition = {
        "agent": "bot", "before": "closed", "after": "open", "time": time.time(), "reason": "loop",
        "actor": "detector:cycle", "finding": None, "tenant": "default", "id": "trn_1",
    }  # fmt: skip
    pid = running.info("watch")["pid"]
    client = ControlClient(running.info("watch")["url"], running.token())
    client.send("reports", {"process": "p1", "transition": transition})
    os.kill(pid, signal.SIGKILL)
    until(lambda: running.info("watch")["pid"] != pid, "watch is back")
    operator = ControlClient(running.info("watch")["url"], running.token("operator"))
    assert operator.board()["alerts"]["pending"] == 1
    receiver = Receiver(port)
    try:
        until(lambda: receiver.got, "told", 15)
        until(lambda: operator.board()["alerts"]["pending"] == 0, "settled", 5)
        assert receiver.verified() == ["alert_trn_1"]
    finally:
        receiver.close()


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def test_an_alert_that_cannot_be_signed_holds_up_no_other(receiver: Receiver, outbox: Callable[..., Outbox]) -> None:
    box = outbox(webhook(receiver))
    box.put(replace(ALERT, id="alert_a:b"))
    box.put(replace(ALERT, id="alert_2"))
    until(lambda: receiver.got, "the second one arrived", 5)
    assert receiver.verified() == ["alert_2"]


def test_a_disk_that_fails_after_a_delivery_does_not_end_a_sink(
    receiver: Receiver, outbox: Callable[..., Outbox], monkeypatch: pytest.MonkeyPatch
) -> None:
    box = outbox(webhook(receiver))
    with monkeypatch.context() as patched:
        patched.setattr("collector.alerts.outbox.sync_dir", _fails)
        box.put(ALERT)
        until(lambda: receiver.got, "delivered", 5)
    box.put(replace(ALERT, id="alert_2"))
    until(lambda: "alert_2" in receiver.verified(), "the next one arrives all the same", 10)


def _fails(_folder: Path) -> None:
    raise OSError(5, "input/output error")
