"""Agents on both brokers: handle, publish, refuse, hold, dead-letter, trace."""

import asyncio
import json
import threading
from collections.abc import Callable
from contextlib import nullcontext
from uuid import uuid4

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind
from pydantic import BaseModel

from fusebox import names
from fusebox.errors import AgentKilled, AgentTripped, ConfigError, Unroutable
from fusebox.records import State
from rabbitmq import Agent, Context, Retry, Runtime
from rabbitmq.broker import Broker, Message
from rabbitmq.running import LOOP
from tests.fixtures.agents import Inbox, RuntimeFactory, eventually

Keep = Callable[[Agent], Agent]
SAID = (
    "Could you send us the log of the router, please?", "We have passed this on to the network team in Hamburg.",
    "A colleague looked at your invoice and found nothing.", "Restarting the phone after the update often helps.",
    "Your parcel left the warehouse this morning.", "The warranty covers the display, not the battery.",
    "Try another browser, or clear what it has stored.", "Our office in Lyon opens at nine on weekdays.",
)  # fmt: skip


class Comment(BaseModel):
    ticket: str


def unique(name: str) -> str:
    return f"{name}-{uuid4().hex[:8]}"


@pytest.fixture
def runtime(runtimes: RuntimeFactory) -> Runtime:
    return runtimes()


@pytest.fixture
def name() -> str:
    return unique("helper")


@pytest.fixture
def key(name: str) -> str:
    return f"{name}.work"


def record_spans(runtime: Runtime) -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    runtime.telemetry.add_span_processor(SimpleSpanProcessor(exporter))
    return exporter


def test_a_published_payload_reaches_the_typed_handler(
    runtime: Runtime, name: str, key: str, inbox: Inbox, stopping: Keep
) -> None:
    agent = stopping(Agent(name, runtime))

    @agent.on(key)
    def handle(comment: Comment, ctx: Context) -> None:
        inbox.put((comment, ctx.agent))

    agent.start()
    agent.publish(key, Comment(ticket="T-1"))
    assert inbox.wait(1) == [(Comment(ticket="T-1"), name)]
    eventually(lambda: runtime.broker.depth(name) == 0)


def test_an_async_handler_may_publish_call_tools_and_models(
    runtime: Runtime, name: str, inbox: Inbox, stopping: Keep
) -> None:
    agent = stopping(Agent(name, runtime))

    async def lookup(n: int) -> int:
        await asyncio.sleep(0)
        return n * 2

    @agent.on(f"{name}.ask")
    async def ask(n: int, ctx: Context) -> None:
        with ctx.model_call("m", provider="p", messages=[{"role": "user", "content": "x"}]) as call:
            call.record(
                {"choices": [{"message": {"content": "hi"}}], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}
            )
        await ctx.publish_async(f"{name}.answer", await ctx.tool_async("lookup", lookup, n))

    @agent.on(f"{name}.answer")
    def answer(n: int, ctx: Context) -> None:
        inbox.put(n)

    agent.start()
    agent.publish(f"{name}.ask", 21)
    assert inbox.wait(1) == [42]


def test_nobody_listening_is_an_error(runtime: Runtime, name: str, stopping: Keep) -> None:
    agent = stopping(Agent(name, runtime))
    agent.start()
    with pytest.raises(Unroutable):
        agent.publish(unique("nobody"), {})


def test_a_raising_handler_buries_its_message_with_the_reason_and_goes_on(
    runtime: Runtime, name: str, key: str, inbox: Inbox, stopping: Keep
) -> None:
    agent = stopping(Agent(name, runtime))

    @agent.on(key)
    def handle(n: int, ctx: Context) -> None:
        if n == 0:
            raise ZeroDivisionError("n is zero")
        inbox.put(n)

    agent.start()
    agent.publish(key, 0)
    agent.publish(key, 1)
    assert inbox.wait(1) == [1]
    dead = runtime.broker.get(names.dead_queue(name))
    assert dead is not None
    assert dead.message.headers[names.H_DEAD_REASON] == "ZeroDivisionError: n is zero"
    assert "test_agent.py" in str(dead.message.headers[names.H_DEAD_STACK])
    assert dead.message.body == b"0"
    dead.ack()


