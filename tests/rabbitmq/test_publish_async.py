"""Publishing from coroutines on both brokers: thousands at once, cancelled ones withdrawn, errors as for threads."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar
from uuid import uuid4

import pytest

from fusebox import names
from fusebox.errors import ConfigError, PublishTimeout, Unroutable
from rabbitmq import Agent, Context, Runtime
from rabbitmq.amqp import AmqpBroker
from rabbitmq.broker import Message, Queue, Topology
from rabbitmq.confirms import confirmed
from tests.fixtures.agents import Inbox, RuntimeFactory, eventually, once_stop_waits
from tests.fixtures.broker import Unique
from tests.fixtures.proxy import Proxy

T = TypeVar("T")


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """On a thread of its own: the main one may have an event loop, left there by the browser of other tests."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()


@pytest.fixture
def runtime(runtimes: RuntimeFactory) -> Runtime:
    return runtimes()


@pytest.fixture
def agent(runtime: Runtime, inbox: Inbox, stopping: Callable[[Agent], Agent]) -> Agent:
    name = f"helper-{uuid4().hex[:8]}"
    agent = stopping(Agent(name, runtime, concurrency=4, prefetch=50))

    @agent.on(f"{name}.work")
    def handle(n: int, ctx: Context) -> None:
        inbox.put(n)

    agent.start()
    return agent


def test_thousands_at_once_take_no_threads_of_their_own(agent: Agent, inbox: Inbox) -> None:
    most = 0

    def others() -> int:
        """Threads beside those of the agent's workers."""
        return sum(f"fusebox-{agent.name}" not in thread.name for thread in threading.enumerate())

    async def one(ctx: Context, n: int) -> None:
        nonlocal most
        await ctx.publish_async(f"{agent.name}.work", n)
        most = max(most, others())

    async def many() -> None:
        ctx = agent.context()
        await asyncio.gather(*(one(ctx, n) for n in range(900)))

    before = others()
    run(many())
    assert sorted(inbox.wait(900)) == list(range(900))
    assert most <= before + 2


def test_what_no_queue_takes_is_the_callers_error(agent: Agent) -> None:
    with pytest.raises(Unroutable):
        run(agent.context().publish_async("nobody.takes.this", 1))


def test_the_event_loop_is_free_while_a_confirm_is_awaited(agent: Agent, inbox: Inbox) -> None:
    async def both() -> int:
        turns, publishing = 0, asyncio.ensure_future(agent.context().publish_async(f"{agent.name}.work", 1))
        while not publishing.done():
            turns += 1
            await asyncio.sleep(0)
        await publishing
        return turns

    assert run(both()) >= 1
    assert inbox.wait(1) == [1]


@pytest.fixture
def proxied(proxy: Proxy) -> Iterator[AmqpBroker]:
    broker = AmqpBroker(proxy.url, client_name="proxied")
    broker.start()
    yield broker
    proxy.thaw()
    broker.stop()


def test_a_deadline_holds_although_nobody_answers(proxied: AmqpBroker, proxy: Proxy, unique: Unique) -> None:
    queue = unique("slow")
    proxied.declare(Topology(queues=(Queue(queue),)))

    async def publish() -> None:
        await confirmed(proxied.publish_soon("", queue, Message(b"x"), timeout=0.3), 0.3)

    proxy.freeze()
    with pytest.raises(PublishTimeout, match="may still arrive"):
        run(publish())


def test_prefetch_is_at_least_the_concurrency(runtime: Runtime) -> None:
    for wrong in ({"concurrency": 0}, {"concurrency": 4, "prefetch": 3}):
        with pytest.raises(ConfigError, match="concurrency"):
            Agent("x", runtime, **wrong)  # type: ignore[arg-type]


def test_messages_beyond_the_concurrency_wait_here_and_go_back_at_the_stop(
    runtime: Runtime, inbox: Inbox, stopping: Callable[[Agent], Agent], monkeypatch: pytest.MonkeyPatch
) -> None:
    name, release = f"slow-{uuid4().hex[:8]}", threading.Event()
    agent = stopping(Agent(name, runtime, prefetch=5))

    @agent.on(f"{name}.work")
    def handle(n: int, ctx: Context) -> None:
        inbox.put(n)
        release.wait(10)

    agent.start()
    for n in range(3):
        runtime.broker.publish(names.EXCHANGE_EVENTS, f"{name}.work", Message(str(n).encode()))
    eventually(lambda: agent._workers and len(agent._workers._waiting) == 2, what="two wait here")
    assert inbox.wait(1) == [0]
    assert runtime.broker.depth(name) == 0
    once_stop_waits(agent, monkeypatch, release.set)
    agent.stop()
    assert inbox.items == [0]
    eventually(lambda: runtime.broker.depth(name) == 2, what="two are back in the queue")
    agent.start()
    assert inbox.wait(3) == [0, 1, 2]
