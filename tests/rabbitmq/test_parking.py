"""Parked publishes on both brokers: kept while the circuit is open, seen by people, sent when it is released."""

from collections.abc import Callable
from uuid import uuid4

import pytest

from fusebox import happenings, names
from fusebox.errors import AgentKilled, AgentTripped
from fusebox.records import Finding, State
from rabbitmq import Agent, Context, Runtime
from rabbitmq.broker import Message
from rabbitmq.shelf import Shelf
from tests.fixtures.agents import Inbox, RuntimeFactory, eventually, looked_after

Keep = Callable[[Agent], Agent]


@pytest.fixture
def runtime(runtimes: RuntimeFactory) -> Runtime:
    return runtimes()


@pytest.fixture
def names_of() -> Callable[[str], str]:
    suffix = uuid4().hex[:8]
    return lambda name: f"{name}-{suffix}"


@pytest.fixture
def teller(runtime: Runtime, names_of: Callable[[str], str], stopping: Keep) -> Agent:
    agent = stopping(Agent(names_of("teller"), runtime))
    agent.start()
    return agent


@pytest.fixture
def listener(runtime: Runtime, names_of: Callable[[str], str], inbox: Inbox, stopping: Keep) -> Agent:
    agent = stopping(Agent(names_of("listener"), runtime))

    @agent.on(f"{agent.name}.told")
    def handle(n: int, ctx: Context) -> None:
        assert ctx.message is not None
        inbox.put((n, ctx.message.message_id, [hop.agent for hop in ctx.lineage]))

    agent.start()
    return agent


def trip(runtime: Runtime, agent: str) -> str:
    finding = Finding(agent, "test", runtime.clock.now(), "it loops", "open", 1.0, 1.0)
    runtime.circuits.trip(agent, reason="it loops", actor="detector:test", finding=finding, open_s=3600)
    return finding.id


def test_what_was_parked_goes_out_in_order_under_its_own_id_when_the_circuit_is_released(
    runtime: Runtime, teller: Agent, listener: Agent, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    finding = trip(runtime, teller.name)
    ids = [teller.publish(f"{listener.name}.told", n, park=True) for n in range(3)]
    assert runtime.broker.depth(names.held_queue(teller.name)) == 3
    rows = [each.row() for each in Shelf(runtime.broker, teller.name, names.held_queue(teller.name)).look()]
    assert [row["key"] for row in rows] == [f"{listener.name}.told"] * 3
    assert {row["finding"] for row in rows} == {finding}
    before = happenings.counts()["message_held"]
    looked_after(teller, monkeypatch)
    assert happenings.counts()["message_held"] == before, "none was taken out and held again"
    assert inbox.items == []
    runtime.circuits.half_open(teller.name, reason="test", actor="operator:jo")
    assert inbox.wait(3) == [(n, ids[n], [teller.name]) for n in range(3)]
    eventually(lambda: runtime.circuits.circuit(teller.name).state is State.CLOSED)


def test_a_handler_that_parks_runs_to_its_end_and_its_trace_goes_on(
    runtime: Runtime, teller: Agent, listener: Agent, names_of: Callable[[str], str], inbox: Inbox, stopping: Keep
) -> None:
    worker = stopping(Agent(names_of("worker"), runtime))
    traces: list[str] = []

    @worker.on(f"{worker.name}.work")
    def handle(n: int, ctx: Context) -> None:
        traces.append(ctx.trace_id)
        trip(runtime, worker.name)
        ctx.publish(f"{listener.name}.told", n, park=True)

    worker.start()
    teller.publish(f"{worker.name}.work", 5)
    eventually(lambda: runtime.broker.depth(names.held_queue(worker.name)) == 1, what="it is parked")
    shelf = Shelf(runtime.broker, worker.name, names.held_queue(worker.name))
    assert [each.trace_id for each in shelf.look()] == traces
    runtime.circuits.half_open(worker.name, reason="test", actor="operator:jo")
    ((n, _, lineage),) = inbox.wait(1)  # type: ignore[misc]
    assert (n, lineage) == (5, [teller.name, worker.name]), "one hop each, however often it was moved"


def test_parked_publishes_can_be_discarded_by_finding(
    runtime: Runtime, teller: Agent, listener: Agent, inbox: Inbox
) -> None:
    finding = trip(runtime, teller.name)
    teller.publish(f"{listener.name}.told", 1, park=True)
    shelf = Shelf(runtime.broker, teller.name, names.held_queue(teller.name))
    assert shelf.discard(lambda each: each.finding == finding) == 1
    assert runtime.broker.depth(names.held_queue(teller.name)) == 0


def test_a_message_put_back_by_hand_is_published_too(
    runtime: Runtime, teller: Agent, listener: Agent, inbox: Inbox
) -> None:
    trip(runtime, teller.name)
    teller.publish(f"{listener.name}.told", 1, park=True)
    Shelf(runtime.broker, teller.name, names.held_queue(teller.name)).put_back(lambda _: True)
    runtime.circuits.half_open(teller.name, reason="test", actor="operator:jo")
    assert [item[0] for item in inbox.wait(1)] == [1]  # type: ignore[index]


def test_without_parking_an_open_circuit_refuses_and_a_kill_refuses_always(runtime: Runtime, teller: Agent) -> None:
    trip(runtime, teller.name)
    with pytest.raises(AgentTripped):
        teller.publish("x", 1)
    runtime.latch.kill("kill_1", f"agent:{teller.name}", reason="cut", time=runtime.clock.now())
    with pytest.raises(AgentKilled):
        teller.publish("x", 1, park=True)
    assert runtime.broker.depth(names.held_queue(teller.name)) == 0


def test_a_strangers_message_is_no_envelope(
    runtime: Runtime, listener: Agent, names_of: Callable[[str], str], inbox: Inbox, stopping: Keep
) -> None:
    """Nobody makes an agent publish by a header: it is believed only of what came by the agent's own queues."""
    victim = stopping(Agent(names_of("victim"), runtime))
    seen = Inbox()

    @victim.on(f"{victim.name}.work")
    def handle(n: int, ctx: Context) -> None:
        seen.put(n)

    victim.start()
    forged = Message(b"9", {names.H_PARKED: f"{listener.name}.told"})
    runtime.broker.publish(names.EXCHANGE_EVENTS, f"{victim.name}.work", forged)
    assert seen.wait(1) == [9]
    runtime.broker.publish(names.EXCHANGE_EVENTS, f"{listener.name}.told", Message(b"10"))
    assert [n for n, _, _ in inbox.wait(1)] == [10], "what the envelope wanted would have come before"  # type: ignore[misc]
