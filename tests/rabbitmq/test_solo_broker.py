"""Redelivered messages come alone: over both brokers, and what a process that dies on one message does to the rest."""

import subprocess
import sys
import textwrap
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from rabbitmq.amqp import AmqpBroker
from rabbitmq.broker import Broker, Delivery
from tests.fixtures.agents import Inbox, eventually
from tests.fixtures.broker import Unique
from tests.fixtures.proxy import Proxy
from tests.rabbitmq.test_broker import body_of, declare_dying, delivery_of, send

Act = Callable[[Broker, str], None]


@pytest.fixture
def queue(broker: Broker, unique: Unique) -> str:
    """An empty queue."""
    return declare_dying(broker, unique("work"))


def leave(broker: Broker, queue: str, *bodies: str) -> None:
    """Put messages into the queue that somebody held before."""
    before, held = broker.depth(queue), Inbox()
    send(broker, queue, *bodies)
    consumer = broker.consume(queue, held.put, prefetch=len(bodies), alone=False)
    taken = held.wait(len(bodies))
    consumer.cancel()
    for delivery in taken:
        delivery_of(delivery).reject(requeue=True)
    eventually(lambda: broker.depth(queue) == before + len(bodies), what="all are back")


def bodies(inbox: Inbox) -> list[str]:
    return [body_of(item) for item in inbox.items]


def test_what_an_earlier_life_left_comes_one_at_a_time_and_fresh_ones_together(
    broker: Broker, queue: str, inbox: Inbox
) -> None:
    leave(broker, queue, "r1", "r2", "r3")
    send(broker, queue, "a", "b", "c", "d")
    broker.consume(queue, inbox.put, prefetch=3)
    for count in (1, 2, 3):
        suspect = delivery_of(inbox.wait(count)[-1])
        assert (len(inbox.items), broker.depth(queue)) == (count, 7 - count)
        suspect.ack()
    inbox.wait(6)
    assert bodies(inbox) == ["r1", "r2", "r3", "a", "b", "c"]
    assert broker.depth(queue) == 1


class Crew:
    """Handles messages on threads, gives some back the first time, and notes who was handled beside whom."""

    def __init__(self, gives_back: Callable[[Delivery], bool]) -> None:
        self._gives_back = gives_back
        self._threads = ThreadPoolExecutor(4)
        self._lock = threading.Lock()
        self._out: list[Delivery] = []
        self.handled: Counter[str] = Counter()
        self.beside_a_suspect: list[str] = []
        self.most = 0

    def take(self, delivery: Delivery) -> None:
        with self._lock:
            if self._out and any(each.redelivered for each in (*self._out, delivery)):
                self.beside_a_suspect.append(body_of(delivery))
            self._out.append(delivery)
            self.most = max(self.most, len(self._out))
        self._threads.submit(self._handle, delivery)

    def _handle(self, delivery: Delivery) -> None:
        again = not delivery.redelivered and self._gives_back(delivery)
        with self._lock:
            self._out.remove(delivery)
            self.handled[body_of(delivery)] += not again
        if again:
            delivery.reject(requeue=True)
        else:
            delivery.ack()


def test_under_load_a_suspect_is_never_beside_another_message(broker: Broker, queue: str) -> None:
    crew = Crew(lambda delivery: int(delivery.message.body) % 7 == 3)
    send(broker, queue, *map(str, range(40)))
    broker.consume(queue, crew.take, prefetch=8)
    send(broker, queue, *map(str, range(40, 120)))
    eventually(lambda: crew.handled == Counter(map(str, range(120))), what="each message is handled once")
    assert crew.beside_a_suspect == []
    assert crew.most > 1


def test_one_that_only_looks_gets_all_at_once(broker: Broker, queue: str, inbox: Inbox) -> None:
    leave(broker, queue, "r1", "r2", "r3")
    broker.consume(queue, inbox.put, prefetch=3, alone=False)
    inbox.wait(3)
    assert bodies(inbox) == ["r1", "r2", "r3"]


