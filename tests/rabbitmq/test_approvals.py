"""Messages that wait for people, on both brokers: parked, answered, handled again, or returned with the reason."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest

from fusebox import guard, names
from fusebox.clock import SystemClock
from fusebox.config import Config
from fusebox.errors import ApprovalDenied, ApprovalPending, ApprovalUnavailable
from fusebox.guard import Guards
from fusebox.records import Action, ActionKind, Verdict
from rabbitmq import Agent, Context, Runtime
from rabbitmq.broker import Broker
from tests.fixtures.agents import Inbox, RuntimeFactory, eventually
from tests.fixtures.watch import Harness

Keep = Callable[[Agent], Agent]


class Holding:
    """Wants a person's word on some operations of some kind."""

    name = "policy"

    def __init__(self, kind: ActionKind, operation: str) -> None:
        self.kind, self.operation, self.revision = kind, operation, "r1"

    def check(self, action: Action) -> Verdict:
        if (action.kind, action.operation) == (self.kind, self.operation):
            return guard.hold(self.name, "orders take a person", revision=self.revision)
        return guard.allow(self.name)


@pytest.fixture
def runtime(harness: Harness, runtimes: RuntimeFactory) -> Runtime:
    made = runtimes()
    made.start()
    eventually(lambda: made.link.controlled, what="the keys are found")
    return made


@pytest.fixture
def name() -> str:
    return f"buyer-{uuid4().hex[:8]}"


def hold(runtime: Runtime, kind: ActionKind, operation: str) -> Holding:
    holding = Holding(kind, operation)
    runtime.guards = Guards([runtime.guards, holding])
    return holding


def asked(harness: Harness, count: int = 1) -> list[dict[str, object]]:
    """What waits for people, once there is so much of it."""

    def waiting() -> list[dict[str, object]]:
        return [row for row in harness.operator().approvals()["approvals"] if row["stage"] == "pending"]

    eventually(lambda: len(waiting()) >= count, what=f"{count} approvals wait")
    return waiting()


def answer(harness: Harness, *, approve: bool, reason: str = "read it") -> str:
    (row,) = asked(harness)
    harness.operator().answer(str(row["id"]), str(row["digest"]), approve, reason)
    return str(row["id"])


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
    steps = [entry["payload"]["step"] for entry in harness.journal("approval")]
    assert steps == ["asked", "answered", "used"]
    assert len(buyer.runs.items) == 2
    buyer.agent.publish(f"{name}.order", 200)  # the same again is asked about again
    asked(harness)
    assert buyer.ordered.items == [200]
