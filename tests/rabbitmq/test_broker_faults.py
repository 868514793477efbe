"""RabbitMQ dies, blocks, hangs, talks nonsense: what was confirmed survives, and nobody waits beyond the deadline."""

import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fusebox import happenings
from fusebox.errors import BrokerUnavailable, FuseboxError, PublishBlocked, PublishTimeout
from rabbitmq.amqp import AmqpBroker
from rabbitmq.broker import Binding, Broker, Delivery, Exchange, ExchangeType, Message, Queue, QueueType, Topology
from rabbitmq.node import PrivateNode
from tests.fixtures.agents import Inbox, eventually
from tests.fixtures.broker import Unique
from tests.fixtures.proxy import Proxy
from tests.need import missing

EVENTS = Exchange("events", ExchangeType.TOPIC)


@pytest.fixture
def proxied(proxy: Proxy) -> Iterator[AmqpBroker]:
    """A broker whose network we control."""
    broker = AmqpBroker(proxy.url, client_name="proxied")
    broker.start()
    yield broker
    proxy.thaw()
    broker.stop()


@pytest.fixture
def queue(amqp: AmqpBroker, unique: Unique) -> str:
    name = unique("work")
    amqp.declare(Topology(queues=(Queue(name),)))
    return name


def delivers(broker: Broker, queue: str, body: bytes) -> bool:
    """True once a message was confirmed; a connection or a queue leader that is not back yet counts as not yet."""
    try:
        broker.publish("", queue, Message(body), timeout=5)
    except (BrokerUnavailable, PublishTimeout):
        return False
    return True


def lost() -> int:
    return happenings.counts()["broker_connection_lost"]


def collect(inbox: Inbox, delivery: Delivery) -> None:
    inbox.put(delivery.message.body)
    delivery.ack()


@pytest.mark.faults
def test_a_publisher_waits_until_a_broker_that_lost_its_data_has_its_queues_again(tmp_path: Path) -> None:
    if not PrivateNode.available():
        missing("rabbitmq-server is not installed; apt-get install rabbitmq-server")
    node = PrivateNode(tmp_path / "node")
    broker = AmqpBroker(node.url)
    queues = tuple(Queue(f"work-{n}", type=QueueType.CLASSIC) for n in range(300))
    last = queues[-1].name
    try:
        node.start()
        broker.start()
        broker.declare(Topology((EVENTS,), queues, (Binding(EVENTS.name, last, "last"),)))
        before = lost()
        node.kill()
        eventually(lambda: lost() == before + 2, what="both connections are lost")
        shutil.rmtree(node.folder / "data")
        publishing = broker.publish_soon(EVENTS.name, "last", Message(b"after"), timeout=60)
        node.start()
        publishing()  # raises Unroutable where nothing is bound yet
        eventually(lambda: broker.depth(last) == 1, what="the message is in the queue")
    finally:
        broker.stop()
        node.stop()


@pytest.mark.faults
def test_confirmed_messages_survive_kill_9_and_everything_resumes(
    amqp: AmqpBroker, rabbitmq_node: PrivateNode, queue: str, unique: Unique, inbox: Inbox
) -> None:
    control, own = unique("control"), unique("own")
    amqp.declare(
        Topology(
            (Exchange(control, ExchangeType.FANOUT),),
            (Queue(own, type=QueueType.CLASSIC, exclusive=True),),
            (Binding(control, own),),
        )
    )
    commands = Inbox()
    amqp.consume(own, lambda d: collect(commands, d), prefetch=1)
    confirmed = {f"m{n}".encode() for n in range(50)}
    for body in confirmed:
        amqp.publish("", queue, Message(body))

    eventually(lambda: is_registered(rabbitmq_node, queue), what="RabbitMQ has the new queue on disk")
    rabbitmq_node.kill()
    with pytest.raises(BrokerUnavailable, match=r"no connection|broke before"):
        amqp.publish("", queue, Message(b"in vain"), timeout=0.5)
    rabbitmq_node.start()

    eventually(lambda: delivers(amqp, queue, b"back"), what="the connection is back")
    eventually(lambda: depth(amqp, queue) is not None, what="the other connection is back too")
    amqp.consume(queue, lambda d: collect(inbox, d), prefetch=100)
    eventually(lambda: confirmed | {b"back"} <= set(inbox.items), what="all confirmed messages")
    amqp.publish(control, "", Message(b"a Command"))
    assert commands.wait(1) == [b"a Command"]


