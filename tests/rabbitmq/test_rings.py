"""Agents that send each other messages, on both brokers: which of them go round in circles, and which get on."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from fusebox import happenings
from fusebox.records import State
from rabbitmq import Agent, Context, Runtime
from tests.fixtures.agents import Inbox, RuntimeFactory, eventually

Keep = Callable[[Agent], Agent]
WORDS = ("anna", "bert", "carl", "dora", "emil", "fritz", "gerd", "hans", "ida", "jana", "karl", "lena", "mia", "nils")
PAGES = 8
PERIODIC = """
[agents.{}]
owner = "ops@example.com"
periodic = ["{}"]
"""


class Pair:
    """A reader that asks for page after page until there are enough, and a source that answers."""

    def __init__(self, inbox: Inbox, page: Callable[[int], object]) -> None:
        suffix = uuid4().hex[:8]
        self.names = f"reader-{suffix}", f"source-{suffix}"
        self.keys = f"page.wanted.{suffix}", f"page.ready.{suffix}"
        self._inbox, self._page = inbox, page

    def start(self, runtime: Runtime, stopping: Keep) -> None:
        wanted, ready = self.keys
        reader, source = (stopping(Agent(name, runtime)) for name in self.names)

        @reader.on(ready)
        def read(page: dict[str, object], ctx: Context) -> None:
            self._inbox.put(page)
            if len(self._inbox.items) < PAGES:
                ctx.publish(wanted, {"query": "customers", "page": len(self._inbox.items) + 1})

        @source.on(wanted)
        def answer(asked: dict[str, object], ctx: Context) -> None:
            ctx.publish(ready, {"page": asked["page"], "rows": self._page(len(self._inbox.items))})

        source.start()
        reader.start()
        reader.publish(wanted, {"query": "customers", "page": 1})

    def states(self, runtime: Runtime) -> list[State]:
        return [runtime.circuits.circuit(name).state for name in self.names]


def test_paging_by_messages_is_no_loop(runtimes: RuntimeFactory, stopping: Keep, inbox: Inbox) -> None:
    pair, runtime = Pair(inbox, lambda n: WORDS[n : n + 4]), runtimes()
    pair.start(runtime, stopping)
    inbox.wait(PAGES)
    assert pair.states(runtime) == [State.CLOSED, State.CLOSED]


def test_pages_that_all_say_the_same_are_a_loop(runtimes: RuntimeFactory, stopping: Keep, inbox: Inbox) -> None:
    pair, runtime = Pair(inbox, lambda _: "try again later"), runtimes()
    pair.start(runtime, stopping)
    eventually(lambda: State.OPEN in pair.states(runtime), what="one is open")
    assert len(inbox.items) <= 3


@pytest.mark.parametrize(("found", "stopped"), [(lambda n: f"found {WORDS[n]}", False), (lambda _: "nothing", True)])
def test_who_says_done_after_other_work_each_time_goes_round_and_who_works_for_nothing_does_not(
    runtimes: RuntimeFactory, stopping: Keep, inbox: Inbox, found: Callable[[int], str], stopped: bool
) -> None:
    runtime, suffix = runtimes(), uuid4().hex[:8]
    lead, hand = (stopping(Agent(f"{name}-{suffix}", runtime)) for name in ("lead", "hand"))

    @lead.on(f"done.{suffix}")
    def next_task(_: dict[str, str], ctx: Context) -> None:
        inbox.put(None)
        if len(inbox.items) < PAGES:
            ctx.publish(f"task.{suffix}", {"look for": WORDS[len(inbox.items)]})

    @hand.on(f"task.{suffix}")
    def work(task: dict[str, str], ctx: Context) -> None:
        ctx.tool("search", lambda _: found(len(inbox.items)), task)
        ctx.publish(f"done.{suffix}", {"status": "done"})

    hand.start()
    lead.start()
    lead.publish(f"task.{suffix}", {"look for": WORDS[0]})
    if stopped:
        eventually(lambda: runtime.circuits.circuit(hand.name).state is State.OPEN, what="stopped")
        assert len(inbox.items) <= 3
        return
    inbox.wait(PAGES)
    assert runtime.circuits.circuit(hand.name).state is State.CLOSED


def test_an_agent_that_publishes_by_itself_in_a_handler_goes_on_with_the_work_at_hand(
    runtimes: RuntimeFactory, stopping: Keep, inbox: Inbox
) -> None:
    runtime, suffix = runtimes(), uuid4().hex[:8]
    one, two = (stopping(Agent(f"{name}-{suffix}", runtime)) for name in ("ping", "pong"))

    @one.on(f"ping.{suffix}")
    def ping(n: int, ctx: Context) -> None:
        inbox.put((ctx.workflow.id, one.context().workflow.id, two.context().workflow.id))
        one.publish(f"pong.{suffix}", "try again later")

    @two.on(f"pong.{suffix}")
    async def pong(word: str, ctx: Context) -> None:
        await asyncio.to_thread(two.publish, f"ping.{suffix}", 1)

    one.start()
    two.start()
    one.publish(f"ping.{suffix}", 1)
    eventually(lambda: State.OPEN in [runtime.circuits.circuit(each.name).state for each in (one, two)], what="stopped")
    assert len(inbox.items) <= 3
    assert len({id for ids in inbox.items for id in ids}) == 1, "one workflow from beginning to end"
    assert one.context().workflow.id != one.context().workflow.id, "a new one each time outside of handlers"


def test_what_is_declared_periodic_may_go_round(
    runtimes: RuntimeFactory, stopping: Keep, inbox: Inbox, tmp_path: Path
) -> None:
    pair = Pair(inbox, lambda _: "try again later")
    entries = map(PERIODIC.format, pair.names, pair.keys)
    (tmp_path / "agents.toml").write_text("".join(entries))
    runtime = runtimes()
    pair.start(runtime, stopping)
    inbox.wait(PAGES)
    assert pair.states(runtime) == [State.CLOSED, State.CLOSED]


def test_an_agent_that_is_only_observed_may_go_round(runtimes: RuntimeFactory, stopping: Keep, inbox: Inbox) -> None:
    pair, runtime = Pair(inbox, lambda _: "try again later"), runtimes()
    for name in pair.names:
        runtime.circuits.set_mode(name, "observe_only", reason="trial", actor="operator:jo")
    pair.start(runtime, stopping)
    pages: list[Any] = inbox.wait(PAGES)
    assert [page["page"] for page in pages] == list(range(1, PAGES + 1)), "each was handled once"


@pytest.mark.parametrize(("mode", "slowed"), [("warn", True), ("observe", False)])
def test_where_the_rules_only_warn_or_observe_a_ring_goes_on(
    runtimes: RuntimeFactory, stopping: Keep, inbox: Inbox, tmp_path: Path, mode: str, slowed: bool
) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text(f'[cycle]\nmode = "{mode}"\n')
    pair, runtime = Pair(inbox, lambda _: "try again later"), runtimes(rules_file=rules)
    before = happenings.counts()["agent_slowed"]
    pair.start(runtime, stopping)
    pages: list[Any] = inbox.wait(PAGES, 30)
    assert [page["page"] for page in pages] == list(range(1, PAGES + 1)), "each was handled once"
    assert pair.states(runtime) == [State.CLOSED, State.CLOSED]
    assert (happenings.counts()["agent_slowed"] > before) is slowed
