"""Retries: which errors, how often, after how long; and the queues they wait in."""

from collections.abc import Callable

import pytest

from fusebox.errors import BadMessage, ConfigError
from rabbitmq.broker import Broker, Message
from rabbitmq.retry import DELAYS_S, NEVER, Retry, retry_exchange, retry_topology
from rabbitmq.topology import agent_topology
from tests.fixtures.agents import eventually


def test_attempts_are_bounded_and_delays_grow() -> None:
    retry = Retry(attempts=4, base_s=10)
    assert all(retry.delay(OSError(), 1) in (5,) for _ in range(50))
    assert {retry.delay(OSError(), 3) for _ in range(200)} <= {5, 30}
    assert retry.delay(OSError(), 4) is None


def test_only_named_errors_and_never_a_message_that_cannot_be_read() -> None:
    retry = Retry(on=(OSError,))
    assert retry.delay(ConnectionError(), 1) == 1
    assert retry.delay(KeyError(), 1) is None
    assert Retry().delay(BadMessage("x"), 1) is None
    assert NEVER.delay(OSError(), 1) is None


@pytest.mark.parametrize("knobs", [{"attempts": 0}, {"base_s": 0.1}])
def test_senseless_knobs_are_refused(knobs: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        Retry(**knobs)  # type: ignore[arg-type]


def test_a_message_comes_back_to_its_queue_after_the_delay(broker: Broker, unique: Callable[[str], str]) -> None:
    agent = unique("helper")
    broker.declare(agent_topology(agent, ()) + retry_topology())
    broker.publish(retry_exchange(DELAYS_S[0]), agent, Message(b"again", message_id="m-1"))
    assert broker.depth(agent) == 0
    eventually(lambda: broker.depth(agent) == 1, 10, "it comes back")
    delivery = broker.get(agent)
    assert delivery is not None
    assert delivery.message.message_id == "m-1"
    delivery.ack()
