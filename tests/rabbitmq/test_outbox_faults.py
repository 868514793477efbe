"""RabbitMQ dies or blocks, processes are killed: what an outbox acknowledged arrives, in order."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from fusebox import names
from fusebox.clock import SystemClock
from fusebox.config import Config
from fusebox.errors import BrokerUnavailable, Unroutable
from rabbitmq import Agent, Runtime
from rabbitmq.amqp import AmqpBroker
from rabbitmq.broker import Binding, Broker, Message, Queue, QueueType, Topology
from rabbitmq.node import PrivateNode
from rabbitmq.outbox import Outbox
from rabbitmq.outbox_file import open_file
from rabbitmq.outbox_waiting import Limits
from tests.fixtures.agents import eventually
from tests.fixtures.broker import Unique

ROOT = Path(__file__).resolve().parents[2]
PUBLISHER = """
import sys
from functools import partial
from pathlib import Path

from fusebox.clock import SystemClock
from rabbitmq.broker import Message
from rabbitmq.inprocess import InProcessBroker
from rabbitmq.outbox import Outbox
from rabbitmq.outbox_file import open_file
from rabbitmq.outbox_waiting import Limits

folder, queue, first = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
outbox = Outbox(InProcessBroker(), SystemClock(), Limits(), opening=partial(open_file, folder, "agent"))
outbox.start()
while True:
    outbox.publish("", queue, Message(b"", message_id=str(first)))
    print(first, flush=True)
    first += 1
"""


@pytest.fixture
def runtime(rabbitmq_url: str, tmp_path: Path) -> Iterator[Runtime]:
    """A runtime with a durable outbox on the real RabbitMQ."""
    config = Config(data_dir=tmp_path / "data", agents_file=tmp_path / "agents.toml", durable_outbox=True)  # type: ignore[call-arg]
    runtime = Runtime.from_config(config, broker=AmqpBroker(rabbitmq_url), name="outbox")
    runtime.start()
    yield runtime
    runtime.stop(5)


@pytest.fixture
def key(runtime: Runtime, unique: Unique) -> str:
    """A routing key whose messages go to a queue of the same name; classic, so that it outlives a kill at once."""
    key = unique("work")
    queue = Queue(key, type=QueueType.CLASSIC)
    runtime.broker.declare(Topology(queues=(queue,), bindings=(Binding(names.EXCHANGE_EVENTS, key, key),)))
    return key


@pytest.fixture
def alarm(rabbitmq_node: PrivateNode) -> Iterator[Callable[[], None]]:
    """Ends the memory alarm under which the test begins."""
    rabbitmq_node.ctl("set_vm_memory_high_watermark", "absolute", "1MB")

    def end() -> None:
        rabbitmq_node.ctl("set_vm_memory_high_watermark", "0.4")

    yield end
    end()


def ids(broker: Broker, queue: str) -> list[str]:
    """Ids of what is in the queue, without the repetitions that at-least-once allows."""
    found: dict[str, None] = {}
    while delivery := broker.get(queue):
        delivery.ack()
        found[delivery.message.message_id] = None
    return list(found)


def is_back(broker: Broker, queue: str) -> bool:
    try:
        broker.depth(queue)
        broker.publish("", f"{queue}.nobody", Message(b""), timeout=0.5)
    except BrokerUnavailable:
        return False
    except Unroutable:
        return True
    return False


def publish_in_time(agent: Agent, key: str, count: int, timeout: float) -> list[str]:
    """Publish; only the first may wait for the broker, and not for longer than its deadline."""
    context, started = agent.context(), time.monotonic()
    sent = [context.publish(key, n, outbox=True, timeout=timeout) for n in range(count)]
    assert time.monotonic() - started < timeout + 10
    return sent


@pytest.mark.faults
def test_messages_published_while_rabbitmq_is_dead_arrive_in_order_when_it_is_back(
    runtime: Runtime, rabbitmq_node: PrivateNode, key: str
) -> None:
    agent = Agent("publisher", runtime)
    before = publish_in_time(agent, key, 20, 5)
    assert runtime.outbox.waiting == 0
    rabbitmq_node.kill()
    during = publish_in_time(agent, key, 200, 0.5)
    assert runtime.outbox.waiting == 200
    rabbitmq_node.start()
    eventually(lambda: runtime.outbox.waiting == 0, what="the outbox is empty")
    eventually(lambda: is_back(runtime.broker, key), what="both connections are back")
    after = publish_in_time(agent, key, 1, 5)
    assert ids(runtime.broker, key) == before + during + after


@pytest.mark.faults
def test_under_a_memory_alarm_publishing_goes_on_and_nothing_is_lost(
    runtime: Runtime, key: str, alarm: Callable[[], None]
) -> None:
    sent = publish_in_time(Agent("publisher", runtime), key, 20, 1)
    assert runtime.outbox.waiting == 20
    alarm()
    eventually(lambda: runtime.outbox.waiting == 0, what="the outbox is empty")
    assert ids(runtime.broker, key) == sent


@pytest.mark.faults
def test_what_a_killed_process_acknowledged_is_sent_by_the_next(broker: Broker, unique: Unique, tmp_path: Path) -> None:
    queue, acknowledged = unique("work"), 0
    broker.declare(Topology(queues=(Queue(queue),)))
    for generation in range(4):  # each inherits what those before it left, and is killed in the middle
        acknowledged = run_until_killed(tmp_path, queue, acknowledged, 40 * generation + 13)
    outbox = Outbox(broker, SystemClock(), Limits(), opening=partial(open_file, tmp_path, "agent"))
    outbox.start()
    eventually(lambda: outbox.waiting == 0)
    outbox.stop(0)
    arrived = [int(each) for each in ids(broker, queue)]
    assert arrived == sorted(arrived)
    assert set(range(acknowledged)) <= set(arrived)


def run_until_killed(folder: Path, queue: str, first: int, count: int) -> int:
    """Let a process publish ``count`` messages or more, SIGKILL it; the number after the last acknowledged one."""
    command = [sys.executable, "-c", PUBLISHER, str(folder), queue, str(first)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(count):
            assert process.stdout.readline()
        process.kill()
        rest = process.stdout.read().splitlines()
    return first + count + len([line for line in rest if line])
