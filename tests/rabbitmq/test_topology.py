"""Topic keys and the queues Fusebox declares."""

import re

from hypothesis import given
from hypothesis import strategies as st

from rabbitmq.broker import Binding, QueueType
from rabbitmq.topology import agent_topology, base_topology, control_topology, topic_matches, uplink_topology

words = st.lists(st.sampled_from(["a", "b", "order", ""]), max_size=5).map(".".join)
patterns = st.lists(st.sampled_from(["a", "b", "order", "*", "#"]), min_size=1, max_size=5).map(".".join)


def oracle(pattern: str, key: str) -> bool:
    """The same rule as a regular expression over words that each end in a dot."""
    parts = {"*": r"[^.]*\.", "#": r"(?:[^.]*\.)*"}
    regex = "".join(parts.get(part, re.escape(part) + r"\.") for part in pattern.split("."))
    return re.fullmatch(regex, key + "." if key else "") is not None


@given(patterns, words)
def test_topic_patterns_match_as_their_regular_expression(pattern: str, key: str) -> None:
    assert topic_matches(pattern, key) == oracle(pattern, key)


def test_an_agent_gets_a_limited_work_queue_with_a_dead_letter_queue_and_room_for_held_messages() -> None:
    topology = agent_topology("helper", ["ticket.*", "order.#"])
    queues = {queue.name: queue for queue in topology.queues}
    assert set(queues) == {"helper", "helper.dead", "helper.held", "helper.approvals"}
    assert queues["helper"].delivery_limit == 20
    assert queues["helper"].dead_letter_exchange == "fusebox.dead"
    assert all(queue.type is QueueType.QUORUM and not queue.exclusive for queue in topology.queues)
    assert set(topology.bindings) == {
        Binding("fusebox.events", "helper", "ticket.*"),
        Binding("fusebox.events", "helper", "order.#"),
        Binding("fusebox.dead", "helper.dead", "helper"),
        Binding("fusebox.own", "helper.dead", "helper.dead"),
        Binding("fusebox.own", "helper.held", "helper.held"),
        Binding("fusebox.own", "helper.approvals", "helper.approvals"),
    }


def test_each_process_hears_commands_on_an_exclusive_queue_of_its_own() -> None:
    (queue,) = control_topology("host-7").queues
    assert queue.exclusive
    assert queue.name == "fusebox.control.host-7"


def test_every_topology_brings_the_exchanges_it_binds() -> None:
    for topology in (base_topology(), agent_topology("a", ["k"]), control_topology("p"), uplink_topology()):
        names = {exchange.name for exchange in topology.exchanges}
        assert {binding.exchange for binding in topology.bindings} <= names
