"""What every broker does: one test body over the in-process twin and a real RabbitMQ."""

import threading
from typing import cast

import pytest

from fusebox import happenings
from fusebox.errors import BadMessage, BrokerUnavailable, ConfigError, PublishNacked, Unroutable
from rabbitmq.broker import Binding, Broker, Delivery, Exchange, ExchangeType, Message, Queue, QueueType, Topology
from rabbitmq.topology import topic_matches
from tests.fixtures.agents import Inbox, eventually
from tests.fixtures.broker import Unique


@pytest.fixture
def queue(broker: Broker, unique: Unique) -> str:
    """An empty queue that dead-letters, when asked, into ``<name>.dead``."""
    return declare_dying(broker, unique("work"))


def declare_dying(broker: Broker, name: str, **settings: object) -> str:
    """A queue with these settings whose dead letters go to ``<name>.dead``."""
    source = Queue(name, dead_letter_exchange=f"{name}.dlx", dead_letter_routing_key="dead", **settings)  # type: ignore[arg-type]
    broker.declare(
        Topology(
            (Exchange(f"{name}.dlx", ExchangeType.DIRECT),),
            (Queue(f"{name}.dead"), source),
            (Binding(f"{name}.dlx", f"{name}.dead", "dead"),),
        )
    )
    return name


def send(broker: Broker, queue: str, *bodies: str) -> None:
    for body in bodies:
        broker.publish("", queue, Message(body.encode()))


def take(broker: Broker, queue: str) -> Delivery:
    """The next message, which may still be on its way back into the queue."""
    taken: list[Delivery] = []

    def arrived() -> bool:
        taken.extend(d for d in [broker.get(queue)] if d)
        return bool(taken)

    eventually(arrived, what=f"a message in {queue}")
    return taken[0]


def delivery_of(item: object) -> Delivery:
    return cast(Delivery, item)


def body_of(item: object) -> str:
    return delivery_of(item).message.body.decode()


# --- routing ----------------------------------------------------------------------------------------------------------
def test_topic_exchange_routes_by_pattern(broker: Broker, unique: Unique) -> None:
    exchange = unique("topic")
    patterns = ["order.created", "order.*", "order.#", "#", "*.created", "#.eu", "*.*.*", "a.#.z", "*"]
    keys = ["order.created", "order", "order.created.eu", "a.z", "a.b.c.z", "", "order."]
    names = {pattern: f"{exchange}-{n}" for n, pattern in enumerate(patterns)}
    broker.declare(
        Topology(
            (Exchange(exchange, ExchangeType.TOPIC),),
            tuple(Queue(name, type=QueueType.CLASSIC) for name in names.values()),
            tuple(Binding(exchange, name, pattern) for pattern, name in names.items()),
        )
    )
    for key in keys:
        broker.publish(exchange, key, Message(key.encode()))
    expected = {pattern: [key for key in keys if topic_matches(pattern, key)] for pattern in patterns}
    assert {pattern: drain(broker, name) for pattern, name in names.items()} == expected


def drain(broker: Broker, queue: str) -> list[str]:
    """The routing keys of everything in a queue, in order."""
    keys = []
    while delivery := broker.get(queue):
        keys.append(delivery.routing_key)
        delivery.ack()
    return keys


def test_fanout_reaches_every_queue_once_and_direct_only_the_equal_key(broker: Broker, unique: Unique) -> None:
    fanout, direct, one, two = (unique(name) for name in ("fanout", "direct", "one", "two"))
    broker.declare(
        Topology(
            (Exchange(fanout, ExchangeType.FANOUT), Exchange(direct, ExchangeType.DIRECT)),
            (Queue(one), Queue(two)),
            (Binding(fanout, one), Binding(fanout, one, "again"), Binding(fanout, two), Binding(direct, two, "two")),
        )
    )
    broker.publish(fanout, "whatever", Message(b"to all"))
    broker.publish(direct, "two", Message(b"to two"))
    assert (broker.depth(one), broker.depth(two)) == (1, 2)