def is_registered(node: PrivateNode, queue: str) -> bool:
    """RabbitMQ writes the registry of quorum queues half a second late; one that is killed before loses the queue."""
    return any(queue.encode() in registry.read_bytes() for registry in node.folder.glob("data/**/names.dets"))


@pytest.mark.faults
def test_under_a_memory_alarm_publishing_fails_by_the_deadline_and_acks_still_work(
    amqp: AmqpBroker, rabbitmq_node: PrivateNode, queue: str, inbox: Inbox
) -> None:
    for body in (b"a", b"b"):
        amqp.publish("", queue, Message(body))
    rabbitmq_node.ctl("set_vm_memory_high_watermark", "absolute", "1MB")
    try:
        started = time.monotonic()
        with pytest.raises(PublishBlocked, match="alarm"):
            amqp.publish("", queue, Message(b"c"), timeout=1)
        with pytest.raises(PublishBlocked, match="nothing was sent"):
            amqp.publish("", queue, Message(b"d"), timeout=0.5)
        assert time.monotonic() - started < 10
        amqp.consume(queue, lambda d: collect(inbox, d), prefetch=1)
        inbox.wait(2)
        eventually(lambda: amqp.depth(queue) == 0)
    finally:
        rabbitmq_node.ctl("set_vm_memory_high_watermark", "0.4")
    eventually(lambda: unblocked(amqp, queue), what="publishing works again")
    assert b"d" not in inbox.items


def unblocked(broker: Broker, queue: str) -> bool:
    try:
        broker.publish("", queue, Message(b"again"), timeout=0.5)
    except PublishBlocked:
        return False
    return True


def test_stop_under_a_memory_alarm_keeps_to_its_timeout(
    rabbitmq_url: str, rabbitmq_node: PrivateNode, queue: str
) -> None:
    broker = AmqpBroker(rabbitmq_url)
    broker.start()
    rabbitmq_node.ctl("set_vm_memory_high_watermark", "absolute", "1MB")
    try:
        with pytest.raises(PublishBlocked):
            broker.publish("", queue, Message(b"x"), timeout=0.3)
        started = time.monotonic()
        broker.stop(timeout=2)
        assert time.monotonic() - started < 10
    finally:
        rabbitmq_node.ctl("set_vm_memory_high_watermark", "0.4")


@pytest.mark.parametrize("violence", [Proxy.cut, Proxy.garble], ids=["cut", "garbled"])
def test_after_a_broken_connection_consumers_resume_and_unsettled_messages_come_again(
    proxied: AmqpBroker, proxy: Proxy, queue: str, inbox: Inbox, violence: object
) -> None:
    assert callable(violence)
    proxied.consume(queue, inbox.put, prefetch=10)
    assert delivers(proxied, queue, b"precious")
    (late,) = inbox.wait(1)
    stale, before = happenings.counts()["stale_settle"], lost()
    violence(proxy)
    eventually(lambda: lost() >= before + 2, what="the loss of both connections is noticed")
    late.ack()  # type: ignore[attr-defined]
    _, again = inbox.wait(2)
    assert again.message.body == b"precious"  # type: ignore[attr-defined]
    assert again.redelivered  # type: ignore[attr-defined]
    assert happenings.counts()["stale_settle"] == stale + 1
    again.ack()  # type: ignore[attr-defined]
    eventually(lambda: delivers(proxied, queue, b"more"), what="publishing works again")
    inbox.wait(3)


def test_a_paused_consumer_stays_paused_over_a_reconnect(
    proxied: AmqpBroker, proxy: Proxy, queue: str, inbox: Inbox, amqp: AmqpBroker, unique: Unique
) -> None:
    other, heard = unique("other"), Inbox()
    amqp.declare(Topology(queues=(Queue(other),)))
    consumer = proxied.consume(queue, inbox.put, prefetch=10)
    consumer.pause()
    proxied.consume(other, heard.put, prefetch=10)
    before = proxy.accepted
    proxy.cut()
    eventually(lambda: proxy.accepted >= before + 2, what="both connections are back")
    eventually(lambda: delivers(proxied, queue, b"wait"))
    eventually(lambda: delivers(proxied, other, b"heard"))
    heard.wait(1)  # the subscriptions are back
    eventually(lambda: depth(proxied, queue) == 1)
    assert inbox.items == []
    consumer.resume()
    inbox.wait(1)


