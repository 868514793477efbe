"""``ctx.workflow`` in handlers: what one agent remembers the next one is given, and every read leaves a trace."""

import json
from collections.abc import Callable
from uuid import uuid4

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic import BaseModel, SecretStr

from fusebox import names
from fusebox.errors import AgentKilled, BadMessage, ConfigError, ContextLost, ContextTampered
from fusebox.store import RedisStore, Script
from rabbitmq import Agent, Context, Runtime
from rabbitmq.broker import Message
from tests.fixtures.agents import Inbox, RuntimeFactory, eventually

Keep = Callable[[Agent], Agent]
SET = Script("return redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])", lambda row, args: row.update({args[0]: args[1]}))


class Delay(BaseModel):
    ship: str
    days: int


@pytest.fixture
def name() -> str:
    return f"helper-{uuid4().hex[:8]}"


def spans_of(runtime: Runtime) -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    runtime.telemetry.add_span_processor(SimpleSpanProcessor(exporter))
    return exporter


def about(exporter: InMemorySpanExporter, operation: str) -> list[ReadableSpan]:
    found = exporter.get_finished_spans()
    return [span for span in found if (span.attributes or {}).get(names.GEN_AI_OPERATION) == operation]


def test_what_one_agent_remembers_the_next_one_of_the_workflow_is_given(
    runtimes: RuntimeFactory, name: str, inbox: Inbox, stopping: Keep
) -> None:
    runtime = runtimes(capture_content=True)
    exporter = spans_of(runtime)
    listener, analyst = stopping(Agent(name, runtime)), stopping(Agent(f"{name}-2", runtime))

    @listener.on(f"{name}.heard")
    def hear(delay: Delay, ctx: Context) -> None:
        ctx.workflow.remember(delay, type="delay")
        ctx.workflow.facts.put("days", delay.days, version=0)
        ctx.publish(f"{name}.delayed", delay.ship)

    @analyst.on(f"{name}.delayed")
    def analyse(ship: str, ctx: Context) -> None:
        fact = ctx.workflow.facts.get("days")
        inbox.put((ctx.workflow.history(type="delay", writer=name).entries, fact, ctx.workflow.facts.get("none")))

    analyst.start()
    listener.start()
    listener.publish(f"{name}.heard", Delay(ship="MV Ada", days=3))
    (((entry,), fact, nothing),) = inbox.wait(1)  # type: ignore[misc]
    assert (entry.body, entry.writer, entry.number) == ({"ship": "MV Ada", "days": 3}, name, 1)
    assert (fact.body, fact.number, nothing) == (3, 2, None)
    wrote = about(exporter, "create_memory")
    assert [dict(s.attributes or {}).get(names.CONTEXT_WROTE) for s in wrote] == [1, 2]
    assert json.loads(str((wrote[0].attributes or {})[names.CONTEXT_BODY])) == entry.body
    assert [(s.attributes or {})[names.CONTEXT_READ] for s in about(exporter, "search_memory")] == ["2", "1", ""]
    (context,) = {s.context.trace_id for s in wrote if s.context}
    assert entry.trace_id == f"{context:032x}"


def test_a_workflow_whose_context_is_gone_is_no_empty_one(
    runtimes: RuntimeFactory, name: str, inbox: Inbox, stopping: Keep, redis_url: str
) -> None:
    runtime = runtimes(redis_url=SecretStr(redis_url), context_key=SecretStr("a secret"))
    agent = stopping(Agent(name, runtime))
    store = RedisStore(redis_url)

    @agent.on(f"{name}.again")
    def again(n: int, ctx: Context) -> None:
        (key,) = [key for key in store.keys("fusebox:context:") if key.endswith(ctx.workflow.id)]
        store.delete(key)
        try:
            ctx.workflow.history()
        except ContextLost as error:
            inbox.put(str(error))

    agent.start()
    ctx = agent.context()
    ctx.workflow.remember("one")
    ctx.publish(f"{name}.again", 1)
    assert "entry 1 was written and the newest here is 0" in str(inbox.wait(1)[0])
    store.close()


def test_a_poisoned_context_is_refused_and_on_record(runtimes: RuntimeFactory, name: str, redis_url: str) -> None:
    runtime = runtimes(redis_url=SecretStr(redis_url), context_key=SecretStr("a secret"))
    ctx = Agent(name, runtime).context()
    ctx.workflow.remember("pay in 30 days")
    store = RedisStore(redis_url)
    (key,) = [key for key in store.keys("fusebox:context:") if key.endswith(ctx.workflow.id)]
    store.run(SET, key, "e:1", store.read(key)["e:1"].replace("30", "03"))
    before = runtime.audit.pending
    with pytest.raises(ContextTampered):
        ctx.workflow.history()
    assert runtime.audit.pending == before + 1
    store.close()


def test_a_shared_store_needs_a_key_and_one_that_came_later_is_found(
    runtimes: RuntimeFactory, name: str, redis_url: str
) -> None:
    runtime = runtimes(redis_url=SecretStr(redis_url))
    ctx = Agent(name, runtime).context()
    with pytest.raises(ConfigError, match="FUSEBOX_CONTEXT_KEY"):
        ctx.workflow.remember("one")
    runtime.config.data_dir.mkdir(exist_ok=True)
    (runtime.config.data_dir / "context.key").write_text("a secret\n")
    assert ctx.workflow.remember("one").number == 1


def test_a_killed_agent_writes_nothing(runtimes: RuntimeFactory, name: str) -> None:
    runtime = runtimes()
    ctx = Agent(name, runtime).context()
    runtime.latch.kill("cmd_1", f"agent:{name}", reason="it lies")
    with pytest.raises(AgentKilled):
        ctx.workflow.remember("one")
    with pytest.raises(AgentKilled):
        ctx.workflow.facts.put("eta", 1, version=0)
    assert len(ctx.workflow.history()) == 0


def test_what_cannot_be_remembered_is_refused(runtimes: RuntimeFactory, name: str) -> None:
    workflow = Agent(name, runtimes()).context().workflow
    endless: list[object] = []
    endless.append(endless)
    for body, kind in ((object(), "note"), (endless, "note"), (1, "fact")):
        with pytest.raises(BadMessage):
            workflow.remember(body, type=kind)


def test_ranges_of_many_entries_are_short(runtimes: RuntimeFactory, name: str) -> None:
    runtime = runtimes(context_max_entries=10)
    exporter = spans_of(runtime)
    workflow = Agent(name, runtime).context().workflow
    for n in range(12):
        workflow.remember(n, type="odd" if n % 2 else "even")
    assert len(workflow.history()) == 10
    assert len(workflow.history(type="odd", last=2)) == 2
    assert [(s.attributes or {})[names.CONTEXT_READ] for s in about(exporter, "search_memory")] == ["3-12", "10,12"]


def test_a_header_that_makes_no_sense_is_none(
    runtimes: RuntimeFactory, name: str, inbox: Inbox, stopping: Keep
) -> None:
    runtime = runtimes()
    agent = stopping(Agent(name, runtime))

    @agent.on(f"{name}.said")
    def hear(n: int, ctx: Context) -> None:
        inbox.put(len(ctx.workflow.history()))

    agent.start()
    for wrong in ("many", -1):
        message = Message(b"1", {names.H_CONTEXT: wrong}, f"m-{uuid4().hex}")
        runtime.broker.publish(names.EXCHANGE_EVENTS, f"{name}.said", message)
    assert inbox.wait(2) == [0, 0]
    eventually(lambda: runtime.broker.depth(names.dead_queue(name)) == 0)