def test_a_suspect_for_which_the_callback_raises_holds_up_nobody(broker: Broker, queue: str, inbox: Inbox) -> None:
    def callback(delivery: Delivery) -> None:
        if delivery.message.body.startswith(b"bad"):
            raise RuntimeError("handler trouble")
        inbox.put(delivery)

    leave(broker, queue, "bad 1", "r2", "bad 3", "r4")
    send(broker, queue, "a", "b")
    broker.consume(queue, callback, prefetch=5)
    for count in (1, 2):
        delivery_of(inbox.wait(count)[-1]).ack()
    inbox.wait(4)
    assert bodies(inbox) == ["r2", "r4", "a", "b"]


# --- pause, resume and cancel in each phase ---------------------------------------------------------------------------
def first_is_a_suspect(broker: Broker, queue: str) -> None:
    leave(broker, queue, "1", "2")
    send(broker, queue, "3", "4", "5")


def all_are_fresh(broker: Broker, queue: str) -> None:
    send(broker, queue, "1", "2", "3", "4", "5")


PHASES = pytest.mark.parametrize(
    ("fill", "out", "given_back"),
    [(first_is_a_suspect, 1, False), (all_are_fresh, 3, False), (all_are_fresh, 3, True)],
    ids=["a suspect is out", "fresh ones are out", "a suspect waits for fresh ones"],
)


def in_phase(broker: Broker, queue: str, inbox: Inbox, given_back: bool, out: int) -> list[Delivery]:
    """What is out."""
    taken = [delivery_of(item) for item in inbox.wait(out)]
    if given_back:
        taken.pop(0).reject(requeue=True)
    return taken


@PHASES
@pytest.mark.parametrize("settled_while_paused", [True, False])
def test_a_pause_in_any_phase_gives_back_what_waits_and_a_resume_loses_nothing(
    broker: Broker, queue: str, inbox: Inbox, fill: Act, out: int, given_back: bool, settled_while_paused: bool
) -> None:
    fill(broker, queue)
    consumer = broker.consume(queue, inbox.put, prefetch=3)
    held = in_phase(broker, queue, inbox, given_back, out)
    consumer.pause()
    eventually(lambda: broker.depth(queue) == 5 - len(held), what="all that is not out is in the queue")
    if not settled_while_paused:
        consumer.resume()
    for delivery in held:
        delivery.ack()
    consumer.resume()
    assert handled_from(inbox, len(held), out) == {"1", "2", "3", "4", "5"}
    eventually(lambda: broker.depth(queue) == 0)


def handled_from(inbox: Inbox, handled: int, seen: int) -> set[str]:
    """Acknowledge whatever comes until five are handled; everybody's names."""
    while handled < 5:
        seen += 1
        delivery_of(inbox.wait(seen)[seen - 1]).ack()
        handled += 1
    return set(bodies(inbox))


@PHASES
def test_a_cancel_in_any_phase_leaves_the_rest_to_the_next(
    broker: Broker, queue: str, inbox: Inbox, fill: Act, out: int, given_back: bool
) -> None:
    fill(broker, queue)
    consumer = broker.consume(queue, inbox.put, prefetch=3)
    held = in_phase(broker, queue, inbox, given_back, out)
    consumer.cancel()
    eventually(lambda: broker.depth(queue) == 5 - len(held), what="all that is not out is in the queue")
    heir = Inbox()
    broker.consume(queue, heir.put, prefetch=3)
    mine = {body_of(delivery) for delivery in held}
    for delivery in held:
        delivery.ack()
    assert handled_from(heir, len(held), 0) | mine == {"1", "2", "3", "4", "5"}
    eventually(lambda: broker.depth(queue) == 0)


