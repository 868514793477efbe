"""Held and dead messages: look, put back, throw away; nothing is lost on the way, and order is kept."""

from collections.abc import Callable

import pytest

from fusebox import names
from rabbitmq.broker import Broker, Message
from rabbitmq.shelf import Shelf
from rabbitmq.topology import agent_topology
from tests.fixtures.agents import eventually

Unique = Callable[[str], str]


@pytest.fixture
def agent(unique: Unique, broker: Broker) -> str:
    name = unique("helper")
    broker.declare(agent_topology(name, ()))
    return name


@pytest.fixture
def shelf(agent: str, broker: Broker) -> Shelf:
    for n in range(4):
        headers = {
            names.H_DEAD_REASON: "KeyError: 'price'" if n % 2 else "BadMessage: not JSON", names.H_DEAD_STACK: "…",
            names.H_HELD_FINDING: f"fnd_{n}", names.H_ORIGIN_KEY: "order.placed", names.H_LINEAGE: "",
            names.H_TRACEPARENT: f"00-{n:032x}-{1:016x}-01", names.H_ATTEMPT: 3,
        }  # fmt: skip
        broker.publish("", names.dead_queue(agent), Message(str(n).encode(), headers, f"m-{n}"))
    return Shelf(broker, agent, names.dead_queue(agent))


def test_looking_changes_nothing(shelf: Shelf, broker: Broker, agent: str) -> None:
    for _ in range(2):
        assert [s.message.message_id for s in shelf.look()] == ["m-0", "m-1", "m-2", "m-3"]
    eventually(lambda: broker.depth(names.dead_queue(agent)) == 4)
    row = shelf.look()[1].row()
    assert (row["reason"], row["key"], row["trace_id"]) == ("KeyError: 'price'", "order.placed", f"{1:032x}")


def test_what_is_put_back_keeps_id_lineage_and_trace_and_starts_afresh(
    shelf: Shelf, broker: Broker, agent: str
) -> None:
    assert shelf.put_back(lambda s: "KeyError" in s.reason) == 2
    first = broker.get(agent)
    assert first is not None
    assert first.message.message_id == "m-1"
    assert first.message.headers[names.H_ORIGIN_KEY] == "order.placed"
    assert first.message.headers[names.H_TRACEPARENT] == f"00-{1:032x}-{1:016x}-01"
    assert names.H_DEAD_REASON not in first.message.headers
    assert names.H_ATTEMPT not in first.message.headers
    first.ack()
    assert [s.message.message_id for s in shelf.look()] == ["m-0", "m-2"]


def test_only_what_is_wanted_is_thrown_away(shelf: Shelf) -> None:
    assert shelf.discard(lambda s: s.finding == "fnd_2") == 1
    assert [s.message.message_id for s in shelf.look()] == ["m-0", "m-1", "m-3"]
    assert shelf.discard(lambda s: True) == 3
    assert shelf.look() == []
