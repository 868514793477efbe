"""The in-process broker does what RabbitMQ does: random histories of one queue, played on both."""

from uuid import uuid4

from hypothesis import given, settings
from hypothesis import strategies as st

from rabbitmq.amqp import AmqpBroker
from rabbitmq.broker import Binding, Broker, Delivery, Exchange, ExchangeType, Message, Queue, Topology
from rabbitmq.inprocess import InProcessBroker
from tests.fixtures.agents import eventually

LIMIT = 2
steps = st.lists(
    st.one_of(
        st.just(("publish", 0)),
        st.just(("get", 0)),
        st.tuples(st.sampled_from(["ack", "reject", "requeue"]), st.integers(0, 3)),
        st.just(("purge", 0)),
    ),
    max_size=14,
)


class Player:
    """One broker, and what is held of its queue."""

    def __init__(self, broker: Broker, name: str) -> None:
        self.broker, self.name = broker, name
        self.held: list[Delivery] = []
        self.published = 0
        broker.declare(
            Topology(
                (Exchange(f"{name}.x", ExchangeType.DIRECT),),
                (Queue(f"{name}.dead"), Queue(name, delivery_limit=LIMIT, dead_letter_exchange=f"{name}.x")),
                (Binding(f"{name}.x", f"{name}.dead", name),),
            )
        )

    def play(self, verb: str, index: int) -> object:
        """What a user sees of one step."""
        if verb == "publish":
            self.published += 1
            return self.broker.publish("", self.name, Message(str(self.published).encode()))
        if verb == "get":
            return self.get()
        if verb == "purge":
            return self.broker.purge(self.name)
        if index < len(self.held):
            self.settle(self.held.pop(index), verb)
        return None

    def get(self) -> object:
        delivery = self.broker.get(self.name)
        if delivery is None:
            return None
        self.held.append(delivery)
        return delivery.message.body, delivery.redelivered

    def settle(self, delivery: Delivery, verb: str) -> None:
        if verb == "ack":
            delivery.ack()
        else:
            delivery.reject(requeue=verb == "requeue")

    def depths(self) -> tuple[int, int]:
        return self.broker.depth(self.name), self.broker.depth(f"{self.name}.dead")


@settings(max_examples=60)
@given(steps)
def test_both_brokers_show_the_same_history(
    inprocess: InProcessBroker, amqp: AmqpBroker, steps: list[tuple[str, int]]
) -> None:
    name = f"twin-{uuid4().hex[:8]}"
    twin, real = Player(inprocess, name), Player(amqp, name)
    for verb, index in steps:
        assert twin.play(verb, index) == real.play(verb, index)
        eventually(lambda: real.depths() == twin.depths(), what=f"the same depths after {verb} {index}")