def test_the_default_exchange_takes_the_queue_name_as_routing_key(broker: Broker, queue: str) -> None:
    send(broker, queue, "hello")
    delivery = take(broker, queue)
    assert (body_of(delivery), delivery.queue, delivery.routing_key) == ("hello", queue, queue)


def test_a_message_nobody_takes_is_an_error(broker: Broker, unique: Unique) -> None:
    exchange = unique("lonely")
    broker.declare(Topology(exchanges=(Exchange(exchange, ExchangeType.TOPIC),)))
    with pytest.raises(Unroutable, match=exchange):
        broker.publish(exchange, "nobody.listens", Message(b""))
    with pytest.raises(Unroutable, match="no-such-queue"):
        broker.publish("", unique("no-such-queue"), Message(b""))


def test_a_missing_exchange_is_an_error_that_names_it_and_hurts_no_other_publish(broker: Broker, queue: str) -> None:
    with pytest.raises(Unroutable, match="no-such-exchange"):
        broker.publish("no-such-exchange", "k", Message(b""))
    send(broker, queue, "still works")
    assert broker.depth(queue) == 1


# --- a message's way --------------------------------------------------------------------------------------------------
def test_headers_and_properties_survive_the_journey(broker: Broker, queue: str) -> None:
    headers = {"text": "grüße", "count": 2**40, "negative": -5, "share": 0.1, "huge": 1e300, "yes": True, "no": False}
    message = Message(b"\x00\xff", headers, "id-1", "text/plain", "corr", "reply.queue", 1_700_000_000)
    broker.publish("", queue, message)
    received = take(broker, queue).message
    assert received == message
    assert {name: type(value) for name, value in received.headers.items()} == {
        name: type(value) for name, value in headers.items()
    }


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("k" * 256, Message(b"")),
        ("k", Message(b"", {"chain": "x" * 10_000_000})),
        ("k", Message(b"", {"h": 2**63})),
        ("k", Message(b"", {"h": ["list"]})),  # type: ignore[dict-item]
        ("k", Message(b"", {"n" * 256: 1})),
        ("k", Message(bytes(17 * 1024 * 1024))),
        ("k", Message(b"", message_id="ü" * 128)),
    ],
    ids=["long key", "10 MB header chain", "65-bit int", "list header", "long header name", "huge body", "long id"],
)
def test_a_message_that_cannot_travel_is_refused_before_it_is_sent(broker: Broker, key: str, message: Message) -> None:
    with pytest.raises(BadMessage, match=r"at most|send it as text|use str"):
        broker.publish("", key, message)


def test_acked_messages_are_gone_and_returned_ones_come_first_in_the_order_of_return(
    broker: Broker, queue: str
) -> None:
    send(broker, queue, "a", "b", "c", "d")
    a, b, c = (take(broker, queue) for _ in range(3))
    assert [d.redelivered for d in (a, b, c)] == [False] * 3
    b.reject(requeue=True)
    eventually(lambda: broker.depth(queue) == 2)
    a.reject(requeue=True)
    eventually(lambda: broker.depth(queue) == 3)
    c.ack()
    again = [take(broker, queue) for _ in range(3)]
    assert [(body_of(d), d.redelivered) for d in again] == [("b", True), ("a", True), ("d", False)]
    assert broker.get(queue) is None


def test_a_message_that_comes_back_too_often_is_dead_lettered(broker: Broker, unique: Unique) -> None:
    queue = declare_dying(broker, unique("limited"), delivery_limit=2)
    send(broker, queue, "poison")
    for redelivered in (False, True, True):
        delivery = take(broker, queue)
        assert delivery.redelivered is redelivered
        delivery.reject(requeue=True)
    assert body_of(take(broker, f"{queue}.dead")) == "poison"
    assert broker.depth(queue) == 0


def test_without_a_limit_a_message_may_come_back_for_ever(broker: Broker, queue: str) -> None:
    send(broker, queue, "patient")
    for _ in range(30):
        take(broker, queue).reject(requeue=True)
    assert body_of(take(broker, queue)) == "patient"


