"""Publishing many at once: the hand-over does not wait for the broker, the confirm says what became of each."""

from collections.abc import Callable

import pytest

from fusebox.errors import PublishNacked, Unroutable
from rabbitmq.broker import Broker, Message, Queue, Topology


def test_many_are_handed_over_before_the_first_is_waited_for(broker: Broker, unique: Callable[[str], str]) -> None:
    queue = unique("many")
    broker.declare(Topology(queues=(Queue(queue),)))
    confirms = [broker.publish_soon("", queue, Message(str(n).encode())) for n in range(2_500)]
    for confirm in confirms:
        confirm()
    assert broker.depth(queue) == 2_500


def test_each_confirm_tells_its_own_outcome_and_twice_the_same(broker: Broker, unique: Callable[[str], str]) -> None:
    queue = unique("small")
    broker.declare(Topology(queues=(Queue(queue, max_length=1),)))
    lost = broker.publish_soon("", unique("nobody"), Message(b""))
    kept = broker.publish_soon("", queue, Message(b"1"))
    kept()
    broker.publish_soon("", queue, Message(b"2"))
    for _ in range(2):
        kept()
        with pytest.raises(Unroutable):
            lost()


def test_a_full_queue_is_told_by_the_confirm(broker: Broker, unique: Callable[[str], str]) -> None:
    queue = unique("full")
    broker.declare(Topology(queues=(Queue(queue, max_length=1),)))

    def overfill() -> None:
        for _ in range(10):  # a quorum queue takes a few more than its length before it refuses
            broker.publish_soon("", queue, Message(b"x"))()

    with pytest.raises(PublishNacked):
        overfill()
