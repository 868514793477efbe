"""Places and threads: how many messages are handled at once, by ``def`` and by ``async def``."""

import asyncio
import random
import threading
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rabbitmq import Agent, Context, Runtime
from rabbitmq.running import LOOP
from rabbitmq.workers import Workers
from tests.fixtures.agents import Inbox, RuntimeFactory, eventually, once_stop_waits

Keep = Callable[[Agent], Agent]


@pytest.fixture
def runtime(runtimes: RuntimeFactory) -> Runtime:
    return runtimes()


@pytest.fixture
def name() -> str:
    return f"helper-{uuid4().hex[:8]}"


def threads_of(name: str) -> int:
    return sum(thread.name.startswith(f"fusebox-{name}-") for thread in threading.enumerate())


def test_hundreds_of_coroutines_are_handled_at_once_on_a_few_threads(
    runtime: Runtime, name: str, inbox: Inbox, stopping: Keep
) -> None:
    agent = stopping(Agent(name, runtime, concurrency=300))
    here, threads, everybody = 0, 0, asyncio.Event()

    @agent.on(f"{name}.work")
    async def handle(n: int, ctx: Context) -> None:
        nonlocal here, threads
        here += 1
        if here == 300:
            threads = threads_of(name)
            everybody.set()
        await everybody.wait()
        inbox.put(n)

    agent.start()
    for begun in range(0, 300, 20):  # a thread for each that arrives, until it waits in its coroutine
        agent.context().publish_many([(f"{name}.work", begun + n) for n in range(20)])
        eventually(lambda: here >= begun + 20)  # noqa: B023
    assert sorted(inbox.wait(300)) == list(range(300))  # type: ignore[type-var]
    eventually(lambda: runtime.broker.depth(name) == 0)
    assert threads < 100


def test_no_more_coroutines_than_places_and_every_message_gets_its_turn(
    runtime: Runtime, name: str, inbox: Inbox, stopping: Keep
) -> None:
    agent = stopping(Agent(name, runtime, concurrency=3, prefetch=20))
    running, most, go_on = 0, 0, asyncio.Event()

    @agent.on(f"{name}.work")
    async def handle(n: int, ctx: Context) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await go_on.wait()
        running -= 1
        inbox.put(n)

    agent.start()
    agent.context().publish_many([(f"{name}.work", n) for n in range(60)])
    eventually(lambda: agent._workers and len(agent._workers._waiting) == 17, what="the others wait for a place")
    eventually(lambda: running == 3, what="every place is taken")
    LOOP._loop.call_soon_threadsafe(go_on.set)  # type: ignore[union-attr]
    assert sorted(inbox.wait(60)) == list(range(60))  # type: ignore[type-var]
    assert most == 3


def test_a_stop_waits_for_coroutines_and_gives_back_what_nobody_began(
    runtime: Runtime, name: str, inbox: Inbox, stopping: Keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = stopping(Agent(name, runtime, concurrency=2, prefetch=10))
    release, ended = threading.Event(), Inbox()

    @agent.on(f"{name}.work")
    async def handle(n: int, ctx: Context) -> None:
        inbox.put(n)
        while not release.is_set():
            await asyncio.sleep(0.01)
        ended.put(n)

    agent.start()
    agent.context().publish_many([(f"{name}.work", n) for n in range(6)])
    eventually(lambda: agent._workers and len(agent._workers._waiting) == 4, what="the others wait for a place")
    begun = inbox.wait(2)
    once_stop_waits(agent, monkeypatch, release.set)
    agent.stop()
    assert inbox.items == begun
    assert sorted(ended.items) == sorted(begun)  # type: ignore[type-var]
    eventually(lambda: runtime.broker.depth(name) == 4, what="the others are back in the queue")


@settings(max_examples=40)
@given(
    places=st.integers(1, 4),
    steps=st.lists(st.integers(0, 3), min_size=1, max_size=30),
    seed=st.integers(0, 9),
)
def test_never_more_begun_than_places_in_the_order_of_arrival_and_each_to_its_end(
    places: int, steps: list[int], seed: int
) -> None:
    """``steps[n]``: how often message n goes on elsewhere before it ends."""
    workers = Workers("model", places, lambda over: None)
    lock, begun, ended, elsewhere = threading.Lock(), [], [], []  # type: ignore[var-annotated]
    most, order = 0, random.Random(seed)

    def go_on(n: int, left: int) -> bool:
        with lock:
            if left:
                elsewhere.append((n, left - 1))
            else:
                ended.append(n)
        return left > 0

    def job(delivery: Any) -> bool:
        nonlocal most
        with lock:
            begun.append(delivery.n)
            most = max(most, len(begun) - len(ended))
        return go_on(delivery.n, steps[delivery.n])

    for n in range(len(steps)):
        workers.submit(job, SimpleNamespace(n=n))  # type: ignore[arg-type]

    def drained() -> bool:
        with lock:
            order.shuffle(elsewhere)
            due, elsewhere[:] = list(elsewhere), []
        for n, left in due:
            workers.resume(lambda n=n, left=left: go_on(n, left))  # type: ignore[misc]
        return len(ended) == len(steps)

    eventually(drained)
    eventually(lambda: workers.idle)
    workers.stop(5)
    assert most <= places
    assert begun == sorted(begun) if places == 1 else sorted(begun) == list(range(len(steps)))
    assert sorted(ended) == list(range(len(steps)))