def test_a_failing_handler_is_tried_again_later_and_its_message_dies_in_the_end(
    runtime: Runtime, name: str, key: str, inbox: Inbox, stopping: Keep
) -> None:
    agent = stopping(Agent(name, runtime))

    @agent.on(key, retry=Retry(attempts=2, on=(ConnectionError,)))
    def handle(kind: str, ctx: Context) -> None:
        assert ctx.message is not None
        inbox.put((kind, ctx.message.message_id))
        if kind == "worse":
            raise KeyError(kind)
        if kind == "hopeless" or len(inbox.items) == 1:
            raise ConnectionError("try again")

    agent.start()
    first = agent.publish(key, "passing")
    assert inbox.wait(2) == [("passing", first)] * 2
    agent.publish(key, "hopeless")
    agent.publish(key, "worse")
    inbox.wait(5)
    eventually(lambda: runtime.broker.depth(names.dead_queue(name)) == 2, what="both are dead")
    assert [kind for kind, _ in inbox.items].count("hopeless") == 2  # type: ignore[misc]
    assert [kind for kind, _ in inbox.items].count("worse") == 1  # type: ignore[misc]


def test_a_message_that_comes_twice_is_handled_once(
    runtime: Runtime, name: str, key: str, inbox: Inbox, stopping: Keep
) -> None:
    agent = stopping(Agent(name, runtime, concurrency=4))

    @agent.on(key)
    def handle(n: int, ctx: Context) -> None:
        inbox.put((n, ctx.idempotency_key))

    agent.start()
    for n in range(3):
        for _ in range(4):
            runtime.broker.publish(names.EXCHANGE_EVENTS, key, Message(str(n).encode(), message_id=f"m-{n}"))
    runtime.broker.publish(names.EXCHANGE_EVENTS, key, Message(b"9", message_id="m-9"))
    inbox.wait(4)
    eventually(lambda: runtime.broker.depth(name) == 0)
    assert sorted(n for n, _ in inbox.items) == [0, 1, 2, 9]  # type: ignore[misc]
    assert len({key for _, key in inbox.items}) == 4  # type: ignore[misc]


def test_a_message_that_is_not_json_or_does_not_fit_is_dead_at_once(
    runtime: Runtime, name: str, key: str, inbox: Inbox, stopping: Keep
) -> None:
    agent = stopping(Agent(name, runtime))

    @agent.on(key)
    def handle(comment: Comment, ctx: Context) -> None:
        inbox.put(comment)

    agent.start()
    for body in (b"\xff{", b'{"tick": 1}', b'{"ticket": "T-9"}'):
        runtime.broker.publish(names.EXCHANGE_EVENTS, key, Message(body))
    assert inbox.wait(1) == [Comment(ticket="T-9")]
    eventually(lambda: runtime.broker.depth(names.dead_queue(name)) == 2)


def test_a_foreign_publisher_without_headers_starts_a_trace(
    runtime: Runtime, name: str, key: str, inbox: Inbox, stopping: Keep
) -> None:
    agent = stopping(Agent(name, runtime))

    @agent.on(key)
    def handle(payload: dict[str, int], ctx: Context) -> None:
        inbox.put((ctx.workflow.id, ctx.trace_id))

    agent.start()
    runtime.broker.publish(names.EXCHANGE_EVENTS, key, Message(b"{}", message_id="m-1"))
    ((workflow, trace_id),) = inbox.wait(1)  # type: ignore[misc]
    assert workflow == "m-1"
    assert int(trace_id, 16) != 0


