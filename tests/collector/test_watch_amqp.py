"""Watch over a broker: Commands out, reports in, and a broker in trouble that delays nobody."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from collector.watch.amqp import BrokerCarrier
from collector.watch.refusal import FORBIDDEN, UNAVAILABLE, Refusal
from fusebox import happenings
from fusebox.clock import SystemClock
from fusebox.command import Command, Order
from fusebox.errors import BrokerUnavailable, Unroutable
from fusebox.names import EXCHANGE_UPLINK
from rabbitmq.broker import Broker, Delivery, Message, Queue, QueueType, Topology
from rabbitmq.inprocess import InProcessBroker
from rabbitmq.topology import control_queue, control_topology
from tests.fixtures.collector import StartRoles, until

KILL = Command(Order.KILL, "agent:bot", "jo", "x", time.time())


class Watch:
    """Stands in for the handlers."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str | None, Any]] = []
        self.refusals: list[Refusal | Exception] = []

    def __call__(self, kind: str, token: str | None, body: Any) -> dict[str, Any]:
        self.calls.append((kind, token, body))
        if self.refusals:
            raise self.refusals.pop(0)
        return {"signed": "signed bytes"}


@pytest.fixture
def broker() -> Iterator[InProcessBroker]:
    made = InProcessBroker()
    made.start()
    yield made
    made.stop()


@pytest.fixture
def carrying() -> Iterator[Callable[..., BrokerCarrier]]:
    started: list[BrokerCarrier] = []

    def start(broker: Broker, watch: Watch) -> BrokerCarrier:
        carrier = BrokerCarrier(broker, SystemClock())
        carrier.listen(watch)
        carrier.start()
        started.append(carrier)
        return carrier

    yield start
    for carrier in started:
        carrier.stop(5)


def say(broker: Broker, content: bytes | dict[str, Any], kind: str = "reports", **more: str) -> None:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    until(lambda: _published(broker, kind, Message(body, **more)), "watch listens")


def _published(broker: Broker, kind: str, message: Message) -> bool:
    try:
        broker.publish(EXCHANGE_UPLINK, kind, message)
    except (Unroutable, BrokerUnavailable):
        return False
    return True


def test_commands_go_to_every_process(broker: InProcessBroker, carrying: Callable[..., BrokerCarrier]) -> None:
    got: dict[str, list[bytes]] = {"p1": [], "p2": []}
    for process, seen in got.items():
        topology = control_topology(process)
        broker.declare(topology)

        def take(delivery: Delivery, seen: list[bytes] = seen) -> None:
            seen.append(delivery.message.body)
            delivery.ack()

        broker.consume(topology.queues[0].name, take, prefetch=1)
    carrying(broker, Watch()).offer(b"signed", KILL)
    until(lambda: got == {"p1": [b"signed"], "p2": [b"signed"]}, "both heard")


def test_nobody_listening_is_no_trouble(broker: InProcessBroker, carrying: Callable[..., BrokerCarrier]) -> None:
    before, watch = happenings.counts()["watch_broker_away"], Watch()
    carrier = carrying(broker, watch)
    carrier.offer(b"signed", KILL)
    say(broker, {"kind": "leave", "token": "t", "body": {"process": "p1"}}, "leave")
    until(lambda: watch.calls, "it goes on")
    assert happenings.counts()["watch_broker_away"] == before


def test_what_processes_say_is_handled_like_http(
    broker: InProcessBroker, carrying: Callable[..., BrokerCarrier]
) -> None:
    watch = Watch()
    carrying(broker, watch)
    mine, another = control_queue("p1"), "somebody"
    for queue in (mine, another):
        broker.declare(Topology(queues=(Queue(queue, type=QueueType.CLASSIC, exclusive=True),)))
    ask = {"kind": "snapshot", "token": "t", "body": {"nonce": "n"}}
    for reply_to in (another, mine):
        say(broker, ask, "snapshot", reply_to=reply_to, correlation_id="n")
    reply = until(lambda: broker.get(mine), "the snapshot came back")
    assert (reply.message.body, reply.message.correlation_id) == (b"signed bytes", "n")
    assert watch.calls == [("snapshot", "t", {"nonce": "n"})] * 2
    assert broker.depth(another) == 0


@pytest.mark.parametrize(
    "content", [b"", b"\xff", b"[]", b"[" * 90_000, b'{"kind": "leave"}', b'{"kind":1,"token":2,"body":3}']
)
def test_garbage_is_counted_and_the_next_message_is_read(
    broker: InProcessBroker, carrying: Callable[..., BrokerCarrier], content: bytes
) -> None:
    watch, before = Watch(), happenings.counts()["uplink_refused"]
    carrying(broker, watch)
    say(broker, content)
    say(broker, {"kind": "leave", "token": "t", "body": {}}, "leave")
    until(lambda: watch.calls, "the next one is handled")
    assert happenings.counts()["uplink_refused"] == before + 1
    assert broker.depth(EXCHANGE_UPLINK) == 0


def test_what_cannot_be_journaled_comes_again_and_what_is_refused_does_not(
    broker: InProcessBroker, carrying: Callable[..., BrokerCarrier]
) -> None:
    watch = Watch()
    watch.refusals = [Refusal(UNAVAILABLE, "disk full"), Refusal(FORBIDDEN, "not yours")]
    carrying(broker, watch)
    say(broker, {"kind": "reports", "token": "t", "body": {}})
    until(lambda: len(watch.calls) == 2, "it came again")
    say(broker, {"kind": "leave", "token": "t", "body": {}}, "leave")
    until(lambda: [call[0] for call in watch.calls] == ["reports", "reports", "leave"], "and no third time")


class AwayBroker(InProcessBroker):
    """A broker that is not reachable until it is told to be."""

    def __init__(self) -> None:
        super().__init__()
        self.there = threading.Event()

    def start(self) -> None:
        if not self.there.is_set():
            raise BrokerUnavailable("nobody answers")
        super().start()


def test_a_broker_that_is_away_delays_nobody_and_gets_its_commands_later(
    carrying: Callable[..., BrokerCarrier],
) -> None:
    broker = AwayBroker()
    carrier = carrying(broker, Watch())
    stale = Command(Order.RESET, "agent:bot", "jo", "x", time.time() - 1000)
    started = time.monotonic()
    carrier.offer(b"stale", stale)
    for _ in range(2_000):
        carrier.offer(b"kill", KILL)
    assert time.monotonic() - started < 10
    assert happenings.counts()["command_unsent"] > 0
    InProcessBroker.start(broker)
    topology = control_topology("p1")
    broker.declare(topology)
    broker.there.set()
    first = until(lambda: broker.get(topology.queues[0].name), "the Commands came")
    assert first.message.body == b"kill"


def test_stop_is_legal_while_the_broker_is_away(carrying: Callable[..., BrokerCarrier]) -> None:
    started = time.monotonic()
    carrying(AwayBroker(), Watch()).stop(30)
    assert time.monotonic() - started < 15


def test_watch_is_ready_without_its_broker(roles: StartRoles) -> None:
    running = roles("watch", env={"FUSEBOX_AMQP_URL": "amqp://127.0.0.1:1/"})
    assert running.info("watch")["url"].startswith("http://127.0.0.1:")
