"""Client libraries try again by themselves: not where that is useless, and never by sleeping for hours."""

import anthropic
import openai
import pytest

from fusebox import names
from tests.fixtures.gateway import Provider, Running, StartGateway, failing, whole
from tests.gateway.test_clients import ASK
from tests.gateway.test_ledger import CHAT, ask, attributes

DAILY = '[[limits]]\nscope = "agent"\nmeasure = "requests"\nlimit = 1\nwindow_s = 86400\n'


def test_nobody_is_told_to_sleep_until_tomorrow(gateways: StartGateway, provider: Provider) -> None:
    running = gateways(DAILY)
    provider.answers = [whole("openai_chat.json")]
    answers = [ask(running, "/v1/chat/completions", CHAT) for _ in range(2)]
    assert [status for status, _, _ in answers] == [200, 429]
    told = answers[1][2]
    assert int(told["retry-after"]) > 3600, "people and programs that wait elsewhere want to know"
    assert told["x-should-retry"] == "false"


def test_a_credential_that_is_refused_stays_refused(gateways: StartGateway, provider: Provider) -> None:
    running = gateways()
    provider.answers = [failing(401)]
    client = openai.OpenAI(base_url=f"{running.url}/v1", api_key=running.key, max_retries=2)
    with pytest.raises(openai.InternalServerError, match="credential"):
        client.chat.completions.create(model="gpt-5-mini", messages=ASK)  # type: ignore[arg-type]
    assert len(provider.seen) == 1


def test_what_the_provider_says_about_trying_again_holds(gateways: StartGateway, provider: Provider) -> None:
    running = gateways()
    provider.answers = [failing(500, x_should_retry="false")]
    client = openai.OpenAI(base_url=f"{running.url}/v1", api_key=running.key, max_retries=2)
    with pytest.raises(openai.InternalServerError, match="overloaded"):
        client.chat.completions.create(model="gpt-5-mini", messages=ASK)  # type: ignore[arg-type]
    claude = anthropic.Anthropic(base_url=running.url, api_key=running.key, max_retries=2)
    with pytest.raises(anthropic.InternalServerError, match="overloaded"):
        claude.messages.create(model="claude", max_tokens=9, messages=ASK)  # type: ignore[arg-type]
    assert len(provider.seen) == 2, "neither the gateway nor the client"


def test_a_library_says_what_it_sends_again(running: Running, provider: Provider) -> None:
    provider.answers = [failing(429), whole("anthropic_messages.json")] * 2
    client = openai.OpenAI(base_url=f"{running.url}/v1", api_key=running.key, max_retries=1)
    client.chat.completions.create(model="claude", messages=ASK)  # type: ignore[arg-type]
    claude = anthropic.Anthropic(base_url=running.url, api_key=running.key, max_retries=1)
    claude.messages.create(model="claude", max_tokens=9, messages=ASK)  # type: ignore[arg-type]
    assert [attributes(span).get(names.RESENT) for span in running.span(4)] == [None, 1, None, 1]