def test_spans_follow_the_message_across_agents(runtime: Runtime, inbox: Inbox, stopping: Keep) -> None:
    spans = record_spans(runtime)
    first, second = stopping(Agent(unique("first"), runtime)), stopping(Agent(unique("second"), runtime))

    @first.on(f"{first.name}.go")
    def go(payload: dict[str, str], ctx: Context) -> None:
        with ctx.model_call("gpt-5-mini", provider="openai", messages=[{"role": "user", "content": "hello"}]) as call:
            call.record({"id": "r1", "model": "gpt-5-mini-x", "choices": [{"message": {"content": "yes"}}],
                         "usage": {"prompt_tokens": 11, "completion_tokens": 7}})  # fmt: skip
        with ctx.model_call("gpt-5-mini", provider="openai", operation="text_completion") as stream:
            stream.cut()
        ctx.publish(f"{second.name}.go", {"answer": "yes"})

    @second.on(f"{second.name}.go")
    def on_answer(payload: dict[str, str], ctx: Context) -> None:
        ctx.tool("crm.note", lambda text: {"id": 5}, payload["answer"], target="case-1")
        inbox.put(ctx.workflow.id)

    first.start()
    second.start()
    first.publish(f"{first.name}.go", {})
    inbox.wait(1)
    eventually(lambda: len(spans.get_finished_spans()) == 7)
    done = {
        s.name.split(":")[0].split()[0] + "/" + str((s.attributes or {})[names.GEN_AI_AGENT_ID]): s
        for s in spans.get_finished_spans()
    }
    assert len({s.context.trace_id for s in done.values() if s.context}) == 1, (
        "one trace from first prompt to tool call"
    )
    publish, consume = done[f"publish/{first.name}"], done[f"consume/{second.name}"]
    hops = [s for s in spans.get_finished_spans() if s.kind is SpanKind.PRODUCER]
    assert {s.context.span_id for s in hops if s.context} >= {link.context.span_id for link in consume.links}
    assert len(consume.links) == 1
    assert consume.kind is SpanKind.CONSUMER
    assert publish.kind is SpanKind.PRODUCER
    chat = done[f"chat/{first.name}"].attributes or {}
    assert (chat[names.USAGE_INPUT], chat[names.USAGE_OUTPUT]) == (11, 7)
    assert names.GEN_AI_INPUT_MESSAGES not in chat, "content is not recorded unless asked for"
    assert names.CUT not in chat
    assert (done[f"text_completion/{first.name}"].attributes or {})[names.CUT] is True
    tool = done[f"execute_tool/{second.name}"].attributes or {}
    assert (tool[names.TARGET], tool[names.GEN_AI_TOOL_NAME]) == ("case-1", "crm.note")
    assert len(str(tool[names.LINEAGE]).split(",")) == 2


def test_an_open_circuit_refuses_tools_models_and_publishes_and_counts_them(
    runtime: Runtime, name: str, stopping: Keep
) -> None:
    agent = stopping(Agent(name, runtime))
    agent.start()
    runtime.circuits.trip(name, reason="test", actor="operator:jo")
    ctx, called = agent.context(), []
    with pytest.raises(AgentTripped, match="test"):
        ctx.tool("t", called.append, 1)
    with pytest.raises(AgentTripped), ctx.model_call("m", provider="p"):
        called.append(2)
    with pytest.raises(AgentTripped):
        ctx.publish("x", {})
    assert called == []


def test_a_loop_of_the_same_action_trips_the_agent_itself(runtime: Runtime, name: str, stopping: Keep) -> None:
    agent = stopping(Agent(name, runtime))
    agent.start()
    comments: list[str] = []

    def comment(text: str) -> dict[str, int]:
        comments.append(text)
        return {"id": len(comments)}

    def loop() -> None:
        for n in range(100):
            agent.context().tool("tickets.comment", comment, f"I checked order {n} again, all fine", target="T-12")

    with pytest.raises(AgentTripped):
        loop()
    assert len(comments) <= 6
    assert runtime.circuits.circuit(name).state is State.OPEN


def test_a_process_says_in_its_own_log_that_its_agent_was_stopped_and_why(
    runtime: Runtime, name: str, stopping: Keep, caplog: pytest.LogCaptureFixture
) -> None:
    stopping(Agent(name, runtime)).start()
    runtime.circuits.trip(name, reason="comments in a circle", actor="operator:jo")
    runtime.circuits.trip("somebody-elses", reason="not ours", actor="operator:jo")
    said = [json.loads(record.message) for record in caplog.records if "agent_stopped" in record.message]
    assert [(each["agent"], each["reason"], each["by"]) for each in said] == [
        (name, "comments in a circle", "operator:jo")
    ]


@pytest.mark.parametrize(
    ("ticket", "stopped"), [("TICK-12", True), ("#12", True), ("the ticket of 12 May", False), ("user-12", False)]
)
def test_a_call_that_names_no_target_is_about_the_one_thing_among_its_arguments(
    runtime: Runtime, name: str, ticket: str, stopped: bool
) -> None:
    ctx, comments = Agent(name, runtime).context(), list[str]()

    def comment(_ticket: str, text: str) -> str:
        comments.append(text)
        return "created"

    refused = pytest.raises(AgentTripped) if stopped else nullcontext()
    with refused:
        for text in SAID:
            with ctx.model_call("gpt-5-mini", provider="openai", messages=text) as call:
                call.record({"choices": [{"message": {"content": text}}]})
            ctx.tool("tickets.comment", comment, ticket, text)
    assert len(comments) <= 6 if stopped else comments == list(SAID)


