"""Middleware on both brokers: hooks run in order and in pairs, the built-ins are entries like any other."""

from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from fusebox import happenings, names
from fusebox.errors import AgentTripped, ConfigError, Unroutable
from rabbitmq import Agent, Context, Middleware, Retry, Runtime, default_middleware
from rabbitmq.act import Act
from rabbitmq.broker import Message
from rabbitmq.middleware import Guarding, Idempotence, SettleSpans, Tracing
from rabbitmq.run import Bury, Done, Outcome, Run, SkipHandler
from tests.fixtures.agents import Inbox, RuntimeFactory, eventually

Keep = Callable[[Agent], Agent]


@pytest.fixture
def runtime(runtimes: RuntimeFactory) -> Runtime:
    return runtimes()


@pytest.fixture
def name() -> str:
    return f"helper-{uuid4().hex[:8]}"


@pytest.fixture
def key(name: str) -> str:
    return f"{name}.work"


class Noting(Middleware):
    """Notes every hook it sees, under its own name."""

    def __init__(self, own: str, notes: list[str]) -> None:
        self.own, self.notes = own, notes

    def before_action(self, act: Act) -> None:
        self.notes.append(f"{self.own} before {act.action.kind}")

    def after_action(self, act: Act, error: BaseException | None) -> None:
        self.notes.append(f"{self.own} after {act.action.kind} {type(error).__name__}")

    def handed_over(self, act: Act) -> None:
        self.notes.append(f"{self.own} handed over")

    def before_handle(self, run: Run) -> None:
        self.notes.append(f"{self.own} before {run.key}")

    def after_handle(self, run: Run, error: BaseException | None) -> None:
        self.notes.append(f"{self.own} after {run.key} {type(error).__name__}")

    def settled(self, run: Run, outcome: Outcome) -> None:
        self.notes.append(f"{self.own} settled {type(outcome).__name__}")


class Raising(Middleware):
    """Raises in one hook."""

    def __init__(self, hook: str, error: Exception) -> None:
        self.hook, self.error = hook, error

    def before_action(self, act: Act) -> None:
        self._raise("before_action")

    def after_action(self, act: Act, error: BaseException | None) -> None:
        self._raise("after_action")

    def before_handle(self, run: Run) -> None:
        self._raise("before_handle")

    def settled(self, run: Run, outcome: Outcome) -> None:
        self._raise("settled")

    def _raise(self, hook: str) -> None:
        if hook == self.hook:
            raise self.error


def test_hooks_run_from_the_outside_in_and_back_out(runtime: Runtime, name: str, key: str, stopping: Keep) -> None:
    notes: list[str] = []
    agent = stopping(Agent(name, runtime, middleware=[Noting("a", notes), *default_middleware(), Noting("b", notes)]))

    @agent.on(key)
    def handle(n: int, ctx: Context) -> None:
        notes.append("handler")

    agent.start()
    runtime.broker.publish(names.EXCHANGE_EVENTS, key, Message(b"1"))
    eventually(lambda: "b settled Done" in notes, what="the message is settled")
    assert notes == [
        f"a before {key}", f"b before {key}", "handler", f"b after {key} NoneType", f"a after {key} NoneType",
        "a settled Done", "b settled Done",
    ]  # fmt: skip


def test_a_publish_has_a_hook_between_its_hand_over_and_its_confirm(
    runtime: Runtime, name: str, stopping: Keep
) -> None:
    notes: list[str] = []
    around = [Noting("a", notes), *default_middleware(), Noting("b", notes)]
    publisher = stopping(Agent(name, runtime, middleware=around))
    publisher.start()
    publisher.context().tool("t", lambda: 1)
    with pytest.raises(Unroutable):
        publisher.publish("nobody.takes.this", 1)
    assert notes == [
        "a before tool_call", "b before tool_call", "b after tool_call NoneType", "a after tool_call NoneType",
        "a before publish", "b before publish", "a handed over", "b handed over",
        "b after publish Unroutable", "a after publish Unroutable",
    ]  # fmt: skip


def test_an_exception_before_prevents_the_action_and_one_after_takes_its_place(
    runtime: Runtime, name: str, stopping: Keep
) -> None:
    stopping(Agent(name, runtime)).start()
    called: list[int] = []
    notes: list[str] = []
    stop = [Noting("a", notes), Raising("before_action", PermissionError("not now")), *default_middleware()]
    with pytest.raises(PermissionError, match="not now"):
        Agent(name, runtime, middleware=stop).context().tool("t", called.append, 1)
    assert called == []
    assert notes[-1] == "a after tool_call PermissionError"
    spoil = [*default_middleware(), Raising("after_action", ValueError("spoiled"))]
    with pytest.raises(ValueError, match="spoiled"):
        Agent(name, runtime, middleware=spoil).context().tool("t", called.append, 2)
    assert called == [2]


def test_a_hook_can_settle_a_message_without_its_handler(
    runtime: Runtime, name: str, key: str, inbox: Inbox, stopping: Keep
) -> None:
    class Dropping(Middleware):
        def before_handle(self, run: Run) -> None:
            if run.payload == 1:
                raise SkipHandler(Done() if run.attempt == 1 else Bury(ValueError("again")))

    agent = stopping(Agent(name, runtime, middleware=[*default_middleware(), Dropping()]))

    @agent.on(key)
    def handle(n: int, ctx: Context) -> None:
        inbox.put(n)

    agent.start()
    for n in (1, 2):
        agent.publish(key, n)
    assert inbox.wait(1) == [2]
    assert runtime.broker.depth(name) == 0
    assert runtime.circuits.failures(name) == 0, "skipping is nobody's failure"


