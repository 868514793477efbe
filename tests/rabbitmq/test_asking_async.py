"""Coroutines that act while a policy server, or *watch*, takes its time: the event loop goes on with the others."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import uuid4

import pytest

from fusebox.errors import Refused
from governance.policy.bundle import read_bundle
from governance.policy.source import SHIPPED, folder_of
from rabbitmq import Agent, Context
from tests.fixtures.agents import RuntimeFactory
from tests.governance.policy.opa_server import OpaServer, opa_server
from tests.rabbitmq.test_publish_async import run

pytestmark = pytest.mark.parametrize("broker", ["inprocess"], indirect=True)
AGENTS = """
[agents.{name}]
owner = "jo"
risk = "high"
handles = ["{name}.asked"]
publishes = ["{name}.asked"]
grants = [
    {{ action = "tool_call", resource = "look" }},
    {{ action = "tool_call", resource = "order", hold = true }},
    {{ action = "model_call", resource = "gpt-5" }},
]
"""
Act = Callable[[Context], Awaitable[object]]


async def look(ctx: Context) -> object:
    async def seven() -> int:
        return 7

    return await ctx.tool_async("look", seven)


async def publish(ctx: Context) -> object:
    return await ctx.publish_async(f"{ctx.agent}.asked", "x")


async def infer(ctx: Context) -> object:
    async with ctx.model_call_async("gpt-5", provider="openai", messages=[{"role": "user", "content": "?"}]) as call:
        return call.record({"choices": [{"message": {"content": "7"}}]})


async def order(ctx: Context) -> object:
    async def commit(quantity: int) -> int:
        return quantity

    return await ctx.tool_async("order", commit, 200)


async def forbidden(ctx: Context) -> object:
    async def never() -> None:
        raise AssertionError("it was called")

    return await ctx.tool_async("shell", never)


@pytest.fixture
def context(runtimes: RuntimeFactory, tmp_path: Path, stopping: Callable[[Agent], Agent]) -> Callable[[str], Context]:
    """A context of a started agent under a policy."""

    def make(policy: str) -> Context:
        name = f"clerk-{uuid4().hex[:8]}"
        (tmp_path / "agents.toml").write_text(AGENTS.format(name=name))
        agent = stopping(Agent(name, runtimes(policy=policy)))

        @agent.on(f"{name}.asked")
        def handle(item: str, ctx: Context) -> None:
            pass

        agent.start()
        return agent.context()

    return make


async def meanwhile(act: Awaitable[object], asked: Callable[[], object], answer: Callable[[], None]) -> object:
    """What comes of an action whose guards are answered by a coroutine of the same event loop."""
    acting = asyncio.ensure_future(act)
    while not asked():
        await asyncio.sleep(0.01)
    assert not acting.done(), "the event loop stood still until nobody had answered"
    answer()
    return await acting


@pytest.mark.parametrize("act", [look, publish, infer])
def test_a_policy_server_that_takes_its_time_holds_up_nobody_else(act: Act, context: Callable[[str], Context]) -> None:
    with opa_server() as server:
        ctx = slow(server, context)
        assert run(meanwhile(act(ctx), lambda: server.asked, server.ready.set))


def test_what_it_then_denies_does_not_happen(context: Callable[[str], Context]) -> None:
    with opa_server() as server:
        ctx = slow(server, context)
        with pytest.raises(Refused, match="no grant allows it"):
            run(meanwhile(forbidden(ctx), lambda: server.asked, server.ready.set))


def test_while_watch_is_asked_about_what_policy_holds_the_others_go_on(
    context: Callable[[str], Context], monkeypatch: pytest.MonkeyPatch
) -> None:
    ctx, asked, agreed = context(SHIPPED), threading.Event(), threading.Event()

    def require(*_args: object, **_more: object) -> None:
        asked.set()
        assert agreed.wait(5)

    monkeypatch.setattr(ctx.runtime.approvals, "require", require)
    assert run(meanwhile(order(ctx), asked.is_set, agreed.set)) == 200


def slow(server: OpaServer, context: Callable[[str], Context]) -> Context:
    server.serve(read_bundle(folder_of(SHIPPED)))
    ctx = context(server.url)
    server.asked.clear()
    server.ready.clear()
    return ctx
