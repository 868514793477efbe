"""What ``fusebox dlq`` and ``fusebox held`` print about messages, whose texts are other people's."""

import json

import pytest

from fusebox import names
from rabbitmq.broker import Broker, Message
from rabbitmq.shelf import Shelf
from rabbitmq.topology import agent_topology
from rabbitmq.verbs.messages import print_behind, print_beyond, print_list, print_one
from tests.rabbitmq.test_shelf import Unique

REASON = "circuit: " + "tool_call tickets.comment × 5 on one ticket with the same result, " * 3 + "no progress\x1b[2J"


@pytest.fixture
def shelf(unique: Unique, broker: Broker) -> Shelf:
    agent = unique("helper")
    broker.declare(agent_topology(agent, ()))
    headers = {
        names.H_DEAD_REASON: REASON,
        names.H_DEAD_STACK: "Traceback:\n  \x1b[31mKeyError",
        names.H_ORIGIN_KEY: "k",
    }
    broker.publish("", names.dead_queue(agent), Message(b"{}", headers, "m-1"))
    return Shelf(broker, agent, names.dead_queue(agent))


def test_a_list_in_a_pipe_cuts_nothing_and_commands_no_terminal(
    shelf: Shelf, capsys: pytest.CaptureFixture[str]
) -> None:
    print_list(shelf.look(), as_json=False)
    _, row = capsys.readouterr().out.splitlines()
    assert "no progress·[2J" in row
    assert row.startswith("m-1")


def test_one_message_is_shown_with_its_stack_or_as_one_object(shelf: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    assert print_one(shelf.look(), "m-1", as_json=False) == 0
    assert capsys.readouterr().out.endswith("}\nTraceback:\n  ·[31mKeyError\n")
    assert print_one(shelf.look(), "m-1", as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["headers"][names.H_DEAD_STACK].endswith("KeyError")
    assert print_one(shelf.look(), "m-2", as_json=True) == 1
    assert capsys.readouterr().err == "no message m-2 there\n"


def test_what_is_beyond_the_limit_is_said(shelf: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(shelf.look()) == 1
    print_beyond(shelf)
    assert capsys.readouterr().err == ""
    assert shelf.look(limit=0) == []
    print_beyond(shelf)
    assert "1 newer ones are there as well" in capsys.readouterr().err


def test_what_a_stopped_agent_has_not_taken_is_said_beside_the_list(
    unique: Unique, broker: Broker, capsys: pytest.CaptureFixture[str]
) -> None:
    agent = unique("helper")
    broker.declare(agent_topology(agent, ()))
    held = Shelf(broker, agent, names.held_queue(agent))
    print_behind(held)
    assert capsys.readouterr().err == ""
    for number in range(3):
        broker.publish("", agent, Message(b"{}", {}, f"m-{number}"))
    print_behind(held)
    assert capsys.readouterr().err.startswith("3 more in the work queue")