def test_a_hook_that_raises_counts_as_the_handlers_failure_and_a_failing_settled_hook_is_only_counted(
    runtime: Runtime, name: str, key: str, inbox: Inbox, stopping: Keep
) -> None:
    before = happenings.counts()["middleware_failed"]
    breaking = Raising("before_handle", ConnectionError("no"))
    agent = stopping(Agent(name, runtime, middleware=[*default_middleware(), breaking, Raising("settled", KeyError())]))

    @agent.on(key, retry=Retry(attempts=1))
    def handle(n: int, ctx: Context) -> None:
        inbox.put(n)

    agent.start()
    agent.publish(key, 1)
    eventually(lambda: runtime.broker.depth(names.dead_queue(name)) == 1, what="a dead message")
    breaking.hook = "nothing any more"
    agent.publish(key, 2)
    assert inbox.wait(1) == [2]
    eventually(lambda: happenings.counts()["middleware_failed"] > before)


def test_of_several_hooks_that_raise_afterwards_one_is_raised_and_the_others_are_counted(
    runtime: Runtime, name: str
) -> None:
    before = happenings.counts()["middleware_failed"]
    spoil = [Raising("after_action", ValueError("outer")), Raising("after_action", KeyError("inner"))]
    agent = Agent(name, runtime, middleware=[*default_middleware(), *spoil])
    with pytest.raises(ValueError, match="outer"):
        agent.context().tool("t", lambda n: n, 2)
    assert happenings.counts()["middleware_failed"] == before + 1


def test_an_agent_that_nothing_could_stop_is_refused(runtime: Runtime, name: str) -> None:
    with pytest.raises(ConfigError, match="leaves out Guarding"):
        Agent(name, runtime, middleware=[each for each in default_middleware() if not isinstance(each, Guarding)])
    with pytest.raises(ConfigError, match="default_middleware"):
        Agent(name, runtime, middleware=[])


def test_built_ins_can_be_left_out_and_moved(
    runtime: Runtime, name: str, key: str, inbox: Inbox, stopping: Keep
) -> None:
    """Without claims a repeated message is handled again; with tracing outermost even a refusal has a span."""
    spans = InMemorySpanExporter()
    runtime.telemetry.add_span_processor(SimpleSpanProcessor(spans))
    rest = [each for each in default_middleware() if not isinstance(each, Idempotence | Tracing)]
    agent = stopping(Agent(name, runtime, middleware=[Tracing(), *rest]))

    @agent.on(key)
    def handle(n: int, ctx: Context) -> None:
        inbox.put(n)

    agent.start()
    for _ in range(2):
        runtime.broker.publish(names.EXCHANGE_EVENTS, key, Message(b"7", message_id=f"same-{name}"))
    assert inbox.wait(2) == [7, 7]
    runtime.circuits.trip(name, reason="test", actor="operator:jo")
    with pytest.raises(AgentTripped):
        agent.context().tool("refused", lambda: 1)
    refused = [span for span in spans.get_finished_spans() if span.name == "execute_tool refused"]
    assert refused[0].attributes is not None
    assert refused[0].attributes["error.type"] == "AgentTripped"


def test_settlements_have_spans_where_they_are_asked_for(
    runtime: Runtime, name: str, key: str, inbox: Inbox, stopping: Keep
) -> None:
    spans = InMemorySpanExporter()
    runtime.telemetry.add_span_processor(SimpleSpanProcessor(spans))
    agent = stopping(Agent(name, runtime, middleware=[*default_middleware(), SettleSpans()]))

    @agent.on(key)
    def handle(n: int, ctx: Context) -> None:
        if not n:
            raise ValueError("no")

    agent.start()
    for n in (1, 0):
        agent.publish(key, n)

    def settled() -> list[str]:
        return [span.name for span in spans.get_finished_spans() if span.kind is trace.SpanKind.CLIENT]

    eventually(lambda: len(settled()) == 2, what="both settlements")
    assert settled() == [f"ack fusebox.events:{key}:{name}", f"reject fusebox.events:{key}:{name}"]
    ack = next(span for span in spans.get_finished_spans() if span.name.startswith("ack"))
    published = next(span for span in spans.get_finished_spans() if span.name.startswith("publish"))
    assert ack.attributes is not None
    assert (ack.attributes["messaging.operation.type"], ack.attributes["messaging.operation.name"]) == ("settle", "ack")
    assert [link.context.span_id for link in ack.links] == [published.context.span_id]


def test_a_known_agents_message_without_a_lineage_is_handled_and_counted(
    runtimes: RuntimeFactory, name: str, key: str, inbox: Inbox, stopping: Keep, tmp_path: Path
) -> None:
    (tmp_path / "agents.toml").write_text('[agents.known]\nowner = "jo"\n')
    runtime = runtimes()
    agent = stopping(Agent(name, runtime))

    @agent.on(key)
    def handle(n: int, ctx: Context) -> None:
        inbox.put(n)

    agent.start()
    before = happenings.counts()["lineage_missing"]
    runtime.broker.publish(names.EXCHANGE_EVENTS, key, Message(b"1", {names.H_AGENT: "known"}))
    runtime.broker.publish(names.EXCHANGE_EVENTS, key, Message(b"2", {names.H_AGENT: "stranger"}))
    runtime.broker.publish(names.EXCHANGE_EVENTS, key, Message(b"3"))
    assert inbox.wait(3) == [1, 2, 3]
    assert happenings.counts()["lineage_missing"] == before + 1