# --- only RabbitMQ ----------------------------------------------------------------------------------------------------
def test_what_is_on_its_way_to_a_full_consumer_waits_and_is_not_rejected(
    amqp: AmqpBroker, rabbitmq_url: str, unique: Unique, inbox: Inbox
) -> None:
    """A delivery limit of 1: one reject by us, or by pika behind our back, and a message would be dead."""
    queue = declare_dying(amqp, unique("limited"), delivery_limit=1)
    names = [str(n) for n in range(30)]
    other, taken = AmqpBroker(rabbitmq_url), Inbox()
    other.start()
    other.consume(queue, taken.put, prefetch=len(names))
    send(amqp, queue, *names)
    taken.wait(len(names))

    amqp.consume(queue, inbox.put, prefetch=50)
    send(amqp, queue, "fresh")
    fresh = delivery_of(inbox.wait(1)[0])
    send(amqp, queue, "fresh too")
    inbox.wait(2)
    other.stop()
    eventually(lambda: amqp.depth(queue) == 0, what="all are on their way to us")
    fresh.ack()
    delivery_of(inbox.items[1]).ack()
    for count in range(3, len(names) + 3):
        inbox.wait(count)
        assert len(inbox.items) == count
        delivery_of(inbox.items[-1]).ack()
    assert sorted(bodies(inbox)[2:]) == sorted(names)
    assert amqp.depth(f"{queue}.dead") == 0


def test_what_waits_when_the_connection_breaks_comes_again(
    proxy: Proxy, amqp: AmqpBroker, unique: Unique, inbox: Inbox
) -> None:
    queue = declare_dying(amqp, unique("work"))
    broker = AmqpBroker(proxy.url)
    broker.start()
    try:
        send(amqp, queue, "a", "b", "c", "d")
        broker.consume(queue, inbox.put, prefetch=3)
        delivery_of(inbox.wait(3)[0]).reject(requeue=True)
        proxy.cut()
        for count in range(4, 8):
            delivery_of(inbox.wait(count, 40)[-1]).ack()
        assert sorted(bodies(inbox)[3:]) == ["a", "b", "c", "d"]
        eventually(lambda: amqp.depth(queue) == 0)
    finally:
        broker.stop()


LIFE = textwrap.dedent("""
    import os, sys, threading
    from rabbitmq.amqp import AmqpBroker

    url, queue, prefetch = sys.argv[1], sys.argv[2], int(sys.argv[3])
    broker = AmqpBroker(url)

    def handle(delivery):
        if delivery.message.body == b"poison":
            os._exit(9)
        os.write(1, delivery.message.body + b"\\n")
        delivery.ack()

    def callback(delivery):
        threading.Timer(0.05, handle, [delivery]).start()  # many at once, as an agent's workers do

    broker.start()
    broker.consume(queue, callback, prefetch=prefetch)
    sys.stdin.read()
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer):
            thread.join()
    broker.stop()
""")


def live(url: str, queue: str, handled: Path, over: Callable[[], bool]) -> int:
    """One life of a process, until it is over or ends itself: how it ended. What it handled it adds to the file."""
    command = [sys.executable, "-c", LIFE, url, queue, "50"]
    with handled.open("a") as out, subprocess.Popen(command, stdin=subprocess.PIPE, stdout=out) as life:
        try:
            eventually(lambda: life.poll() is not None or over(), what="the poison strikes, or all is handled")
        finally:
            life.communicate(timeout=30)
    return life.returncode


@pytest.mark.faults
def test_a_message_that_kills_its_process_goes_alone_to_the_dead(
    amqp: AmqpBroker, rabbitmq_url: str, unique: Unique, tmp_path: Path
) -> None:
    queue = declare_dying(amqp, unique("work"), delivery_limit=3)
    neighbours = {f"n{number}" for number in range(49)}
    in_order = sorted(neighbours)
    send(amqp, queue, *in_order[:20], "poison", *in_order[20:])
    handled, lives, ended = tmp_path / "handled", 0, 9

    def over() -> bool:
        return amqp.depth(f"{queue}.dead") > 0 and set(handled.read_text().split()) == neighbours

    while ended:
        ended = live(rabbitmq_url, queue, handled, over)
        assert ended in (0, 9)
        lives += 1
        assert lives <= 6, "the poison message is never given up"
    assert amqp.depth(queue) == 0
    assert amqp.depth(f"{queue}.dead") == 1
    dead = amqp.get(f"{queue}.dead")
    assert dead is not None
    assert body_of(dead) == "poison"
    dead.ack()
