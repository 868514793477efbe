"""Acknowledgements that share a frame acknowledge what was dealt with, and nothing else."""

from collections.abc import Callable
from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st
from pika import BasicProperties

from rabbitmq.amqp_lane import AmqpDelivery, Lane

TAGS = range(1, 9)


class Channel:
    """Settles as RabbitMQ does; settling a tag twice is an error there too."""

    is_open = True

    def __init__(self) -> None:
        self.acked: set[int] = set()
        self.rejected: dict[int, None] = {}
        self.fences: list[Callable[[object], object]] = []
        self.frames = 0

    def basic_ack(self, tag: int, multiple: bool = False) -> None:
        self.frames += 1
        tags = {each for each in TAGS if each <= tag} - self.acked - self.rejected.keys() if multiple else {tag}
        assert tags
        assert not tags & (self.acked | self.rejected.keys())
        self.acked |= tags

    def basic_reject(self, tag: int, requeue: bool) -> None:
        assert tag not in self.acked | self.rejected.keys()
        self.rejected[tag] = None

    def basic_qos(self, callback: Callable[[object], object]) -> None:
        self.fences.append(callback)

    def close(self) -> None:
        self.is_open = False


class Posted(list[Callable[[], None]]):
    """Work for whoever holds the turn."""

    def run(self, action: Callable[[], None]) -> int:
        self.append(action)
        return -1

    def post_lazily(self, action: Callable[[], None]) -> None:
        self.append(action)


def deliveries(lane: Lane) -> dict[int, AmqpDelivery]:
    properties = BasicProperties(headers={})
    methods = [SimpleNamespace(delivery_tag=tag, routing_key="", redelivered=False) for tag in TAGS]
    return {method.delivery_tag: lane.receive("q", method, properties, b"") for method in methods}


@given(order=st.permutations(list(TAGS)), acked=st.sets(st.sampled_from(list(TAGS))), every=st.integers(1, 8))
def test_each_delivery_is_settled_once_and_as_asked_however_settlements_pile_up(
    order: list[int], acked: set[int], every: int
) -> None:
    posted = Posted()
    channel = Channel()
    lane = Lane(channel, posted)
    given_out = deliveries(lane)
    for n, tag in enumerate(order, 1):
        delivery = given_out[tag]
        if tag in acked:
            delivery.ack()
        else:
            delivery.reject(requeue=True)
        if n % every == 0:
            while posted:
                posted.pop(0)()
    while posted:
        posted.pop(0)()
    assert (channel.acked, channel.rejected.keys()) == (acked, set(TAGS) - acked)


def test_what_is_acknowledged_in_order_shares_one_frame() -> None:
    posted = Posted()
    channel = Channel()
    given_out = deliveries(Lane(channel, posted))
    for tag in (2, 1, 3, 4):
        given_out[tag].ack()
    assert len(posted) == 1, "one wake-up for all"
    posted.pop()()
    assert (channel.acked, channel.frames) == ({1, 2, 3, 4}, 1)
    given_out[6].ack()  # 5 is still out
    posted.pop()()
    assert channel.acked == {1, 2, 3, 4, 6}


def test_what_goes_back_goes_behind_the_cancels_of_the_consumers_and_keeps_its_order() -> None:
    posted, channel = Posted(), Channel()
    lane = Lane(channel, posted)
    given_out = deliveries(lane)
    lane.ending = True
    for tag in (1, 2):
        given_out[tag].reject(requeue=True)
    while posted:
        posted.pop(0)()
    assert not channel.rejected, "a consumer that is still to be cancelled would take it again"
    for done in channel.fences:
        done(None)
    assert list(channel.rejected) == [1, 2]
