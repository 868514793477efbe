"""Alerts reach people: signed, once, through restarts, and never into places they must not go."""

import ipaddress
import json
import os
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from collector.alerts.outbox import Outbox
from collector.alerts.parcel import Parcel, single
from collector.alerts.sinks import Fate, Outcome, Sink
from collector.alerts.sinks.http import EVERYWHERE, Poster, is_public, is_within
from collector.alerts.sinks.log import LogSink
from collector.alerts.sinks.webhook import WebhookSink
from collector.alerts.waiting import Grouping
from fusebox import log_files
from fusebox.clock import SystemClock
from fusebox.control import ControlClient
from fusebox.errors import ConfigError
from fusebox.webhooks import new_key_pair
from rabbitmq.node_programs import free_ports
from tests.collector.receiver import SECRET, Receiver, alert
from tests.fixtures.authority import Authority
from tests.fixtures.collector import StartRoles, until


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    server = Receiver()
    yield server
    server.close()


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Callable[..., Outbox]]:
    started: list[Outbox] = []

    def start(*sinks: Sink, told: Callable[[str, str, Outcome], None] = lambda *_: None) -> Outbox:
        box = Outbox(tmp_path / "alerts", [(sink, Grouping()) for sink in sinks], SystemClock(), told)
        started.append(box)
        box.start()
        return box

    yield start
    for box in started:
        box.stop(5)


def webhook(receiver: Receiver, *keys: str, **more: Any) -> WebhookSink:
    poster = Poster(receiver.url, **{"allowed": EVERYWHERE, "timeout": 5.0, **more})
    return WebhookSink("webhook", poster, keys or [SECRET], SystemClock())


def one(number: int = 1) -> Parcel:
    return single(alert(number), 0.0)


def test_an_alert_arrives_signed_and_leaves_nothing_behind(receiver: Receiver, outbox: Callable[..., Outbox]) -> None:
    ends: list[tuple[str, str, Fate]] = []
    box = outbox(webhook(receiver), told=lambda id, sink, outcome: ends.append((id, sink, outcome.fate)))
    box.put(alert())
    until(lambda: ends == [("alert_1", "webhook", Fate.DELIVERED)], "delivered")
    assert receiver.verified() == ["alert_1"]
    headers, body = receiver.got[0]
    assert json.loads(body) == alert().json()
    assert headers["content-type"] == "application/json"
    assert box.counts() == {"pending": 0, "delivered": 1, "failed": 0}


def test_each_key_of_a_webhook_signs(receiver: Receiver) -> None:
    private, public = new_key_pair()
    assert webhook(receiver, SECRET, private).deliver(one()).fate is Fate.DELIVERED
    assert receiver.verified(SECRET) == receiver.verified(public) == ["alert_1"]


def test_a_dead_sink_delays_no_other(outbox: Callable[..., Outbox], tmp_path: Path) -> None:
    dead = WebhookSink("dead", Poster(f"http://127.0.0.1:{free_ports(1)[0]}/", EVERYWHERE), [SECRET], SystemClock())
    box = outbox(dead, LogSink(tmp_path / "alerts.log"))
    box.put(alert())
    until((tmp_path / "alerts.log").exists, "the log has it")
    assert json.loads((tmp_path / "alerts.log").read_text())["id"] == "alert_1"
    until(lambda: box.counts() == {"pending": 1, "delivered": 1, "failed": 0}, "the webhook's waits")


def test_a_log_that_is_full_makes_room_for_the_next_alert(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_files, "MAX_BYTES", 1)
    log = LogSink(tmp_path / "alerts.log")
    assert [log.deliver(one(number)).fate for number in (1, 2, 3)] == [Fate.DELIVERED] * 3
    kept = {path.name: json.loads(path.read_text())["id"] for path in tmp_path.iterdir()}
    assert kept == {"alerts.log": "alert_3", "alerts.log.1": "alert_2"}


def test_a_full_log_that_cannot_be_put_aside_takes_the_next_alert_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_files, "MAX_BYTES", 1)
    (tmp_path / "alerts.log.1").mkdir()
    log = LogSink(tmp_path / "alerts.log")
    assert [log.deliver(one(number)).fate for number in (1, 2)] == [Fate.DELIVERED] * 2
    assert len((tmp_path / "alerts.log").read_text().splitlines()) == 2