def test_messages_of_an_open_agent_are_held_then_released_oldest_first(
    runtime: Runtime, name: str, key: str, inbox: Inbox, stopping: Keep
) -> None:
    agent, begun = stopping(Agent(name, runtime)), Inbox()

    @agent.on(key)
    def handle(n: int, ctx: Context) -> None:
        begun.put(n)
        if n == 0:
            runtime.circuits.trip(name, reason="test", actor="operator:jo", open_s=3600)
        ctx.tool("work", lambda: n)
        inbox.put(n)

    agent.start()
    for n in range(4):
        runtime.broker.publish(names.EXCHANGE_EVENTS, key, Message(str(n).encode()))

    def held() -> int:
        return runtime.broker.depth(names.held_queue(name))

    eventually(lambda: held() >= 1 and held() + runtime.broker.depth(name) == 4, what="all four wait")
    assert (begun.items, inbox.items) == ([0], [])
    runtime.circuits.half_open(name, reason="test", actor="operator:jo")
    # The first held message trips again: everything after it must stay put.
    eventually(lambda: runtime.circuits.circuit(name).state is State.OPEN)
    eventually(lambda: held() >= 1 and held() + runtime.broker.depth(name) == 4, what="all four wait again")
    assert (begun.items, inbox.items) == ([0, 0], [])


def test_after_a_reset_held_messages_come_in_order(
    runtime: Runtime, name: str, key: str, inbox: Inbox, stopping: Keep
) -> None:
    agent = stopping(Agent(name, runtime))

    @agent.on(key)
    def handle(n: int, ctx: Context) -> None:
        ctx.tool("work", lambda: n, target=str(n))
        inbox.put(n)

    agent.start()
    runtime.circuits.trip(name, reason="test", actor="operator:jo", open_s=3600)
    for n in range(3):
        runtime.broker.publish("", names.held_queue(name), Message(str(n).encode(), {names.H_ORIGIN_KEY: key}))
    runtime.broker.publish(names.EXCHANGE_EVENTS, key, Message(b"3"))
    runtime.circuits.half_open(name, reason="resume", actor="operator:jo")
    assert inbox.wait(4) == [0, 1, 2, 3]
    assert runtime.circuits.circuit(name).state is State.CLOSED
    eventually(lambda: runtime.broker.depth(names.held_queue(name)) == 0)


def test_a_kill_fences_the_thread_at_work_and_holds_its_message(
    runtime: Runtime, name: str, key: str, inbox: Inbox, stopping: Keep
) -> None:
    agent, working, go_on = stopping(Agent(name, runtime)), threading.Event(), threading.Event()

    def slow() -> str:
        working.set()
        go_on.wait(10)
        return "result"

    @agent.on(key)
    def handle(n: int, ctx: Context) -> None:
        inbox.put(ctx.tool("slow", slow))

    agent.start()
    agent.publish(key, 1)
    assert working.wait(10)
    runtime.latch.kill("cmd_1", f"agent:{name}", reason="stop it")
    go_on.set()
    eventually(lambda: runtime.broker.depth(names.held_queue(name)) == 1)
    assert inbox.items == []
    with pytest.raises(AgentKilled):
        agent.context().tool("more", slow)


def test_a_kill_cancels_coroutines(runtime: Runtime, name: str, key: str, inbox: Inbox, stopping: Keep) -> None:
    agent = stopping(Agent(name, runtime))

    @agent.on(key)
    async def handle(n: int, ctx: Context) -> None:
        inbox.put("started")
        await asyncio.sleep(3600)

    agent.start()
    agent.publish(key, 1)
    inbox.wait(1)
    runtime.latch.kill("cmd_1", f"agent:{name}", reason="stop it")
    runtime._obeyed(None)
    eventually(lambda: runtime.broker.depth(names.held_queue(name)) == 1)


def test_a_killed_tool_is_refused_and_the_agent_goes_on_with_the_rest(
    runtime: Runtime, name: str, key: str, inbox: Inbox, stopping: Keep
) -> None:
    agent = stopping(Agent(name, runtime))

    @agent.on(key)
    def handle(n: int, ctx: Context) -> None:
        ctx.tool("comment" if n == 1 else "search", inbox.put, n)

    agent.start()
    runtime.latch.kill("cmd_1", "tool:comment", reason="floods the tickets", operator="jo")
    for n in range(3):
        agent.publish(key, n)
    assert inbox.wait(2) == [0, 2]
    eventually(lambda: runtime.broker.depth(names.dead_queue(name)) == 1)
    dead = runtime.broker.get(names.dead_queue(name))
    assert dead
    assert "tool:comment was killed by jo: floods the tickets" in str(dead.message.headers[names.H_DEAD_REASON])
    assert runtime.broker.depth(names.held_queue(name)) == 0


