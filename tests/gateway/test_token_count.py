"""What a message would take can be asked without being charged for it, or taken for the message itself."""

import anthropic
import pytest
from aiohttp import web

from fusebox import names
from tests.fixtures.gateway import Answer, Provider, Running, StartGateway, whole
from tests.gateway.test_adapters import clouds as clouds  # a fixture
from tests.gateway.test_ledger import CHAT, CLAUDE, ask, attributes, usage
from tests.gateway.test_quota import TOKENS

COUNT = "/v1/messages/count_tokens"
ASK = [{"role": "user", "content": "Is my ticket solved?"}]


def counted(tokens: int) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.json_response({"input_tokens": tokens})

    return answer


@pytest.mark.parametrize(("base", "model"), [("", "claude"), ("/anthropic", "claude-haiku-4-5")])
def test_the_official_library_counts(running: Running, provider: Provider, base: str, model: str) -> None:
    provider.answers = [counted(14)]
    claude = anthropic.Anthropic(base_url=running.url + base, api_key=running.key, max_retries=0)
    assert claude.messages.count_tokens(model=model, messages=ASK).input_tokens == 14  # type: ignore[arg-type]
    (seen,) = provider.seen
    assert (seen.path, seen.body["model"]) == (COUNT, "claude-haiku-4-5")


def test_a_count_costs_nothing(gateways: StartGateway, provider: Provider) -> None:
    running = gateways(TOKENS.format(limit=5000))
    provider.answers = [counted(14), counted(15)]
    left = [int(ask(running, COUNT, CLAUDE)[2]["x-ratelimit-remaining-tokens"]) for _ in range(2)]
    assert left[0] == left[1]
    span, _ = running.span(2)
    assert usage(span) == (0, 0)
    told = attributes(span)
    assert names.ESTIMATED not in told
    assert told[names.GEN_AI_OPERATION] == "count_tokens"
    assert told[names.GEN_AI_OPERATION] not in names.INFERENCE_OPERATIONS


def test_one_who_counts_before_asking_does_not_ask_twice(running: Running, provider: Provider) -> None:
    provider.answers = [counted(14), whole("anthropic_messages.json")] * 4
    statuses = [ask(running, path, CLAUDE)[0] for _ in range(4) for path in (COUNT, "/v1/messages")]
    assert statuses == [200] * 8
    asked = {attributes(span)[names.REQUEST_HASH] for span in running.span(8)}
    assert len(asked) == 2


@pytest.mark.parametrize("model", ["on-azure", "on-bedrock"])
def test_a_provider_that_counts_no_tokens_is_not_asked(clouds: Running, provider: Provider, model: str) -> None:
    status, body, _ = ask(clouds, COUNT, {**CHAT, "model": model})
    assert status == 400
    assert b"ask its models at /v1/messages" in body
    assert provider.seen == []
