"""A provider is down for ten minutes: who is stopped, and what people read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from random import Random

import pytest

from breakers.panel import Panel
from breakers.rules import load_rules
from fusebox.records import ActionKind, Event, Finding
from tests.breakers.traffic import START, event, salad

OUTAGE_S = 600.0
Sent = tuple[float, int]
"""When a request reaches the gateway, and which time its library sends it again."""
Client = Callable[[Random, float], list[Sent]]


def failed(time: float, prompt: str, resent: int = 0, error: str = "upstream_error") -> Event:
    """As the gateway tells it."""
    one = event(time, "gpt-5", "", prompt, "", action=ActionKind.MODEL_CALL, ok=False)
    return replace(one, error_type=error, resent=resent)


def library(random: Random, begun: float, tries: int = 3) -> list[Sent]:
    """One call with OpenAI's or Anthropic's: it waits half a second, a second, two …, up to a quarter less by dice."""
    sent, now = [], begun
    for number in range(tries):
        now += 0.2
        sent.append((now, number))
        now += min(8.0, 0.5 * 2**number) * (1 - 0.25 * random.random())
    return sent


def framework(random: Random, begun: float) -> list[Sent]:
    """LlamaIndex: three tries, at random times, around a library that is told to try four times."""
    sent: list[Sent] = []
    for number in range(3):
        sent += library(random, sent[-1][0] + random.uniform(0, 2**number) if sent else begun, 4)
    return sent


def people(random: Random, client: Client) -> Iterator[Event]:
    """Somebody asks, and asks the same again, or something else."""
    now, prompt = START + random.uniform(0, 20), salad(random)
    while now < START + OUTAGE_S:
        prompt = prompt if random.random() < 0.5 else salad(random)
        sent = client(random, now)
        yield from (failed(time, prompt, resent) for time, resent in sent)
        now = sent[-1][0] + random.uniform(5, 40)


def minutely(random: Random, client: Client) -> Iterator[Event]:
    """Code that asks the same every minute."""
    for number in range(10):
        yield from (failed(t, "look at the inbox", resent) for t, resent in client(random, START + 60 * number))


def batch(random: Random, client: Client) -> Iterator[Event]:
    """One text after the other, without a pause."""
    now = START
    while now < START + OUTAGE_S:
        prompt, sent = salad(random), client(random, now)
        yield from (failed(time, prompt, resent) for time, resent in sent)
        now = sent[-1][0]


def messages(random: Random, client: Client) -> Iterator[Event]:
    """Each is handled four times, the later the longer apart."""
    now = START
    while now < START + OUTAGE_S:
        prompt = salad(random)
        for pause in (1, 1, 5, 0):
            sent = client(random, now)
            yield from (failed(time, prompt, resent) for time, resent in sent)
            now = sent[-1][0] + pause


def findings(events: Iterable[Event]) -> list[Finding]:
    panel = Panel(load_rules())
    return [found for one in events if (found := panel.observe(one))]


def opens(events: Iterable[Event]) -> int:
    """After how many requests the circuit opens; 0 for never."""
    panel = Panel(load_rules())
    for number, one in enumerate(events, 1):
        if (found := panel.observe(one)) and found.action == "open":
            return number
    return 0


@pytest.mark.parametrize("client", [library, framework])
@pytest.mark.parametrize("work", [people, minutely, batch, messages])
def test_no_agent_of_twenty_that_does_its_work_is_stopped(
    work: Callable[[Random, Client], Iterator[Event]], client: Client
) -> None:
    assert [opens(work(Random(number), client)) for number in range(20)] == [0] * 20


def test_timeouts_stop_nobody_either() -> None:
    assert opens(failed(START + 30.0 * n, "why", n % 3, "upstream_timeout") for n in range(20)) == 0


@pytest.mark.parametrize("pause", [0.0, 1.0])
def test_an_agent_that_hammers_is_stopped_within_a_few_calls(pause: float) -> None:
    """The library's own tries are part of a call; there are three of them."""

    def calls() -> Iterator[Event]:
        random, now = Random(7), START
        while True:
            sent = library(random, now)
            yield from (failed(time, "why", resent) for time, resent in sent)
            now = sent[-1][0] + pause

    assert opens(calls()) <= 3 * (6 if not pause else 10)


def test_without_a_library_that_counts_each_request_is_a_call() -> None:
    assert opens(failed(START + 0.1 * n, "why") for n in range(50)) == 5


@pytest.mark.parametrize("told", [lambda n: 3, lambda n: n + 1, lambda n: n % 6], ids=["same", "growing", "turning"])
def test_who_only_says_that_it_is_a_library_is_stopped_a_little_later(told: Callable[[int], int]) -> None:
    assert 4 <= opens(failed(START + 0.1 * n, "why", told(n)) for n in range(500)) <= 30


def test_what_the_agent_did_wrong_is_stopped_at_the_fourth() -> None:
    assert opens(failed(START + 0.1 * n, "why", error="upstream_rejected") for n in range(50)) == 4


def test_two_requests_that_take_turns_without_a_pause_are_stopped_as_well() -> None:
    assert opens(failed(START + 0.1 * n, ("plan it", "do it")[n % 2]) for n in range(50)) <= 12


def test_errors_as_client_libraries_call_them_are_no_fault_of_the_agent() -> None:
    """Spans of an instrumentation tell a call once, whatever its library did."""
    for error in ("RateLimitError", "InternalServerError", "APITimeoutError", "APIConnectionError"):
        assert opens(failed(START + 7.0 * n, "why", error=error) for n in range(60)) == 0
    assert opens(failed(START + 7.0 * n, "why", error="BadRequestError") for n in range(60)) == 5


def test_who_is_woken_reads_that_it_is_the_provider() -> None:
    told = findings(failed(START + 0.1 * n, "why") for n in range(5))
    assert [found.action for found in told] == ["warn", "open"]
    assert told[-1].reason == (
        "model_call gpt-5 × 5 in quick succession, while its provider fails or is busy (upstream_error): "
        "look there first"
    )
    assert told[-1].repeated == "model_call gpt-5 × 5"
    (trouble,) = [found for found in findings(batch(Random(1), library)) if found.detector == "trouble"]
    assert "the latest because the provider of gpt-5 fails (upstream_error)" in trouble.reason


def test_an_outage_leaves_no_trace_in_what_is_judged_afterwards() -> None:
    """Three steps that are made again are no loop yet; nor are they one after an outage."""
    down = [failed(START + 2.0 * n, salad(Random(n // 2)), n % 2) for n in range(40)]
    tools = [
        event(START + 100 + 9.3 * n + n * n, "crm.find", "crm", f"who is {who}", f"nobody called {who}", tokens=100 + n)
        for n, who in enumerate(["ann", "bob", "cy", "ann", "bob", "cy"])
    ]
    assert opens([*down, *tools]) == 0