def test_a_killed_workflow_ends_where_it_is_and_the_others_go_on(
    runtime: Runtime, name: str, key: str, inbox: Inbox, stopping: Keep
) -> None:
    agent = stopping(Agent(name, runtime, concurrency=2))
    release = asyncio.Event()

    @agent.on(key)
    async def handle(n: int, ctx: Context) -> None:
        inbox.put(ctx.workflow.id)
        await release.wait()
        inbox.put(f"{ctx.workflow} done")

    agent.start()
    agent.publish(key, 1)
    agent.publish(key, 2)
    killed, other = (str(each) for each in inbox.wait(2))
    runtime.latch.kill("cmd_1", f"workflow:{killed}", reason="goes in circles")
    runtime._obeyed(None)
    eventually(lambda: runtime.broker.depth(names.dead_queue(name)) == 1)
    LOOP._loop.call_soon_threadsafe(release.set)  # type: ignore[union-attr]
    assert inbox.wait(3)[2] == f"{other} done"
    agent.publish(key, 3)
    inbox.wait(5)
    assert runtime.broker.depth(names.held_queue(name)) == 0


def test_a_message_that_goes_round_is_stopped_without_collector_or_shared_state(
    runtime: Runtime, stopping: Keep, inbox: Inbox
) -> None:
    ring = [stopping(Agent(unique(n), runtime)) for n in "abc"]

    def forward(agent: Agent, to: str) -> None:
        @agent.on(f"{agent.name}.in")
        def handle(payload: dict[str, str], ctx: Context) -> None:
            ctx.publish(f"{to}.in", payload)
            inbox.put(agent.name)

    for agent, after in zip(ring, ring[1:] + ring[:1], strict=True):
        forward(agent, after.name)
    for agent in ring:
        agent.start()
    runtime.broker.publish(names.EXCHANGE_EVENTS, f"{ring[0].name}.in", Message(b'{"please": "handle"}'))
    eventually(lambda: any(runtime.circuits.circuit(a.name).state is State.OPEN for a in ring), what="one is open")
    depth = runtime.broker.depth
    eventually(lambda: sum(depth(a.name) + depth(names.held_queue(a.name)) for a in ring) == 1, what="nothing is lost")
    assert len(inbox.items) <= 3 * 3


def test_many_users_may_ask_an_agent_the_same(
    runtime: Runtime, name: str, key: str, inbox: Inbox, stopping: Keep
) -> None:
    agent = stopping(Agent(name, runtime))

    @agent.on(key)
    def answer(question: str, ctx: Context) -> None:
        page = ctx.tool("kb.search", lambda _: {"page": "reset by the link in the mail"}, question, target="kb")
        with ctx.model_call("gpt-5-mini", provider="openai", messages=[{"role": "user", "content": question}]) as call:
            call.record({"choices": [{"message": {"content": "Use the link in the mail"}}]})
        inbox.put(page)

    agent.start()
    for _ in range(8):
        agent.publish(key, "how do I reset my password?")
    inbox.wait(8)
    assert runtime.circuits.circuit(name).state is State.CLOSED


@pytest.mark.parametrize("bad", ["", "-x", "a b", "x" * 200, "a\n"])
def test_an_impossible_name_is_refused(runtime: Runtime, bad: str) -> None:
    with pytest.raises(ConfigError, match="agent id"):
        Agent(bad, runtime)


def test_two_handlers_of_one_key_are_refused(runtime: Runtime, name: str) -> None:
    agent = Agent(name, runtime)
    agent.on("k")(lambda payload, ctx: None)
    with pytest.raises(ConfigError, match="already handles"):
        agent.on("k")(lambda payload, ctx: None)


def test_stop_is_legal_before_start_and_twice(broker: Broker, runtimes: RuntimeFactory, name: str) -> None:
    runtime = runtimes()
    agent = Agent(name, runtime)
    agent.stop()
    agent.start()
    agent.stop()
    agent.stop()
    runtime.stop()
    runtime.stop()
