"""Policy on the bus: what it denies does not happen, and a message is never lost for it."""

from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest

from fusebox import happenings, names
from fusebox.errors import Refused
from fusebox.records import Decision, State
from rabbitmq import Agent, Context, Runtime
from rabbitmq.broker import Message
from tests.fixtures.agents import Inbox, RuntimeFactory, eventually

Keep = Callable[[Agent], Agent]

AGENTS = """
[agents.{name}]
owner = "jo"
handles = ["{name}.asked"]
publishes = ["{name}.told"]

[[agents.{name}.grants]]
action = "tool_call"
resource = "warehouse.read"

[[agents.{name}.grants]]
action = "tool_call"
resource = "erp.order"
hold = true

[[agents.{name}.grants]]
action = "tool_call"
resource = "bank.pay"

[[agents.{name}.denies]]
action = "tool_call"
resource = "bank.pay"
above = {{ "arguments.amount" = 500 }}

[[agents.{name}.denies]]
action = "tool_call"
resource = "bank.pay"
above = {{ "arguments.fee" = 50 }}
"""


@pytest.fixture
def name() -> str:
    return f"analyst-{uuid4().hex[:8]}"


@pytest.fixture
def runtime(runtimes: RuntimeFactory, tmp_path: Path, name: str) -> Runtime:
    (tmp_path / "agents.toml").write_text(AGENTS.format(name=name))
    return runtimes(policy="default")


@pytest.fixture
def rulings(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Decision, str, str]]:
    """What the audit log is told: agent, decision, kind of action, revision."""
    found: list[tuple[str, Decision, str, str]] = []
    note = runtime.audit._note

    def noting(action, verdict, minute, count):  # type: ignore[no-untyped-def]
        found.append((action.agent, verdict.decision, action.kind.value, verdict.revision))
        note(action, verdict, minute, count)

    monkeypatch.setattr(runtime.audit, "_note", noting)
    return found


def analyst(runtime: Runtime, name: str, inbox: Inbox, work: Callable[[Context], object]) -> Agent:
    agent = Agent(name, runtime)

    @agent.on(f"{name}.asked")
    def handle(item: str, ctx: Context) -> None:
        inbox.put(work(ctx))

    return agent


def dead(runtime: Runtime, name: str) -> list[str]:
    """Why messages of the agent are dead, once there are any."""
    eventually(lambda: runtime.broker.depth(names.dead_queue(name)) > 0, what="a dead message")
    found = []
    while (delivery := runtime.broker.get(names.dead_queue(name))) is not None:
        found.append(str(delivery.message.headers[names.H_DEAD_REASON]))
        delivery.ack()
    return found


def publish(runtime: Runtime, key: str) -> None:
    """As somebody whom no policy stops."""
    runtime.broker.publish(names.EXCHANGE_EVENTS, key, Message(b'"x"', {}, "msg_1"))


def test_what_is_granted_happens_and_is_on_record_with_its_revision(
    runtime: Runtime, name: str, inbox: Inbox, stopping: Keep, rulings: list[tuple[str, Decision, str, str]]
) -> None:
    stopping(analyst(runtime, name, inbox, lambda ctx: ctx.tool("warehouse.read", lambda: 7))).start()
    publish(runtime, f"{name}.asked")
    assert inbox.wait(1) == [7]
    assert {(agent, decision, kind) for agent, decision, kind, _ in rulings} == {
        (name, Decision.ALLOW, "consume"),
        (name, Decision.ALLOW, "tool_call"),
    }
    assert {revision for *_, revision in rulings} == {rulings[0][3]}
    assert runtime.policy is not None
    assert rulings[0][3].endswith(runtime.policy.grants.revision)


def test_a_tool_that_is_not_granted_is_not_called_and_the_message_is_dead(
    runtime: Runtime, name: str, inbox: Inbox, stopping: Keep, rulings: list[tuple[str, Decision, str, str]]
) -> None:
    called: list[int] = []
    stopping(analyst(runtime, name, inbox, lambda ctx: ctx.tool("shell", lambda: called.append(1)))).start()
    publish(runtime, f"{name}.asked")
    assert "refused by policy: " in dead(runtime, name)[0]
    assert not called
    assert (name, Decision.DENY, "tool_call") in {ruling[:3] for ruling in rulings}
    assert runtime.circuits.circuit(name).state is State.CLOSED


def test_an_argument_is_judged_by_the_name_of_its_parameter_however_it_is_given(
    runtime: Runtime, name: str, stopping: Keep
) -> None:
    called: list[int] = []

    def pay(amount: int = 9000, **more: int) -> None:
        called.append(amount)

    def unnamed(*given: int) -> None:
        pay(*given)

    ctx = stopping(Agent(name, runtime)).context()
    large: list[Callable[[], None]] = [
        lambda: ctx.tool("bank.pay", pay, 9000),
        lambda: ctx.tool("bank.pay", pay, amount=9000),
        lambda: ctx.tool("bank.pay", pay),
        lambda: ctx.tool("bank.pay", pay, 5, fee=9000),
        lambda: ctx.tool("bank.pay", unnamed, 9000),
    ]
    for call in large:
        with pytest.raises(Refused, match="denied by"):
            call()
    ctx.tool("bank.pay", pay, 5)
    assert called == [5]


def test_an_agent_without_a_grant_is_not_given_the_message(
    runtime: Runtime, name: str, inbox: Inbox, stopping: Keep
) -> None:
    agent = Agent(name, runtime)

    @agent.on(f"{name}.other")
    def handle(item: str, ctx: Context) -> None:
        inbox.put(item)

    stopping(agent).start()
    publish(runtime, f"{name}.other")
    assert f"no grant allows it (consume {name}.other" in dead(runtime, name)[0]
    assert not inbox.items


def test_publishing_is_asked_about_too(runtime: Runtime, name: str, inbox: Inbox, stopping: Keep) -> None:
    agent = stopping(analyst(runtime, name, inbox, lambda ctx: None))
    agent.start()
    with pytest.raises(Refused, match="policy"):
        agent.publish(f"{name}.sold", "x")


def test_while_no_policy_can_be_asked_messages_wait(
    runtimes: RuntimeFactory, tmp_path: Path, name: str, inbox: Inbox, stopping: Keep
) -> None:
    before = happenings.counts()["message_postponed"]
    runtime = runtimes(policy=str(tmp_path / "nowhere"))
    stopping(analyst(runtime, name, inbox, lambda ctx: None)).start()
    publish(runtime, f"{name}.asked")
    eventually(lambda: happenings.counts()["message_postponed"] > before, what="a postponed message")
    assert not inbox.items
    assert runtime.broker.depth(names.dead_queue(name)) == 0


def test_a_probe_of_the_circuit_is_asked_about_too(runtime: Runtime, name: str, inbox: Inbox, stopping: Keep) -> None:
    agent = Agent(name, runtime)

    @agent.on(f"{name}.other")
    def handle(item: str, ctx: Context) -> None:
        inbox.put(item)

    stopping(agent).start()
    runtime.circuits.trip(name, reason="test", actor="operator:jo", open_s=0.1)
    publish(runtime, f"{name}.other")
    assert f"no grant allows it (consume {name}.other" in dead(runtime, name)[0]
    assert not inbox.items
