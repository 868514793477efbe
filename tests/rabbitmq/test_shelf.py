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


def test_looking_at_thousands_keeps_their_order(broker: Broker, agent: str) -> None:
    held = names.held_queue(agent)
    for confirmed in [broker.publish_soon("", held, Message(str(n).encode())) for n in range(3_000)]:
        confirmed()
    shelf = Shelf(broker, agent, held)
    for _ in range(4):
        assert [int(s.message.body) for s in shelf.look()] == list(range(3_000))


def test_throwing_one_away_keeps_the_order_of_the_others(broker: Broker, agent: str) -> None:
    held = names.held_queue(agent)
    for confirmed in [broker.publish_soon("", held, Message(str(n).encode())) for n in range(100)]:
        confirmed()
    shelf = Shelf(broker, agent, held)
    assert shelf.discard(lambda s: s.message.body in (b"7", b"50")) == 2
    assert [int(s.message.body) for s in shelf.look()] == [n for n in range(100) if n not in (7, 50)]


def test_what_somebody_has_is_in_hand_until_it_is_settled(broker: Broker, agent: str) -> None:
    held = names.held_queue(agent)
    assert not broker.in_hand(held)
    broker.publish("", held, Message(b"1"))
    delivery = broker.get(held)
    assert delivery is not None
    assert (broker.depth(held), broker.in_hand(held)) == (0, True)
    delivery.ack()
    eventually(lambda: not broker.in_hand(held))
    assert not broker.in_hand("nobody.held")


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
