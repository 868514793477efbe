"""Messages of other people's publishers: whatever stands in their headers and ids harms nobody."""

import struct
from collections.abc import Iterator
from typing import Any

import pika
import pytest

from fusebox import happenings, names
from fusebox.errors import BadMessage
from rabbitmq import Agent, Context, Retry, Runtime
from rabbitmq.amqp import AmqpBroker
from rabbitmq.broker import Delivery, Queue, Topology
from rabbitmq.shelf import Shelf
from rabbitmq.topology import agent_topology
from tests.fixtures.agents import Inbox, RuntimeFactory, eventually
from tests.fixtures.broker import Unique

HEADERS, MESSAGE_ID = pika.BasicProperties.FLAG_HEADERS, pika.BasicProperties.FLAG_MESSAGE_ID
CONTENT_TYPE = pika.BasicProperties.FLAG_CONTENT_TYPE


def short(text: bytes) -> bytes:
    return bytes([len(text)]) + text


def table(fields: bytes) -> bytes:
    return struct.pack(">I", len(fields)) + fields


def nested(depth: int) -> bytes:
    fields = b""
    for _ in range(depth):
        fields = short(b"t") + b"F" + table(fields)
    return fields


MILLISECONDS = short(b"sent") + b"T" + struct.pack(">Q", 1_800_000_000_000)


class Raw(pika.BasicProperties):
    """Properties as some other library would write them."""

    def __init__(self, flags: int, encoded: bytes) -> None:
        super().__init__()
        self._encoded = struct.pack(">H", flags) + encoded

    def encode(self) -> list[bytes]:
        return [self._encoded]


@pytest.fixture
def stranger(rabbitmq_url: str) -> Iterator[Any]:
    """A channel of a publisher that knows nothing of us."""
    connection = pika.BlockingConnection(pika.URLParameters(rabbitmq_url))
    channel = connection.channel()
    channel.confirm_delivery()  # else a queue that is just there may miss a message
    yield channel
    connection.close()


@pytest.mark.parametrize("fields", [MILLISECONDS, nested(5_000)], ids=["a date in the year 59009", "tables in tables"])
def test_headers_that_cannot_be_read_are_left_out_and_nobody_is_cut_off(
    amqp: AmqpBroker, stranger: Any, unique: Unique, inbox: Inbox, fields: bytes
) -> None:
    queue = unique("work")
    amqp.declare(Topology(queues=(Queue(queue),)))
    before = happenings.counts()

    def take(delivery: Delivery) -> None:
        delivery.ack()
        inbox.put((delivery.message.body, delivery.message.message_id, dict(delivery.message.headers)))

    amqp.consume(queue, take, prefetch=1)
    encoded = short(b"text/plain") + table(fields) + short(b"m-1")
    stranger.basic_publish("", queue, b"hello", Raw(CONTENT_TYPE | HEADERS | MESSAGE_ID, encoded))
    stranger.basic_publish("", queue, b"world", pika.BasicProperties(headers={"n": 1}))
    assert inbox.wait(2) == [(b"hello", "m-1", {}), (b"world", "", {"n": 1})]
    after = happenings.counts()
    assert after["headers_unreadable"] == before["headers_unreadable"] + 1
    assert after["broker_connection_lost"] == before["broker_connection_lost"]


@pytest.mark.parametrize("broker", ["amqp"], indirect=True)
def test_a_message_whose_id_is_no_utf_8_dies_at_its_first_failure_and_can_be_replayed(
    runtimes: RuntimeFactory, stranger: Any, unique: Unique, inbox: Inbox
) -> None:
    runtime: Runtime = runtimes()
    agent = Agent(unique("helper"), runtime)

    @agent.on(f"{agent.name}.work")
    def handle(body: bytes, ctx: Context) -> None:
        inbox.put(body)
        if len(inbox.items) == 1:
            raise ValueError("no")

    agent.start()
    dead = names.dead_queue(agent.name)
    stranger.basic_publish(names.EXCHANGE_EVENTS, f"{agent.name}.work", b"x", Raw(MESSAGE_ID, short(b"caf\xe9")))
    eventually(lambda: runtime.broker.depth(dead) == 1, what="a dead message")
    assert inbox.items == [b"x"], "its handler ran once"
    shelf = Shelf(runtime.broker, agent.name, dead)
    assert [(each.message.message_id, each.reason) for each in shelf.look()] == [("caf\ufffd", "ValueError: no")]
    assert shelf.put_back(lambda _: True) == 1
    assert inbox.wait(2) == [b"x", b"x"]
    agent.stop(5)


