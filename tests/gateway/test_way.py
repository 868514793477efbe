"""Who is asked when an attempt has failed, and what the last one that was asked is called."""

import json
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from fusebox import names
from fusebox.records import State
from tests.fixtures.agents import eventually
from tests.fixtures.gateway import Provider, Running, StartGateway, failing, whole
from tests.gateway.test_ledger import CHAT, ask, attributes

STEADY: dict[str, Any] = {**CHAT, "model": "steady"}
"""Asked twice, then the fallback."""


def superseded(running: Running, count: int) -> list[object]:
    return [attributes(span).get(names.SUPERSEDED) for span in running.span(count)]


@pytest.mark.parametrize(
    ("status", "headers"), [(429, {"retry_after": "60"}), (503, {"retry_after": "60"}), (404, {})], ids=str
)
def test_an_attempt_that_nothing_follows_is_the_last_one(
    running: Running, provider: Provider, status: int, headers: dict[str, str]
) -> None:
    provider.answers = [failing(status, **headers)]
    told, _, heard = ask(
        running, "/v1/chat/completions", CHAT
    )  # a model that would be tried again, and has no fallback
    assert (told, heard.get("retry-after")) == (status, headers.get("retry_after"))
    assert len(provider.seen) == 1
    assert superseded(running, 1) == [None], "so that the detectors judge it"


def test_an_agent_that_repeats_itself_against_a_busy_upstream_is_stopped(running: Running, provider: Provider) -> None:
    provider.answers = [failing(429, retry_after="60")]
    stopped = False
    for _ in range(200):
        stopped = stopped or ask(running, "/v1/chat/completions", CHAT)[0] == 403
    assert stopped


def test_what_a_library_sends_again_is_one_call(running: Running, provider: Provider) -> None:
    provider.answers = [failing(429, retry_after="60")]
    told = [
        ask(running, "/v1/chat/completions", CHAT, {"x-stainless-retry-count": str(n)})[0]
        for _ in (1, 2)
        for n in range(6)
    ]
    running.gateway.stop(5)  # all there is has been judged then
    assert set(told) == {429}
    assert running.runtime.circuits.circuit("ticket-helper").state is State.CLOSED
    assert [attributes(span).get(names.RESENT) for span in running.spans] == [None, 1, 2, 3, 4, 5] * 2


def test_who_was_stopped_during_an_outage_works_again_when_it_is_over(
    gateways: StartGateway, provider: Provider, tmp_path: Path
) -> None:
    (tmp_path / "rules.toml").write_text("[circuit]\nopen_s = 0.2\nmax_open_s = 0.2\n")
    running = gateways(rules_file=tmp_path / "rules.toml")
    provider.answers = [failing(429, retry_after="60")]

    def status() -> int:
        return ask(running, "/v1/chat/completions", CHAT)[0]

    eventually(lambda: status() == 403, what="the agent is stopped")
    eventually(lambda: status() == 429, what="it may try, and its provider is still down")
    provider.answers = [whole("openai_chat.json")]
    circuits = running.runtime.circuits
    eventually(lambda: status() == 200 and circuits.circuit("ticket-helper").state is State.CLOSED, what="all is well")


@pytest.mark.parametrize(
    ("status", "error"),
    [(400, "upstream_rejected"), (404, "upstream_rejected"), (429, "upstream_error"), (500, "upstream_error")],
)
def test_the_ledger_tells_whose_doing_a_failure_is_and_the_agent_hears_the_same_of_all(
    running: Running, provider: Provider, status: int, error: str
) -> None:
    provider.answers = [failing(status, x_should_retry="false")]
    ask(running, "/v1/chat/completions", CHAT)
    assert attributes(running.span()[0])[names.ERROR_TYPE] == error


def test_who_asks_to_be_left_alone_for_long_is_not_waited_for(running: Running, provider: Provider) -> None:
    provider.answers = [failing(503, retry_after="3000"), whole("anthropic_messages.json")]
    assert ask(running, "/v1/chat/completions", STEADY)[0] == 200
    assert [seen.path for seen in provider.seen] == ["/v1/chat/completions", "/v1/messages"]


def test_a_date_is_a_time_to_wait_for(running: Running, provider: Provider) -> None:
    provider.answers = [failing(429, retry_after=formatdate(timeval=4e9, usegmt=True))]
    _, _, headers = ask(running, "/v1/chat/completions", CHAT)
    assert headers["retry-after"] == "3600", "the longest that is told"
    assert len(provider.seen) == 1


def test_a_fallback_without_a_word_for_what_is_asked_is_left_out(running: Running, provider: Provider) -> None:
    provider.answers = [failing(500)]
    status, body, _ = ask(running, "/v1/chat/completions", {**STEADY, "logprobs": True})
    assert (status, json.loads(body)["error"]["message"]) == (500, "the model is overloaded")
    assert superseded(running, 2) == [True, None]


def test_a_fallback_that_is_left_alone_is_left_out(running: Running, provider: Provider) -> None:
    provider.answers = [failing(529)]
    for _ in range(3):
        ask(running, "/v1/chat/completions", {**CHAT, "model": "claude"})
    status, body, _ = ask(running, "/v1/chat/completions", STEADY)
    assert (status, json.loads(body)["error"]["message"]) == (529, "the model is overloaded")
    assert superseded(running, 5)[3:] == [True, None]


def test_a_failure_that_opens_the_circuit_is_the_last_one(running: Running, provider: Provider) -> None:
    provider.answers = [failing(500)]
    told = [ask(running, "/v1/chat/completions", CHAT)[0] for _ in range(3)]
    assert told == [500, 500, 503], "its own error, as long as it was asked"
    assert superseded(running, 3) == [True, None, None]
