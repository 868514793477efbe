"""The outbox on both brokers: what the broker cannot take waits, in order, bounded, counted, and goes out later."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fusebox import happenings, names
from fusebox.clock import ManualClock, SystemClock
from fusebox.errors import BrokerUnavailable, ConfigError, OutboxFull, PublishBlocked, Unroutable
from rabbitmq import Agent
from rabbitmq.broker import Binding, Broker, Message, Queue, QueueType, Topology
from rabbitmq.confirms import Confirm
from rabbitmq.outbox import Outbox
from rabbitmq.outbox_file import OutboxFile, open_file
from rabbitmq.outbox_waiting import Limits
from tests.fixtures.agents import RuntimeFactory, eventually
from tests.fixtures.broker import Unique

Make = Callable[..., Outbox]


class Away:
    """A broker that can be away."""

    def __init__(self, broker: Broker) -> None:
        self._broker, self.away = broker, True

    def publish(self, exchange: str, routing_key: str, message: Message, *, timeout: float = 5.0) -> None:
        self.publish_soon(exchange, routing_key, message, timeout=timeout)()

    def publish_soon(self, exchange: str, routing_key: str, message: Message, *, timeout: float = 5.0) -> Confirm:
        if self.away:
            raise PublishBlocked("test")
        return self._broker.publish_soon(exchange, routing_key, message, timeout=timeout)


@pytest.fixture
def away(broker: Broker) -> Away:
    return Away(broker)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def queue(broker: Broker, unique: Unique) -> str:
    name = unique("work")
    broker.declare(Topology(queues=(Queue(name),)))
    return name


@pytest.fixture
def make(away: Away, clock: ManualClock) -> Iterator[Make]:
    """Builds started outboxes before ``away``; stopped at the end."""
    made: list[Outbox] = []

    def build(limits: Limits | None = None, **settings: object) -> Outbox:
        outbox = Outbox(away, clock, limits or Limits(), **settings)  # type: ignore[arg-type]
        made.append(outbox)
        outbox.start()
        return outbox

    yield build
    for outbox in made:
        outbox.stop(0)


def bodies(broker: Broker, queue: str) -> list[bytes]:
    found = []
    while delivery := broker.get(queue):
        delivery.ack()
        found.append(delivery.message.body)
    return found


def count(kind: str) -> int:
    return happenings.counts()[kind]


def at(folder: Path) -> Callable[[], OutboxFile]:
    return lambda: open_file(folder, "test")


def test_what_waited_goes_out_in_order_under_its_own_id(broker: Broker, away: Away, queue: str, make: Make) -> None:
    outbox = make()
    first = Message(b"0")
    outbox.publish("", queue, first)
    for n in range(1, 200):
        outbox.publish("", queue, Message(str(n).encode()))
    assert outbox.waiting == 200
    away.away = False
    eventually(lambda: outbox.waiting == 0)
    delivery = broker.get(queue)
    assert delivery is not None
    assert (delivery.message.message_id, delivery.message.body) == (first.message_id, b"0")
    assert bodies(broker, queue) == [str(n).encode() for n in range(1, 200)]


def test_later_messages_queue_behind_those_that_wait(broker: Broker, away: Away, queue: str, make: Make) -> None:
    gate = threading.Event()
    outbox = make(may_send=lambda _agent: gate.is_set())
    outbox.publish("", queue, Message(b"1"))
    away.away = False
    outbox.publish("", queue, Message(b"2"))
    assert outbox.waiting == 2
    gate.set()
    eventually(lambda: outbox.waiting == 0)
    assert bodies(broker, queue) == [b"1", b"2"]


def test_a_broker_that_is_there_is_asked_at_once(broker: Broker, away: Away, queue: str, make: Make) -> None:
    outbox, away.away = make(), False
    outbox.publish("", queue, Message(b"1"))
    assert bodies(broker, queue) == [b"1"]
    with pytest.raises(Unroutable):
        outbox.publish("", f"{queue}.nobody", Message(b"2"))


def test_what_a_full_queue_refuses_waits_until_there_is_room(
    broker: Broker, away: Away, queue: str, make: Make, unique: Unique
) -> None:
    outbox, small, away.away = make(), unique("small"), False
    broker.declare(Topology(queues=(Queue(small, QueueType.CLASSIC, max_length=1),)))
    for n in range(3):
        outbox.publish("", small, Message(str(n).encode()))
    assert outbox.waiting == 2
    outbox.publish("", queue, Message(b"other"))
    eventually(lambda: outbox.waiting == 2, what="a message for another queue passes")
    assert bodies(broker, queue) == [b"other"]
    found: list[bytes] = []
    while len(found) < 3:
        eventually(lambda: broker.depth(small) == 1)
        found += bodies(broker, small)
    assert found == [b"0", b"1", b"2"]
    eventually(lambda: outbox.waiting == 0)


def test_however_often_the_broker_goes_away_nothing_is_lost_and_each_publishers_order_holds(
    broker: Broker, away: Away, queue: str, make: Make
) -> None:
    outbox, done = make(), threading.Event()

    def publish(name: str) -> None:
        for n in range(100):
            outbox.publish("", queue, Message(str(n).encode(), {names.H_AGENT: name}))
            done.wait(0.001)

    publishers = [threading.Thread(target=publish, args=(name,)) for name in "abc"]
    for thread in publishers:
        thread.start()
    while any(thread.is_alive() for thread in publishers):
        away.away = not away.away
        done.wait(0.02)
    away.away = False
    eventually(lambda: outbox.waiting == 0)
    arrived: dict[str, list[int]] = {name: [] for name in "abc"}
    while delivery := broker.get(queue):
        delivery.ack()
        arrived[str(delivery.message.headers[names.H_AGENT])].append(int(delivery.message.body))
    assert arrived == {name: list(range(100)) for name in "abc"}


@pytest.mark.parametrize("limits", [Limits(messages=3), Limits(bytes=3)])
def test_a_full_outbox_refuses_loudly_and_keeps_what_it_has(
    broker: Broker, away: Away, queue: str, make: Make, limits: Limits
) -> None:
    outbox, before = make(limits), count("outbox_full")
    for n in range(3):
        outbox.publish("", queue, Message(str(n).encode()))
    with pytest.raises(OutboxFull, match="3 messages wait"):
        outbox.publish("", queue, Message(b"x"))
    assert count("outbox_full") == before + 1
    away.away = False
    eventually(lambda: outbox.waiting == 0)
    assert bodies(broker, queue) == [b"0", b"1", b"2"]


def test_a_message_that_waits_too_long_is_given_up_and_counted(
    broker: Broker, away: Away, queue: str, make: Make, clock: ManualClock
) -> None:
    outbox, before = make(Limits(age_s=60)), count("outbox_expired")
    outbox.publish("", queue, Message(b"old"))
    clock.advance(61)
    eventually(lambda: count("outbox_expired") == before + 1)
    away.away = False
    outbox.publish("", queue, Message(b"new"))
    eventually(lambda: outbox.waiting == 0)
    assert bodies(broker, queue) == [b"new"]


def test_a_message_that_no_queue_takes_lets_others_pass_and_waits_for_its_queue(
    broker: Broker, away: Away, queue: str, make: Make, unique: Unique, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rabbitmq.outbox._REFUSED_S", 0.1)
    outbox, late = make(), unique("late")
    outbox.publish("", late, Message(b"1"))
    outbox.publish("", queue, Message(b"2"))
    away.away = False
    eventually(lambda: outbox.waiting == 1)
    assert bodies(broker, queue) == [b"2"]
    broker.declare(Topology(queues=(Queue(late),)))
    eventually(lambda: outbox.waiting == 0)
    assert bodies(broker, late) == [b"1"]


def test_messages_of_an_agent_that_may_not_send_wait_and_hold_up_no_other(
    broker: Broker, away: Away, queue: str, make: Make
) -> None:
    killed = {"bad"}
    outbox = make(may_send=lambda agent: agent not in killed)
    outbox.publish("", queue, Message(b"bad", {names.H_AGENT: "bad"}))
    outbox.publish("", queue, Message(b"good", {names.H_AGENT: "good"}))
    away.away = False
    eventually(lambda: outbox.waiting == 1)
    assert bodies(broker, queue) == [b"good"]
    killed.clear()
    eventually(lambda: outbox.waiting == 0)
    assert bodies(broker, queue) == [b"bad"]


def test_stopping_without_a_file_counts_what_is_lost(queue: str, make: Make) -> None:
    outbox, before = make(), count("outbox_lost")
    outbox.publish("", queue, Message(b"1"))
    outbox.publish("", queue, Message(b"2"))
    outbox.stop(0)
    outbox.stop(0)
    assert count("outbox_lost") == before + 2
    with pytest.raises(PublishBlocked):
        outbox.publish("", queue, Message(b"3"))


def test_stopping_with_a_file_leaves_it_to_the_next_start(
    broker: Broker, away: Away, queue: str, make: Make, tmp_path: Path
) -> None:
    outbox = make(opening=at(tmp_path))
    sent = [Message(str(n).encode(), {"n": n, "f": 0.5, "b": True}, correlation_id="wf") for n in range(3)]
    for message in sent:
        outbox.publish("", queue, message)
    outbox.stop(0)
    away.away = False
    again = make(opening=at(tmp_path))
    eventually(lambda: again.waiting == 0)
    deliveries = [broker.get(queue) for _ in sent]
    assert [delivery and delivery.message for delivery in deliveries] == sent
    assert (tmp_path / "test-0.jsonl").read_bytes() == b""


def test_an_outbox_that_was_not_started_passes_the_brokers_error_on(away: Away, queue: str, clock: ManualClock) -> None:
    outbox = Outbox(away, clock, Limits())  # type: ignore[arg-type]
    outbox.stop(0)
    with pytest.raises(PublishBlocked):
        outbox.publish("", queue, Message(b"1"))


def test_a_folder_that_cannot_be_used_is_a_wrong_setting(away: Away, clock: ManualClock, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    outbox = Outbox(away, clock, Limits(), opening=at(tmp_path / "file"))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="durable_outbox"):
        outbox.start()


def test_an_agent_publishes_into_the_outbox_of_its_runtime(
    broker: Broker, runtimes: RuntimeFactory, unique: Unique, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime, key = runtimes(SystemClock(), durable_outbox=True), unique("key")
    runtime.start()
    broker.declare(Topology(queues=(Queue(key),), bindings=(Binding(names.EXCHANGE_EVENTS, key, key),)))
    agent = Agent(unique("agent"), runtime)
    with monkeypatch.context() as broken:
        broken.setattr(runtime.outbox, "_broker", Away(broker))
        message_id = agent.publish(key, {"n": 1}, outbox=True)
        assert runtime.outbox.waiting == 1
    eventually(lambda: runtime.outbox.waiting == 0)
    delivery = broker.get(key)
    assert delivery is not None
    assert (delivery.message.message_id, delivery.message.body) == (message_id, b'{"n":1}')


def test_a_runtime_that_does_not_run_keeps_nothing(runtimes: RuntimeFactory, unique: Unique) -> None:
    runtime = runtimes()
    runtime.broker.stop()
    with pytest.raises(BrokerUnavailable):
        Agent(unique("agent"), runtime).publish("any.key", 1, outbox=True)
