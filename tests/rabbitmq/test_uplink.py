"""The threads towards watch go on whatever answers there."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from fusebox import happenings
from fusebox.control import ControlClient
from fusebox.errors import ConfigError
from fusebox.names import EXCHANGE_UPLINK
from rabbitmq.broker import Broker, Delivery
from rabbitmq.carriers import HttpCarrier
from rabbitmq.limits import MAX_BODY
from rabbitmq.receiver import Json, Receiver
from rabbitmq.topology import uplink_topology
from rabbitmq.uplink import Uplink
from tests.fixtures.agents import eventually
from tests.fixtures.broker import Unique

Answer = tuple[int, bytes]


class Stranger:
    """An HTTP server that answers what it is told."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.asked: list[str] = []
        stranger = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["content-length"]))
                status, body = stranger.answers.pop(0) if stranger.answers else (200, b"{}")
                stranger.asked.append(self.path.rpartition("/")[2])
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.client = ControlClient(f"http://127.0.0.1:{self.server.server_port}", "token")
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()


@pytest.fixture
def stranger() -> Iterator[Stranger]:
    it = Stranger()
    yield it
    it.server.shutdown()
    it.server.server_close()


class Deaf(Receiver):
    """Learns nothing."""

    def introduction(self) -> Json:
        return {"process": "p", "agents": {"a": {"held": 0}}}

    def unverified(self) -> bool:
        return True


@pytest.fixture
def uplinks() -> Iterator[Callable[..., Uplink]]:
    made: list[Uplink] = []

    def make(client: Callable[[], ControlClient | None]) -> Uplink:
        made.append(Uplink(client, None, lambda: None))
        return made[-1]

    yield make
    for uplink in made:
        uplink.stop(0.1)


def test_a_carrier_outlives_answers_of_any_shape(stranger: Stranger) -> None:
    stranger.answers = [(200, b"{}"), (200, b'{"signed": 5}'), (500, b"<html>"), (200, b"[]")]
    carrier = HttpCarrier(lambda: stranger.client, Deaf())
    carrier.start()
    eventually(lambda: len(stranger.asked) >= 6, what="it asks again and again")
    carrier.stop()


def test_a_carrier_outlives_a_client_that_cannot_be_made() -> None:
    asked: list[int] = []

    def client() -> ControlClient:
        asked.append(1)
        raise OSError("agent.token is a folder")

    carrier = HttpCarrier(client, Deaf())
    carrier.start()
    eventually(lambda: len(asked) >= 3)
    carrier.stop()


def test_what_cannot_be_sent_is_dropped_and_the_next_goes_out(
    stranger: Stranger, uplinks: Callable[..., Uplink]
) -> None:
    uplink = uplinks(lambda: stranger.client)
    uplink.start()
    uplink.send("reports", {"transition": object()})
    uplink.send("receipts", {})
    assert uplink.flush(10)
    assert stranger.asked == ["receipts"]


def test_all_that_watch_is_told_can_travel_over_the_broker(broker: Broker, unique: Unique) -> None:
    """One kind that no queue takes would hold up all that follow it."""
    broker.declare(uplink_topology())
    process, arrived = unique("process"), list[str]()

    def take(delivery: Delivery) -> None:
        told = json.loads(delivery.message.body)
        arrived.extend([told["kind"]] if told["body"].get("process") == process else [])
        delivery.ack()

    broker.consume(EXCHANGE_UPLINK, take, prefetch=50)
    uplink = Uplink(lambda: None, broker, lambda: "token")
    uplink.start()
    kinds = ["receipts", "reports", "denials", "commits", "leave"]
    for kind in kinds:
        uplink.send(kind, {"process": process})
    assert uplink.flush(10)
    eventually(lambda: arrived == kinds)
    uplink.stop()


def test_what_the_broker_never_takes_does_not_block_what_follows(broker: Broker) -> None:
    broker.declare(uplink_topology())
    dropped = happenings.counts()["uplink_dropped"]
    uplink = Uplink(lambda: None, broker, lambda: "token")
    uplink.start()
    uplink.send("reports", {"reason": "x" * (MAX_BODY + 1)})
    uplink.send("leave", {})
    assert uplink.flush(10)
    assert happenings.counts()["uplink_dropped"] == dropped + 1
    uplink.stop()


def test_what_a_bad_setting_stops_is_told_and_goes_out_once_it_is_mended(
    stranger: Stranger, uplinks: Callable[..., Uplink]
) -> None:
    blocked = happenings.counts()["uplink_blocked"]
    broken = [ConfigError("agent.token cannot be read")]

    def client() -> ControlClient:
        if broken:
            raise broken.pop()
        return stranger.client

    uplink = uplinks(client)
    uplink.send("reports", {})
    uplink.start()
    eventually(lambda: stranger.asked == ["reports"])
    assert happenings.counts()["uplink_blocked"] == blocked + 1


@pytest.mark.parametrize(("status", "times"), [(401, 2), (429, 2), (400, 1)])
def test_a_report_waits_for_a_new_token_and_for_a_busy_watch(
    stranger: Stranger, uplinks: Callable[..., Uplink], status: int, times: int
) -> None:
    stranger.answers = [(status, b'{"error": "no"}')]
    uplink = uplinks(lambda: stranger.client)
    uplink.start()
    uplink.send("reports", {})
    assert uplink.flush(10)
    assert stranger.asked == ["reports"] * times


def test_a_second_stop_waits_for_nothing_and_drops_nothing(
    stranger: Stranger, uplinks: Callable[..., Uplink], caplog: pytest.LogCaptureFixture
) -> None:
    uplink = uplinks(lambda: stranger.client)
    uplink.start()
    uplink.send("leave", {"process": "p"})
    uplink.stop(5)
    uplink.stop(5)
    assert stranger.asked == ["leave"]
    assert "uplink_dropped" not in caplog.text


def test_polls_do_not_pile_up_while_watch_is_away(stranger: Stranger, uplinks: Callable[..., Uplink]) -> None:
    uplink = uplinks(lambda: stranger.client)
    for n in range(100):
        uplink.send("poll", {"n": n})
    uplink.send("reports", {})
    uplink.start()
    assert uplink.flush(10)
    assert stranger.asked == ["poll", "poll", "reports"]