def test_what_waits_survives_a_restart(receiver: Receiver, outbox: Callable[..., Outbox]) -> None:
    receiver.answers = [(503, {}, b"")]
    first = outbox(webhook(receiver))
    first.put(alert())
    until(lambda: receiver.got, "it was refused")
    first.stop(5)
    second = outbox(webhook(receiver))
    until(lambda: second.counts() == {"pending": 0, "delivered": 1, "failed": 0}, "delivered")
    assert receiver.verified() == ["alert_1", "alert_1"]


def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    receiver.answers = [(302, {"location": f"{receiver.url}/elsewhere"}, b"")]
    assert webhook(receiver).deliver(one()).fate is Fate.REFUSED
    assert len(receiver.got) == 1


@pytest.mark.parametrize(
    ("status", "fate"),
    [(200, Fate.DELIVERED), (204, Fate.DELIVERED), (400, Fate.REFUSED), (410, Fate.GONE), (429, Fate.RETRY),
     (500, Fate.RETRY), (502, Fate.RETRY), (504, Fate.RETRY)],
)  # fmt: skip
def test_what_an_answer_means(receiver: Receiver, status: int, fate: Fate) -> None:
    receiver.answers = [(status, {"retry-after": "7"}, b"")]
    assert webhook(receiver).deliver(one()).fate is fate


@pytest.mark.parametrize(
    ("told", "least", "most"),
    [(lambda: "7", 7, 7), (lambda: formatdate(time.time() + 3_600, usegmt=True), 3_000, 3_600),
     (lambda: formatdate(time.time() - 3_600, usegmt=True), 0, 0), (lambda: "Fri, 31 Dec 9999 23:59:59 GMT", 0, 0),
     (lambda: "9" * 400, 0, 0), (lambda: "Mon, 01 Jan 0001 00:00:00 +9999", 0, 0), (lambda: "soon", 0, 0)],
    ids=["seconds", "date", "past", "never", "number", "no date", "word"],
)  # fmt: skip
def test_a_receiver_says_when_to_come_back_in_seconds_or_by_date(
    receiver: Receiver, told: Callable[[], str], least: float, most: float
) -> None:
    receiver.answers = [(503, {"retry-after": told()}, b"")]
    outcome = webhook(receiver).deliver(one())
    assert outcome.fate is Fate.RETRY
    assert least <= outcome.after <= most
    assert outcome.detail == "the receiver answered 503"


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

    @pytest.mark.parametrize("address", ["10.2.3.4", "::ffff:10.2.3.4", "64:ff9b::a02:304"])
    def test_a_listed_network_is_allowed_in_every_spelling_and_no_other_is(self, address: str) -> None:
        assert is_within(address, [ipaddress.ip_network("10.2.0.0/16")])
        assert not is_within(address, [ipaddress.ip_network("10.3.0.0/16"), ipaddress.ip_network("fd00::/8")])

    def test_a_private_receiver_is_not_even_called(self, receiver: Receiver) -> None:
        outcome = webhook(receiver, allowed=[ipaddress.ip_network("10.0.0.0/8")]).deliver(one())
        assert outcome.fate is Fate.RETRY
        assert "allow_networks" in outcome.detail
        assert receiver.got == []

    def test_one_that_is_listed_is(self, receiver: Receiver) -> None:
        assert webhook(receiver, allowed=[ipaddress.ip_network("127.0.0.0/8")]).deliver(one()).fate is Fate.DELIVERED

    def test_a_name_that_turns_private_after_the_check_is_not_asked_again(
        self, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The connection goes to the address that was checked: a second look-up could be answered differently."""
        answers = [[(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", receiver.server_port))]]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answers.pop(0))
        connected = []
        monkeypatch.setattr(socket, "create_connection", lambda address, *_: connected.append(address) or _refuse())
        poster = Poster("http://pager.example.com/", EVERYWHERE)
        assert poster.post(b"{}", {}).fate is Fate.RETRY
        assert connected == [("127.0.0.1", 80)]

    def test_a_name_with_an_address_where_nobody_listens_is_reached_at_its_other_one(
        self, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As ``localhost`` has ::1 first, on many a machine."""
        both = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, 0)) for host in ("127.0.0.2", "127.0.0.1")]
        look_up = socket.getaddrinfo
        monkeypatch.setattr(
            socket, "getaddrinfo", lambda host, *a, **kw: both if host == "pager" else look_up(host, *a, **kw)
        )
        poster = Poster(f"http://pager:{receiver.server_port}/", EVERYWHERE)
        assert poster.post(b"{}", {}).fate is Fate.DELIVERED

    @pytest.mark.parametrize("url", ["ftp://example.com", "http://", "example.com", "http://jo:pw@example.com/"])
    def test_an_address_that_is_none_is_refused_at_start(self, url: str) -> None:
        with pytest.raises(ConfigError, match=r"http\(s\) address") as refused:
            Poster(url)
        assert "pw" not in str(refused.value)

    def test_a_receiver_nobody_vouches_for_gets_nothing(self, receiver: Receiver, tmp_path: Path) -> None:
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(*Authority(tmp_path, "unknown").issue("pager"))
        receiver.socket = server.wrap_socket(receiver.socket, server_side=True)
        outcome = Poster(receiver.url.replace("http", "https"), EVERYWHERE).post(b"{}", {})
        assert outcome.fate is Fate.RETRY
        assert "CERTIFICATE_VERIFY_FAILED" in outcome.detail
        assert receiver.got == []

    def test_a_huge_answer_is_not_read_to_its_end(self, receiver: Receiver) -> None:
        receiver.answers = [(200, {}, b"x" * (20 << 20))]
        assert webhook(receiver).deliver(one()).fate is Fate.DELIVERED

    def test_an_alert_that_was_taken_is_taken_though_the_answer_breaks_off(self, receiver: Receiver) -> None:
        receiver.answers = [(200, {"transfer-encoding": "chunked"}, b"no chunk")]
        assert webhook(receiver).deliver(one()).fate is Fate.DELIVERED

    def test_an_answer_that_trickles_ends_at_the_deadline(self, receiver: Receiver) -> None:
        receiver.answers, receiver.slow = [(200, {}, b"x" * 60_000)], 0.2
        ended = threading.Event()
        thread = threading.Thread(target=lambda: (webhook(receiver, timeout=0.5).deliver(one()), ended.set()))
        thread.start()
        assert ended.wait(5)  # the whole answer would take twelve seconds
        thread.join()


