"""Messages that wait for people, on both brokers: parked, answered, handled again, or returned with the reason."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pika
import pytest

from fusebox import guard, happenings, names
from fusebox.errors import ApprovalDenied, ApprovalPending, Refused
from fusebox.records import Action, ActionKind
from rabbitmq import Agent, Context, Runtime
from rabbitmq.broker import Message
from rabbitmq.shelf import Shelf
from rabbitmq.topology import agent_topology
from tests.fixtures.agents import Inbox, RuntimeFactory, eventually
from tests.fixtures.approvals import answer, asked, hold, steps
from tests.fixtures.watch import Harness

Keep = Callable[[Agent], Agent]
inprocess = pytest.mark.parametrize("broker", ["inprocess"], indirect=True)
"""For what no broker has a part in."""


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    """People who answer at once are heard at once."""
    monkeypatch.setattr("rabbitmq.awaiting.LOOK_S", 0.05)
    monkeypatch.setattr("rabbitmq.awaiting.BLIND_S", 1.0)


@pytest.fixture
def runtime(harness: Harness, runtimes: RuntimeFactory) -> Runtime:
    made = runtimes()
    made.start()
    eventually(lambda: made.link.controlled, what="the keys are found")
    return made


@pytest.fixture
def name() -> str:
    return f"buyer-{uuid4().hex[:8]}"


def parked(runtime: Runtime, agent: str) -> int:
    return runtime.broker.depth(names.approvals_queue(agent))


class Buyer:
    """An agent that commits an order with a tool."""

    def __init__(self, name: str, runtime: Runtime) -> None:
        self.agent, self.ordered, self.runs = Agent(name, runtime), Inbox(), Inbox()
        self.quantity = 0

        @self.agent.on(f"{name}.order")
        def order(quantity: int, ctx: Context) -> None:
            self.runs.put(quantity)
            ctx.tool("erp.commit", self.commit, self.quantity or quantity, target="PO-1")

    def commit(self, quantity: int) -> str:
        self.ordered.put(quantity)
        return "committed"


@pytest.fixture
def buyer(name: str, runtime: Runtime, stopping: Keep) -> Buyer:
    made = Buyer(name, runtime)
    stopping(made.agent).start()
    return made


def test_a_tool_call_waits_for_a_person_and_then_happens_once(
    harness: Harness, runtime: Runtime, buyer: Buyer, name: str
) -> None:
    hold(runtime, ActionKind.TOOL_CALL, "erp.commit")
    buyer.agent.publish(f"{name}.order", 200)
    (row,) = asked(harness)
    eventually(lambda: parked(runtime, name) == 1, what="the message is parked")
    assert buyer.ordered.items == []
    shown = harness.operator().approval(str(row["id"]))
    assert shown["request"]["arguments"] == '{"quantity":200}'
    answer(harness, approve=True)
    assert buyer.ordered.wait(1) == [200]
    eventually(lambda: parked(runtime, name) == 0)
    assert steps(harness) == ["asked", "answered", "used"]
    assert len(buyer.runs.items) == 2
    buyer.agent.publish(f"{name}.order", 200)  # the same again is asked about again
    asked(harness)
    assert buyer.ordered.items == [200]


def test_a_message_waits_for_an_answer_to_what_the_gateway_asked(
    harness: Harness, runtime: Runtime, name: str, stopping: Keep
) -> None:
    agent, runs, ordered = stopping(Agent(name, runtime)), Inbox(), Inbox()
    verdict = guard.hold("policy", "orders take a person", revision="r1")

    @agent.on(f"{name}.order")
    def order(quantity: int, ctx: Context) -> None:
        runs.put(ctx.approval)
        action = Action(ActionKind.TOOL_CALL, name, "erp", "POST /orders")
        try:  # as the gateway does for the agent's call
            runtime.approvals.require(
                action, verdict, lambda: {"quantity": quantity}, origin=ctx.workflow.id, named=ctx.approval,
                by_origin=False,
            )  # fmt: skip
        except ApprovalPending as asked:  # which it says by 202
            ctx.await_approval(asked.approval)
        ordered.put(quantity)

    agent.start()
    agent.publish(f"{name}.order", 200)
    eventually(lambda: parked(runtime, name) == 1, what="the message is parked")
    assert ordered.items == []
    approval = answer(harness, approve=True)
    assert ordered.wait(1) == [200]
    assert runs.items == ["", approval]
    assert steps(harness) == ["asked", "answered", "used"]


@inprocess
def test_a_message_comes_again_where_the_gateway_could_ask_nobody(runtime: Runtime, name: str, stopping: Keep) -> None:
    agent, runs = stopping(Agent(name, runtime)), Inbox()

    @agent.on(f"{name}.order")
    def order(quantity: int, ctx: Context) -> None:
        runs.put(quantity)
        if len(runs.items) == 1:
            ctx.await_approval("")

    agent.start()
    agent.publish(f"{name}.order", 200)
    assert runs.wait(2) == [200, 200]
    assert parked(runtime, name) == runtime.broker.depth(names.dead_queue(name)) == 0


@inprocess
def test_an_answer_that_comes_before_the_message_waits_is_not_overlooked(
    harness: Harness, runtime: Runtime, name: str, stopping: Keep, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rabbitmq.awaiting.SEARCH_S", 3_600.0)  # nobody finds it by searching
    told: set[str] = set()
    standing = runtime.approvals.standing

    def noting(agents: list[str]) -> dict[str, str]:
        stages = standing(agents)
        told.update(approval for approval, stage in stages.items() if stage == "approved")
        return stages

    monkeypatch.setattr(runtime.approvals, "standing", noting)
    hold(runtime, ActionKind.TOOL_CALL, "erp.commit")
    agent, ordered = stopping(Agent(name, runtime, concurrency=2)), Inbox()

    @agent.on(f"{name}.order")
    def order(quantity: int, ctx: Context) -> None:
        try:
            ctx.tool("erp.commit", lambda quantity: quantity, quantity)
        except ApprovalPending as pending:
            if quantity == 2:  # answered, and known to be, while its message is on its way to the queue
                id = pending.approval
                digest = harness.operator().approval(id)["digest"]
                harness.operator().answer(id, digest, True, "at once")
                eventually(lambda: id in told, what="the agent is told")
            raise
        ordered.put(quantity)

    agent.start()
    agent.publish(f"{name}.order", 1)
    eventually(lambda: parked(runtime, name) == 1, what="something waits, so that the agent asks how things stand")
    agent.publish(f"{name}.order", 2)
    assert ordered.wait(1) == [2]


def test_a_no_returns_the_message_with_the_reason(harness: Harness, runtime: Runtime, buyer: Buyer, name: str) -> None:
    hold(runtime, ActionKind.TOOL_CALL, "erp.commit")
    refused = Inbox()

    @buyer.agent.on(f"{name}.polite")
    def order(quantity: int, ctx: Context) -> None:
        try:
            ctx.tool("erp.commit", buyer.commit, quantity)
        except ApprovalDenied as no:
            refused.put(no.verdict.reason)

    buyer.agent.publish(f"{name}.order", 200)
    approval = answer(harness, approve=False, reason="too many")
    eventually(lambda: runtime.broker.depth(names.dead_queue(name)) == 1, what="nobody handled the no")
    shelf = Shelf(runtime.broker, name, names.dead_queue(name))
    assert "local says no: too many" in shelf.look()[0].reason
    assert buyer.ordered.items == []
    shelf.put_back(lambda _: True)  # by a person, who wants others to be asked again
    (row,) = asked(harness)
    assert row["id"] != approval


@inprocess
def test_a_changed_action_is_asked_about_again(harness: Harness, runtime: Runtime, buyer: Buyer, name: str) -> None:
    hold(runtime, ActionKind.TOOL_CALL, "erp.commit")
    buyer.agent.publish(f"{name}.order", 200)
    first = answer(harness, approve=True)
    buyer.quantity = 2000  # what a model says the second time
    (row,) = asked(harness)
    assert row["id"] != first
    assert buyer.ordered.items == []
    assert "used" not in steps(harness)


def test_a_message_is_not_handed_over_before_a_person_agrees(
    harness: Harness, runtime: Runtime, buyer: Buyer, name: str
) -> None:
    hold(runtime, ActionKind.CONSUME, f"{name}.order")
    buyer.agent.publish(f"{name}.order", 7)
    (row,) = asked(harness)
    assert harness.operator().approval(row["id"])["request"]["arguments"] == f'{{"body":"7","key":"{name}.order"}}'
    assert buyer.runs.items == []
    answer(harness, approve=True)
    assert buyer.ordered.wait(1) == [7]


def test_a_parked_publish_goes_out_under_its_own_id_once_people_agree(
    harness: Harness, runtime: Runtime, buyer: Buyer, name: str, stopping: Keep
) -> None:
    sender = stopping(Agent(f"sender-{name}", runtime))
    sender.start()
    hold(runtime, ActionKind.PUBLISH, f"{name}.order")
    with pytest.raises(ApprovalPending):
        sender.publish(f"{name}.order", 1)
    (row,) = asked(harness)
    harness.operator().answer(row["id"], row["digest"], False, "not that one")
    sender.publish(f"{name}.order", 2, park=True)
    answer(harness, approve=True)
    assert buyer.ordered.wait(1) == [2]


@pytest.mark.parametrize("broker", ["amqp"], indirect=True)
def test_a_message_that_cannot_go_back_behind_the_others_is_not_forgotten(
    harness: Harness, runtime: Runtime, buyer: Buyer, name: str, rabbitmq_url: str
) -> None:
    hold(runtime, ActionKind.TOOL_CALL, "erp.commit")
    for quantity in (100, 200):
        buyer.agent.publish(f"{name}.order", quantity)
    eventually(lambda: parked(runtime, name) == 2, what="both are parked")
    queue = names.approvals_queue(name)
    with closing(pika.BlockingConnection(pika.URLParameters(rabbitmq_url))) as connection:
        connection.channel().queue_unbind(queue, names.EXCHANGE_OWN, queue)
    before = happenings.counts()["tick_failed"]
    first, _ = asked(harness, 2)
    harness.operator().answer(first["id"], first["digest"], True, "read it")
    eventually(lambda: happenings.counts()["tick_failed"] > before, what="one could not go back")
    runtime.broker.declare(agent_topology(name, ()))
    eventually(lambda: len(buyer.ordered.items) + parked(runtime, name) == 2, what="nothing is lost")
    answer(harness, approve=True)
    assert sorted(buyer.ordered.wait(2)) == [100, 200]  # type: ignore[type-var]


@inprocess
def test_work_that_no_message_caused_is_done_by_asking_again(harness: Harness, runtime: Runtime, buyer: Buyer) -> None:
    hold(runtime, ActionKind.TOOL_CALL, "erp.commit")
    context = buyer.agent.context()
    for _ in range(2):
        with pytest.raises(ApprovalPending):
            context.tool("erp.commit", buyer.commit, 3)
    answer(harness, approve=True)
    assert context.tool("erp.commit", buyer.commit, 3) == "committed"
    with pytest.raises(ApprovalPending):
        context.tool("erp.commit", buyer.commit, 3)
    answer(harness, approve=False, reason="once is enough")
    with pytest.raises(ApprovalDenied, match="once is enough"):
        context.tool("erp.commit", buyer.commit, 3)


@inprocess
def test_what_no_person_could_read_exactly_is_denied(harness: Harness, runtime: Runtime, buyer: Buyer) -> None:
    hold(runtime, ActionKind.TOOL_CALL, "erp.commit")
    for argument in (object(), float("nan"), {1: "a"}, {"a", "b"}, "x" * 70_000):
        with pytest.raises(ApprovalDenied, match=r"exact form|characters"):
            buyer.agent.context().tool("erp.commit", buyer.commit, argument)
    assert harness.operator().approvals()["approvals"] == []


def test_a_message_waits_through_a_restart_of_everything(
    harness: Harness, runtime: Runtime, runtimes: RuntimeFactory, name: str, stopping: Keep
) -> None:
    buyer = Buyer(name, runtime)
    stopping(buyer.agent).start()
    hold(runtime, ActionKind.TOOL_CALL, "erp.commit")
    buyer.agent.publish(f"{name}.order", 5)
    asked(harness)
    eventually(lambda: parked(runtime, name) == 1)
    buyer.agent.stop()
    harness.restart()  # its store was memory: nobody knows of the approval any more
    again = Buyer(name, runtime)
    stopping(again.agent).start()
    answer(harness, approve=True)
    assert again.ordered.wait(1) == [5]


@inprocess
def test_while_watch_is_away_messages_come_back_and_nothing_happens(
    harness: Harness, runtime: Runtime, buyer: Buyer, name: str
) -> None:
    hold(runtime, ActionKind.TOOL_CALL, "erp.commit")
    harness.stop()
    buyer.agent.publish(f"{name}.order", 5)
    buyer.runs.wait(1)
    harness.start()
    answer(harness, approve=True)
    assert buyer.ordered.wait(1) == [5]


@inprocess
def test_a_grant_that_watch_did_not_sign_counts_for_nothing(
    harness: Harness, runtime: Runtime, buyer: Buyer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who answers in the place of watch, without its key, can let nothing through."""
    hold(runtime, ActionKind.TOOL_CALL, "erp.commit")
    signed = harness.agent().send("snapshot", {"nonce": "n" * 16, "process": "p1", "agents": []})["signed"]
    for grant in ("", "fusebox1.key.e30.AA", signed):
        forged = {"approval": "apr_" + "0" * 16, "stage": "used", "reason": "", "grant": grant}
        monkeypatch.setattr(runtime.approvals, "_send", lambda kind, body, forged=forged: forged)
        with pytest.raises(ApprovalDenied, match="not one that watch signed"):
            buyer.agent.context().tool("erp.commit", buyer.commit, 3)
    assert buyer.ordered.items == []


