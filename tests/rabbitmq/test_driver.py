"""Driving a recording: every event is carried out once, in each run anew."""

from rabbitmq.driver import Driver
from rabbitmq.recording import Recorded
from tests.fixtures.agents import RuntimeFactory, eventually
from tests.fixtures.broker import Unique


def test_the_same_recording_can_be_played_again(runtimes: RuntimeFactory, unique: Unique) -> None:
    runtime, agent = runtimes(), unique("agent")
    words = ["order", "refund", "invoice", "policy", "vendor"]
    events = [
        Recorded(ts=n / 100, agent=agent, operation="search", target=word, payload=word, result_head=word * 3, seq=n)
        for n, word in enumerate(words)
    ]
    for _ in range(2):
        driver = Driver(runtime, events, lambda sent: None)
        driver.start()
        driver.play()
        eventually(driver.settled)
        assert sum(driver.tally.allowed.values()) == len(events)
        for each in driver.agents.values():
            each.stop()