def test_a_trip_is_told_once_though_the_receiver_was_down_and_watch_killed(roles: StartRoles) -> None:
    port = free_ports(1)[0]
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
    receiver = Receiver(port)
    try:
        until(lambda: running.info("watch")["pid"] != pid, "watch is back")
        operator = ControlClient(running.info("watch")["url"], running.token("operator"))
        until(lambda: receiver.got, "told")
        until(lambda: operator.board()["alerts"]["pending"] == 0, "settled")
        assert receiver.verified() == ["alert_trn_1"]
        (told,) = operator.alerts()["alerts"]
        assert (told["id"], told["sinks"]) == ("alert_trn_1", {"log": "delivered", "webhook": "delivered"})
    finally:
        receiver.close()


def _refuse() -> socket.socket:
    raise ConnectionRefusedError


def test_an_alert_that_cannot_be_signed_holds_up_no_other(receiver: Receiver, outbox: Callable[..., Outbox]) -> None:
    box = outbox(webhook(receiver))
    box.put(replace(alert(), id="alert_a:b"))
    box.put(alert(2))
    until(lambda: receiver.got, "the second one arrived")
    assert receiver.verified() == ["alert_2"]


def test_a_disk_that_fails_after_a_delivery_does_not_end_a_sink(
    receiver: Receiver, outbox: Callable[..., Outbox], monkeypatch: pytest.MonkeyPatch
) -> None:
    box = outbox(webhook(receiver))
    with monkeypatch.context() as patched:
        patched.setattr("collector.alerts.folder.sync_dir", _fails)
        box.put(alert())
        until(lambda: receiver.got, "delivered")
    box.put(alert(2))
    until(lambda: "alert_2" in receiver.verified(), "the next one arrives all the same")


def _fails(_folder: Path) -> None:
    raise OSError(5, "input/output error")