def test_a_rejected_message_is_dead_lettered_whole(broker: Broker, queue: str) -> None:
    broker.publish("", queue, Message(b"bad", {"why": "because"}, "m-1"))
    take(broker, queue).reject(requeue=False)
    dead = take(broker, f"{queue}.dead")
    assert (dead.message.body, dead.message.message_id, dead.routing_key) == (b"bad", "m-1", "dead")
    assert dict(dead.message.headers) == {"why": "because"}


def test_a_message_older_than_the_ttl_is_dead_lettered(broker: Broker, unique: Unique) -> None:
    queue = declare_dying(broker, unique("short"), ttl=0.2)
    send(broker, queue, "late", "later")
    assert [body_of(take(broker, f"{queue}.dead")) for _ in range(2)] == ["late", "later"]
    assert broker.depth(queue) == 0


def test_a_full_queue_refuses_messages_until_there_is_room(broker: Broker, unique: Unique) -> None:
    queue = unique("small")
    broker.declare(Topology(queues=(Queue(queue, max_length=3),)))
    accepted = fill(broker, queue)
    assert 3 <= accepted <= 20  # RabbitMQ notices a moment late
    eventually(lambda: broker.depth(queue) == accepted)
    broker.purge(queue)
    eventually(lambda: accepts(broker, queue), what="room again")


def test_a_full_queue_that_drops_its_oldest_refuses_nothing(broker: Broker, unique: Unique) -> None:
    queue = unique("bounded")
    broker.declare(Topology(queues=(Queue(queue, QueueType.CLASSIC, max_length=3, drop_oldest=True),)))
    send(broker, queue, *map(str, range(10)))
    eventually(lambda: broker.depth(queue) == 3)
    assert [body_of(take(broker, queue)) for _ in range(3)] == ["7", "8", "9"]


def fill(broker: Broker, queue: str) -> int:
    count = 0
    while accepts(broker, queue):
        count += 1
        assert count < 1000
    return count


def accepts(broker: Broker, queue: str) -> bool:
    try:
        broker.publish("", queue, Message(b""))
    except PublishNacked:
        return False
    return True


def test_depth_counts_ready_messages_and_purge_drops_them(broker: Broker, queue: str, unique: Unique) -> None:
    send(broker, queue, "a", "b", "c")
    held = take(broker, queue)
    assert broker.depth(queue) == 2
    assert broker.purge(queue) == 2
    held.reject(requeue=True)
    eventually(lambda: broker.depth(queue) == 1)
    assert broker.depth(unique("missing")) == broker.purge(unique("missing")) == 0


# --- consumers --------------------------------------------------------------------------------------------------------
def test_a_consumer_holds_at_most_prefetch_messages(broker: Broker, queue: str, inbox: Inbox) -> None:
    send(broker, queue, "a", "b", "c", "d")
    broker.consume(queue, inbox.put, prefetch=2)
    first, second = inbox.wait(2)
    assert (body_of(first), body_of(second)) == ("a", "b")
    assert broker.depth(queue) == 2
    delivery_of(second).ack()
    assert body_of(inbox.wait(3)[2]) == "c"
    assert broker.depth(queue) == 1


def test_two_consumers_share_a_queue(broker: Broker, queue: str) -> None:
    left, right = Inbox(), Inbox()
    broker.consume(queue, left.put, prefetch=1)
    broker.consume(queue, right.put, prefetch=1)
    send(broker, queue, "a", "b")
    assert {body_of(left.wait(1)[0]), body_of(right.wait(1)[0])} == {"a", "b"}


def test_a_paused_consumer_gets_nothing_until_it_is_resumed(broker: Broker, queue: str, inbox: Inbox) -> None:
    consumer = broker.consume(queue, inbox.put, prefetch=1)
    send(broker, queue, "before")
    held = inbox.wait(1)[0]
    consumer.pause()
    consumer.pause()
    delivery_of(held).ack()
    send(broker, queue, "meanwhile")
    eventually(lambda: broker.depth(queue) == 1)
    assert len(inbox.items) == 1
    consumer.resume()
    consumer.resume()
    assert body_of(inbox.wait(2)[1]) == "meanwhile"
    assert len(inbox.items) == 2