def depth(broker: Broker, queue: str) -> int | None:
    try:
        return broker.depth(queue)
    except BrokerUnavailable:
        return None


def test_a_publish_in_flight_fails_promptly_when_the_connection_breaks(
    proxied: AmqpBroker, proxy: Proxy, queue: str, inbox: Inbox
) -> None:
    proxy.freeze()
    publisher = threading.Thread(target=lambda: inbox.put(publish_error(proxied, queue)))
    publisher.start()
    eventually(lambda: len(proxied._publisher._sent) == 1, what="the message is in flight")
    started = time.monotonic()
    proxy.cut()
    (error,) = inbox.wait(1)
    assert isinstance(error, BrokerUnavailable)
    assert time.monotonic() - started < 30
    publisher.join()


def publish_error(broker: Broker, queue: str) -> FuseboxError | None:
    try:
        broker.publish("", queue, Message(b"x"), timeout=60)
    except FuseboxError as error:
        return error
    return None


def test_a_network_that_swallows_everything_ends_at_the_deadline(proxied: AmqpBroker, proxy: Proxy, queue: str) -> None:
    proxy.freeze()
    with pytest.raises(PublishTimeout, match="may still arrive"):
        proxied.publish("", queue, Message(b"x"), timeout=0.3)
    proxy.thaw()
    assert delivers(proxied, queue, b"y")


@pytest.mark.faults
def test_a_server_that_accepts_and_says_nothing_ends_the_start(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rabbitmq.amqp_address._HANDSHAKE_S", 1.0)
    proxy.freeze()
    started = time.monotonic()
    with pytest.raises(BrokerUnavailable, match="no RabbitMQ answers"):
        AmqpBroker(proxy.url).start()
    assert time.monotonic() - started < 12


def test_while_there_is_no_connection_publishing_waits_for_it_until_the_deadline(
    proxied: AmqpBroker, proxy: Proxy, queue: str
) -> None:
    proxy.refuse(True)
    before = lost()
    proxy.cut()
    eventually(lambda: lost() >= before + 2)
    with pytest.raises(BrokerUnavailable, match="nothing was sent"):
        proxied.publish("", queue, Message(b"never"), timeout=0.3)
    with pytest.raises(BrokerUnavailable, match="no connection"):
        proxied.depth(queue)
    proxy.refuse(False)
    proxied.publish("", queue, Message(b"patient"), timeout=20)
    eventually(lambda: depth(proxied, queue) == 1)


@pytest.mark.faults
def test_work_that_outlasts_the_heartbeat_keeps_the_connection(rabbitmq_url: str, queue: str, inbox: Inbox) -> None:
    broker = AmqpBroker(f"{rabbitmq_url}?heartbeat=1")
    broker.start()
    try:
        broker.consume(queue, inbox.put, prefetch=1)
        broker.publish("", queue, Message(b"slow work"))
        (delivery,) = inbox.wait(1)
        before, until = lost(), time.monotonic() + 4  # RabbitMQ gives up on a silent client after 2 heartbeats
        while time.monotonic() < until:
            assert lost() == before
            time.sleep(0.1)
        delivery.ack()  # type: ignore[attr-defined]
        broker.publish("", queue, Message(b"next"))
        assert [d.redelivered for d in inbox.wait(2)] == [False, False]  # type: ignore[attr-defined]
    finally:
        broker.stop()


def test_a_subscription_the_broker_ends_is_opened_again(
    amqp: AmqpBroker, rabbitmq_node: PrivateNode, unique: Unique, inbox: Inbox
) -> None:
    name = unique("deleted")
    topology = Topology(queues=(Queue(name),))
    amqp.declare(topology)
    amqp.consume(name, inbox.put, prefetch=1)
    before = happenings.counts()["subscription_lost"]
    rabbitmq_node.ctl("delete_queue", name)
    eventually(lambda: happenings.counts()["subscription_lost"] > before, what="the end is noticed")
    amqp.declare(topology)
    amqp.publish("", name, Message(b"after all"))
    inbox.wait(1)