@inprocess
def test_a_guard_that_denies_comes_before_one_that_holds(harness: Harness, runtime: Runtime, buyer: Buyer) -> None:
    hold(runtime, ActionKind.TOOL_CALL, "erp.commit")
    hold(runtime, ActionKind.TOOL_CALL, "erp.commit").verdict = guard.deny("policy", "never")
    with pytest.raises(Refused, match="never"):
        buyer.agent.context().tool("erp.commit", buyer.commit, 3)
    assert harness.operator().approvals()["approvals"] == []


@inprocess
def test_what_the_policy_holds_waits_for_a_person(
    harness: Harness, runtimes: RuntimeFactory, tmp_path: Path, name: str, stopping: Keep
) -> None:
    """The registry's own grant, judged by the embedded engine."""
    (tmp_path / "agents.toml").write_text(
        f'[agents.{name}]\nowner = "jo"\nhandles = ["{name}.order"]\n\n[[agents.{name}.grants]]\n'
        'action = "tool_call"\nresource = "erp.commit"\nhold = true\n'
    )
    runtime = runtimes(policy="default")
    buyer = Buyer(name, runtime)
    stopping(buyer.agent).start()
    runtime.broker.publish(names.EXCHANGE_EVENTS, f"{name}.order", Message(b"5"))
    (row,) = asked(harness)
    assert row["request"]["guard"] == "policy"
    assert row["request"]["revision"] != ""
    answer(harness, approve=True)
    assert buyer.ordered.wait(1) == [5]
    runtime.broker.publish(names.EXCHANGE_EVENTS, f"{name}.order", Message(b"6"))
    answer(harness, approve=False)
    eventually(lambda: runtime.broker.depth(names.dead_queue(name)) == 1, what="it is dead")
    assert buyer.ordered.items == [5]
