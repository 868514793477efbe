"""When watch bars an agent's AMQP user, and what becomes of it when RabbitMQ's management is in trouble."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from breakers.latch import Latch
from collector.watch.disconnect import Disconnector
from fusebox import happenings
from fusebox.command import Command, Order
from fusebox.errors import BrokerUnavailable
from rabbitmq.management import Management
from tests.fixtures.agents import eventually

KILL = Command(Order.KILL, "agent:bot", "jo", "x", time.time())


class Standin(Management):
    """Knows two agents' users and a person's, and fails when told to."""

    def __init__(self) -> None:
        self.limited: set[str] = set()
        self.closed: list[str] = []
        self.failures: list[Exception] = []

    def users_of(self, vhost: str) -> list[str]:
        assert vhost == "/"
        return ["agent-bot", "agent-other", "jo"]

    def barred(self) -> frozenset[str]:
        if self.failures:
            raise self.failures.pop()
        return frozenset(self.limited)

    def bar(self, user: str) -> None:
        self.limited.add(user)

    def free(self, user: str) -> None:
        self.limited.discard(user)

    def close_connections(self, user: str, reason: str) -> None:
        assert user in self.limited
        self.closed.append(user)


Follow = Callable[[Callable[[str], bool]], Disconnector]


@pytest.fixture
def management() -> Standin:
    return Standin()


@pytest.fixture
def latch() -> Latch:
    return Latch()


@pytest.fixture
def follow(management: Standin, latch: Latch, monkeypatch: pytest.MonkeyPatch) -> Iterator[Follow]:
    """A running disconnector whose grace would last for ever."""
    monkeypatch.setattr("collector.watch.disconnect.GRACE_S", 1_000.0)
    monkeypatch.setattr("collector.watch.disconnect._PAUSE_S", 0.02)
    made: list[Disconnector] = []

    def start(told: Callable[[str], bool]) -> Disconnector:
        made.append(Disconnector(management, "/", latch, told))
        made[-1].start()
        return made[-1]

    yield start
    for disconnector in made:
        disconnector.stop(5)


def kill(latch: Latch, disconnector: Disconnector) -> None:
    latch.kill(KILL.id, KILL.scope)
    disconnector.offer(b"", KILL)


def test_connections_stay_until_the_processes_have_confirmed(management: Standin, latch: Latch, follow: Follow) -> None:
    asked: list[str] = []
    confirmed = threading.Event()

    def told(command: str) -> bool:
        asked.append(command)
        return confirmed.is_set()

    disconnector = follow(told)
    management.limited = {"agent-other"}
    disconnector.offer(b"", Command(Order.RESUME, "agent:other", "jo", "x", time.time()))
    eventually(lambda: not management.limited, what="its first pass is over")
    kill(latch, disconnector)
    eventually(lambda: len(asked) > 3, what="it waits")
    assert set(asked) == {KILL.id}
    assert not management.closed
    confirmed.set()
    eventually(lambda: management.closed == ["agent-bot"], what="it is thrown out")
    assert management.limited == {"agent-bot"}


@pytest.mark.parametrize("trouble", [BrokerUnavailable("away"), KeyError("value")], ids=["away", "nonsense"])
def test_trouble_is_counted_and_it_is_tried_again(
    management: Standin, latch: Latch, follow: Follow, trouble: Exception
) -> None:
    before = happenings.counts()["disconnect_failed"]
    management.failures = [trouble] * 3
    kill(latch, follow(lambda _: True))
    eventually(lambda: management.closed, what="it is thrown out")
    assert happenings.counts()["disconnect_failed"] == before + 3


def test_stop_waits_for_no_confirmation(latch: Latch, follow: Follow) -> None:
    disconnector = follow(lambda _: False)
    kill(latch, disconnector)
    started = time.monotonic()
    disconnector.stop(10)
    assert time.monotonic() - started < 5