@pytest.mark.parametrize("broker", ["amqp"], indirect=True)
def test_what_a_publisher_said_goes_along_through_retries_dead_letters_and_replays(
    runtimes: RuntimeFactory, stranger: Any, unique: Unique, inbox: Inbox
) -> None:
    runtime: Runtime = runtimes()
    agent = Agent(unique("helper"), runtime)

    @agent.on(f"{agent.name}.work", retry=Retry(attempts=2))
    def handle(_body: bytes, _ctx: Context) -> None:
        inbox.put("tried")
        raise ValueError("no")

    agent.start()
    dead = names.dead_queue(agent.name)
    said = {"tags": ["a", {"b": [1, None]}], "route": {"to": "x"}, "n": 7}
    properties = pika.BasicProperties(
        headers=said, content_encoding="gzip", priority=5, type="order", app_id="shop", expiration="60000"
    )
    stranger.basic_publish(names.EXCHANGE_EVENTS, f"{agent.name}.work", b"x", properties)
    for tries in (2, 4):
        inbox.wait(tries, 20)
        eventually(lambda: runtime.broker.depth(dead) == 1, what="a dead message")
        if tries == 2:
            assert Shelf(runtime.broker, agent.name, dead).put_back(lambda _: True) == 1
    agent.stop(5)
    _, left, body = stranger.basic_get(dead)
    assert body == b"x"
    assert {name: left.headers[name] for name in said} == said
    assert (left.content_encoding, left.priority, left.type, left.app_id) == ("gzip", 5, "order", "shop")
    assert left.expiration is None, "what is kept for people does not vanish"


def test_a_message_that_is_moved_sends_no_copies_in_our_name(amqp: AmqpBroker, stranger: Any, unique: Unique) -> None:
    agent, elsewhere = unique("helper"), unique("elsewhere")
    amqp.declare(agent_topology(agent, ()) + Topology(queues=(Queue(elsewhere),)))
    dead = names.dead_queue(agent)
    stranger.basic_publish("", dead, b"x", pika.BasicProperties(headers={"CC": [elsewhere], "to": [elsewhere]}))
    eventually(lambda: (amqp.depth(dead), amqp.depth(elsewhere)) == (1, 1))
    assert Shelf(amqp, agent, dead).put_back(lambda _: True) == 1
    eventually(lambda: amqp.depth(agent) == 1)
    assert amqp.depth(elsewhere) == 1
    _, back, _ = stranger.basic_get(agent)
    assert back.headers["to"] == [elsewhere]
    assert "CC" not in back.headers


def test_a_list_under_a_name_that_is_no_utf_8_is_refused_by_name(
    amqp: AmqpBroker, stranger: Any, unique: Unique
) -> None:
    agent = unique("helper")
    amqp.declare(agent_topology(agent, ()))
    dead = names.dead_queue(agent)
    fields = short(b"\xe9" * 200) + b"A" + table(b"")
    stranger.basic_publish("", dead, b"x", Raw(HEADERS, table(fields)))
    eventually(lambda: amqp.depth(dead) == 1)
    with pytest.raises(BadMessage, match="a header's name has 600 bytes"):
        Shelf(amqp, agent, dead).put_back(lambda _: True)


def test_a_dead_message_too_large_for_us_does_not_keep_back_those_behind_it(
    amqp: AmqpBroker, stranger: Any, unique: Unique
) -> None:
    agent = unique("helper")
    amqp.declare(agent_topology(agent, ()))
    dead = names.dead_queue(agent)
    for number, padding in enumerate(("", "x" * 70_000, "")):
        properties = pika.BasicProperties(message_id=f"m-{number}", headers={"padding": padding})
        stranger.basic_publish("", dead, b"x", properties)
    eventually(lambda: amqp.depth(dead) == 3)
    shelf = Shelf(amqp, agent, dead)
    with pytest.raises(BadMessage, match="1 of 3 stay where they are, the others are done: m-1: the headers have"):
        shelf.put_back(lambda _: True)
    assert shelf.dealt_with == 2
    assert [each.message.message_id for each in shelf.look()] == ["m-1"]
    assert amqp.depth(agent) == 2