def test_a_cancelled_consumer_gets_nothing_more_but_may_settle_what_it_has(
    broker: Broker, queue: str, inbox: Inbox
) -> None:
    consumer = broker.consume(queue, inbox.put, prefetch=10)
    send(broker, queue, "mine")
    mine = inbox.wait(1)[0]
    consumer.cancel()
    consumer.cancel()
    consumer.resume()
    send(broker, queue, "not mine")
    delivery_of(mine).reject(requeue=False)
    assert body_of(take(broker, f"{queue}.dead")) == "mine"
    assert body_of(take(broker, queue)) == "not mine"
    assert len(inbox.items) == 1


def test_a_second_settle_is_ignored(broker: Broker, queue: str) -> None:
    send(broker, queue, "once")
    delivery = take(broker, queue)
    delivery.ack()
    delivery.reject(requeue=True)
    delivery.ack()
    send(broker, queue, "next")
    assert body_of(take(broker, queue)) == "next"
    assert broker.depth(queue) == 0


def test_a_callback_that_raises_is_counted_and_the_next_message_comes(broker: Broker, queue: str, inbox: Inbox) -> None:
    before = happenings.counts()["consumer_callback_failed"]

    def callback(delivery: Delivery) -> None:
        if delivery.message.body == b"bad":
            raise RuntimeError("handler trouble")
        inbox.put(delivery)

    broker.consume(queue, callback, prefetch=5)
    send(broker, queue, "bad", "good")
    assert body_of(inbox.wait(1)[0]) == "good"
    assert happenings.counts()["consumer_callback_failed"] == before + 1


# --- declarations and life --------------------------------------------------------------------------------------------
def test_declaring_twice_is_fine_and_a_conflict_names_the_queue(broker: Broker, queue: str) -> None:
    declare_dying(broker, queue)
    with pytest.raises(ConfigError, match=f"{queue}.*settings"):
        broker.declare(Topology(queues=(Queue(queue, max_length=5),)))
    send(broker, queue, "unharmed")
    assert broker.depth(queue) == 1


def test_a_missing_queue_or_exchange_is_named(broker: Broker, queue: str, unique: Unique) -> None:
    missing = unique("missing")
    with pytest.raises(ConfigError, match=missing):
        broker.consume(missing, lambda _: None, prefetch=1)
    with pytest.raises(ConfigError, match=missing):
        broker.get(missing)
    with pytest.raises(ConfigError, match=missing):
        broker.declare(Topology(bindings=(Binding(missing, queue, "k"),)))


def test_after_a_stop_unsettled_messages_come_again_and_late_settles_are_ignored(broker: Broker, queue: str) -> None:
    send(broker, queue, "precious")
    late = take(broker, queue)
    broker.stop()
    late.ack()
    broker.start()
    again = take(broker, queue)
    assert (body_of(again), again.redelivered) == ("precious", True)


def test_an_exclusive_queue_vanishes_with_its_connection(broker: Broker, unique: Unique) -> None:
    own = unique("own")
    broker.declare(Topology(queues=(Queue(own, type=QueueType.CLASSIC, exclusive=True),)))
    send(broker, own, "x")
    assert broker.depth(own) == 1
    broker.stop()
    broker.start()
    with pytest.raises(Unroutable):
        send(broker, own, "y")


def test_stop_is_legal_twice_and_a_stopped_broker_says_what_to_do(broker: Broker, queue: str) -> None:
    broker.stop()
    broker.stop()
    for use in (lambda: send(broker, queue, "x"), lambda: broker.get(queue), lambda: broker.declare(Topology())):
        with pytest.raises(BrokerUnavailable, match=r"start\(\)"):
            use()


def test_many_threads_publish_and_every_message_arrives_once(broker: Broker, queue: str) -> None:
    def publish(worker: int) -> None:
        send(broker, queue, *(f"{worker}-{n}" for n in range(25)))

    workers = [threading.Thread(target=publish, args=(n,)) for n in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    seen = Inbox()
    broker.consume(queue, lambda delivery: (seen.put(delivery.message.body), delivery.ack())[0], prefetch=50)
    assert len(set(seen.wait(200))) == len(seen.items) == 200
