"""Rates and budgets at the door: reserved, settled, refunded, and never overshot."""

import asyncio
import json
import socket
from concurrent.futures import ThreadPoolExecutor
from itertools import islice, permutations

import openai
import pytest
from aiohttp import web

from fusebox import names
from fusebox.records import ActionKind
from fusebox.store import RedisStore
from tests.fixtures.agents import eventually
from tests.fixtures.approvals import hold
from tests.fixtures.gateway import Answer, Provider, Running, StartGateway, failing, hanging, streamed, whole
from tests.fixtures.store import RedisServer
from tests.gateway.test_ledger import CHAT, STREAM, ask, attributes
from tests.gateway.test_tools import call, stored

REQUESTS = '[[limits]]\nscope = "agent"\nmeasure = "requests"\nlimit = 2\nwindow_s = 60\n'
TOKENS = '[[limits]]\nscope = "team"\nmeasure = "tokens"\nlimit = {limit}\nbudget = "day"\n'
MONEY = '[[limits]]\nscope = "agent"\nmeasure = "usd"\nlimit = 1\nbudget = "month"\n'


def used(running: Running, tokens: int, tier: str = "default") -> Answer:
    """An answer that used so many tokens."""

    async def answer(request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        message = {"role": "assistant", "content": str(asked["messages"][-1]["content"])}
        usage = {"prompt_tokens": tokens // 2, "completion_tokens": tokens - tokens // 2, "total_tokens": tokens}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        told = {"id": "c", "model": "m", "choices": [choice], "usage": usage, "service_tier": tier}
        return web.json_response(told)

    return answer


def test_too_many_requests_are_told_when_to_come_back(gateways: StartGateway, provider: Provider) -> None:
    running = gateways(REQUESTS)
    provider.answers = [whole("openai_chat.json")]
    _, _, first = ask(running, "/v1/chat/completions", CHAT)
    assert (first["x-ratelimit-limit-requests"], first["x-ratelimit-remaining-requests"]) == ("2", "1")
    provider.answers = [stored]
    assert call(running, "GET", "/tools/tickets/1").status == 201
    client = openai.OpenAI(base_url=f"{running.url}/v1", api_key=running.key, max_retries=0)
    with pytest.raises(openai.RateLimitError) as refused:
        client.chat.completions.create(model="gpt-5-mini", messages=[{"role": "user", "content": "?"}])
    headers, error = refused.value.response.headers, json.loads(refused.value.response.text)["error"]
    assert 0 < int(headers["retry-after"]) <= 65
    assert headers["x-ratelimit-remaining-requests"] == "0"
    assert error["code"] == "rate_limit_exceeded"
    assert error["rows"][0]["name"] == "requests/60s/agent/ticket-helper"
    assert len(provider.seen) == 2


LIFETIME = '[[limits]]\nscope = "workflow"\nmeasure = "requests"\nlimit = 2\nbudget = "lifetime"\n'


def test_a_run_of_a_workflow_has_one_budget_for_all_its_agents(gateways: StartGateway, provider: Provider) -> None:
    running = gateways(LIFETIME)
    _, other = running.keys.add("label-bot", team="", models=("*",), tools=("*",))
    provider.answers = [whole("openai_chat.json")]
    keys = running.key, other, running.key
    answers = [ask(running, "/v1/chat/completions", CHAT, {"x-fusebox-workflow": "run-1"}, key) for key in keys]
    assert [status for status, _, _ in answers] == [200, 200, 429]
    error = json.loads(answers[-1][1])["error"]
    assert (error["code"], error["rows"][0]["name"]) == ("insufficient_quota", "requests/lifetime/workflow/run-1")
    assert "retry-after" not in answers[-1][2]
    assert ask(running, "/v1/chat/completions", CHAT, {"x-fusebox-workflow": "run-2"})[0] == 200


@pytest.mark.parametrize("run", ["w" * 129, "L\u00e4ufer", "run\t1"])
def test_a_workflow_that_nobody_can_count_for_is_refused(gateways: StartGateway, provider: Provider, run: str) -> None:
    running = gateways(LIFETIME)
    provider.answers = [whole("openai_chat.json")]
    status, body, _ = ask(running, "/v1/chat/completions", CHAT, {"x-fusebox-workflow": run})
    assert (status, json.loads(body)["error"]["code"]) == (400, "invalid_request")
    assert call(running, "GET", "/tools/tickets/1", x_fusebox_workflow=run).status == 400
    assert provider.seen == []


def test_a_request_without_a_limit_is_given_the_reserved_one(gateways: StartGateway, provider: Provider) -> None:
    running = gateways(TOKENS.format(limit=100_000))
    provider.answers = [whole("openai_chat.json")]
    ask(running, "/v1/chat/completions", CHAT)
    assert provider.seen[0].body["max_completion_tokens"] == 4096
    ask(running, "/v1/chat/completions", {**CHAT, "max_tokens": 5})
    assert "max_completion_tokens" not in provider.seen[1].body


def test_the_reserved_length_is_learned_from_answers_that_nobody_cut(
    gateways: StartGateway, provider: Provider
) -> None:
    running = gateways(TOKENS.format(limit=10_000_000))
    provider.answers = [used(running, 200)]  # a hundred tokens of output: two answers of fifty
    for number, word in enumerate(islice(permutations("lorem ipsum"), 40)):  # the same again and again would trip
        said = {"messages": [{"role": "user", "content": "".join(word)}]}
        status, _, _ = ask(
            running, "/v1/chat/completions", CHAT | said | ({"max_tokens": 5} if number % 2 else {"n": 2})
        )
        assert status == 200
    ask(running, "/v1/chat/completions", CHAT)

    assert provider.seen[-1].body["max_completion_tokens"] == 100


def test_what_was_not_used_goes_back_and_what_failed_costs_nothing(gateways: StartGateway, provider: Provider) -> None:
    running = gateways(TOKENS.format(limit=5000))
    provider.answers = [used(running, 100)]
    remaining = []
    for _ in range(3):
        status, _, headers = ask(running, "/v1/chat/completions", {**CHAT, "max_tokens": 3000})
        remaining.append(int(headers["x-ratelimit-remaining-tokens"]))
        assert status == 200
    assert [remaining[0] - n for n in remaining] == [0, 100, 200]
    provider.answers = [failing(400)]
    ask(running, "/v1/chat/completions", {**CHAT, "max_tokens": 3000})
    provider.answers = [used(running, 100)]
    _, _, headers = ask(running, "/v1/chat/completions", {**CHAT, "max_tokens": 3000})
    assert remaining[0] - int(headers["x-ratelimit-remaining-tokens"]) == 300


def test_a_tool_call_that_never_left_costs_nothing(gateways: StartGateway, provider: Provider) -> None:
    limit = REQUESTS.replace("limit = 2", "limit = 4")
    running = gateways(f'[filter]\n{limit}[tools.away]\nurl = "http://127.0.0.1:9"\n')
    hold(running.runtime, ActionKind.TOOL_CALL, "tickets")
    for _ in range(3):
        assert call(running, "POST", "/tools/tickets/1", body={"sql": "DROP TABLE users"}).status == 403  # the filter
        assert call(running, "POST", "/tools/tickets/1", body={}).status == 503  # held, and there is nobody to ask
    assert [call(running, "GET", "/tools/away/1").status for _ in range(4)] == [502, 502, 502, 503]
    provider.answers = [failing(400), whole("openai_chat.json")]
    answers = [ask(running, "/v1/chat/completions", CHAT) for _ in range(2)]
    assert [(status, told["x-ratelimit-remaining-requests"]) for status, _, told in answers] == [(400, "3"), (200, "2")]


AWAY = """
[providers.away]
kind = "openai"
url = "http://{place}"
connect_s = 0.2
idle_s = 0.2
[models.away]
provider = "away"
retries = 0
"""


def remaining(running: Running, measure: str = "requests") -> int:
    """What a call that is served is told to be left, itself at its worst included."""
    _, _, told = ask(running, "/v1/chat/completions", {**CHAT, "max_tokens": 10})
    return int(told[f"x-ratelimit-remaining-{measure}"])


def test_a_request_counts_once_it_left_whatever_came_of_it(gateways: StartGateway, provider: Provider) -> None:
    running = gateways(REQUESTS.replace("limit = 2", "limit = 4"))
    for status in (500, 429, 400):  # the first two are tried again, and are one request each all the same
        provider.answers = [failing(status)]
        assert ask(running, "/v1/chat/completions", {**CHAT, "seed": status})[0] == status
    assert len(provider.seen) == 5
    provider.answers = [whole("openai_chat.json")]
    assert remaining(running) == 0
    status, body, _ = ask(running, "/v1/chat/completions", CHAT)
    assert (status, json.loads(body)["error"]["code"]) == (429, "rate_limit_exceeded")
    assert len(provider.seen) == 6


async def cut(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.close()
    return web.Response()


async def silent(request: web.Request) -> web.StreamResponse:
    await hanging()
    return web.Response()


@pytest.mark.parametrize(("answer", "status"), [(silent, 504), (cut, 502)], ids=["silent", "cut"])
def test_what_an_upstream_may_have_used_before_it_fell_silent_is_estimated(
    gateways: StartGateway, provider: Provider, answer: Answer, status: int
) -> None:
    away = AWAY.format(place=provider.url.removeprefix("http://"))
    running = gateways(TOKENS.format(limit=50_000) + REQUESTS.replace("limit = 2", "limit = 4") + away)
    provider.answers = [answer]
    asked = {"model": "away", "messages": [{"role": "user", "content": "word " * 800}], "max_tokens": 10}
    assert ask(running, "/v1/chat/completions", asked)[0] == status
    (span,) = running.span()
    assert 1000 <= attributes(span)[names.USAGE_INPUT] < 1100
    assert attributes(span)[names.ESTIMATED] is True
    provider.answers = [whole("openai_chat.json")]
    assert remaining(running) == 2
    assert 48_500 < remaining(running, "tokens") < 49_000


def test_a_call_that_nobody_took_costs_nothing(gateways: StartGateway, provider: Provider) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        nobody.listen(0)
        place = nobody.getsockname()
        with socket.create_connection(place):  # there is room for one, who is not let in either
            running = gateways(REQUESTS + AWAY.format(place=f"{place[0]}:{place[1]}"))
            assert ask(running, "/v1/chat/completions", {**CHAT, "model": "away"})[0] == 504
    assert ask(running, "/v1/chat/completions", {**CHAT, "model": "away"})[0] == 502
    provider.answers = [whole("openai_chat.json")]
    assert remaining(running) == 1


def test_what_can_never_fit_is_not_worth_a_retry(gateways: StartGateway, provider: Provider) -> None:
    running = gateways(TOKENS.format(limit=500))
    status, body, headers = ask(running, "/v1/chat/completions", {**CHAT, "max_tokens": 600})
    assert (status, json.loads(body)["error"]["code"]) == (429, "insufficient_quota")
    assert headers["x-should-retry"] == "false"
    assert "retry-after" not in headers


def test_a_stream_is_cut_where_its_reservation_ends(gateways: StartGateway, provider: Provider) -> None:
    running = gateways(TOKENS.format(limit=5000))
    provider.answers = [streamed("openai_chat_lying.sse", parts=2, then=hanging)]
    _, body, _ = ask(running, "/v1/chat/completions", {**CHAT, "max_tokens": 50} | STREAM)
    error = json.loads(body.rpartition(b"data: ")[2])["error"]
    assert (error["code"], "the request allows" in error["message"]) == ("quota_used_up", True)
    assert attributes(running.span()[0])["error.type"] == "quota_used_up"


def spoken(*words: str, told: bool = False) -> Answer:
    """A stream of one token a chunk; ``told`` has it say each time how many there were."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for number, word in enumerate(words):
            event: dict[str, object] = {"choices": [{"index": 0, "delta": {"content": word}}]}
            if told:
                event["usage"] = {"prompt_tokens": 9, "completion_tokens": number + 1, "total_tokens": number + 10}
            await response.write(f"data: {json.dumps(event)}\n\n".encode())
            await asyncio.sleep(0.001)  # chunk by chunk
        await response.write(b"data: [DONE]\n\n")
        return response

    return answer


@pytest.mark.parametrize("word", [" internationally", " नमस्ते"])
def test_long_words_are_no_reason_to_cut_a_stream(gateways: StartGateway, provider: Provider, word: str) -> None:
    running = gateways(TOKENS.format(limit=5000))
    provider.answers = [spoken(*[word] * 80)]
    _, body, _ = ask(running, "/v1/chat/completions", {**CHAT, "max_tokens": 80} | STREAM)
    assert body.endswith(b"data: [DONE]\n\n")


def test_what_a_longer_text_needs_is_set_aside_or_the_stream_ends(gateways: StartGateway, provider: Provider) -> None:
    running = gateways(TOKENS.format(limit=600))
    provider.answers = [spoken(*[" internationally"] * 400)]
    _, body, _ = ask(running, "/v1/chat/completions", {**CHAT, "max_tokens": 400} | STREAM)
    error = json.loads(body.rpartition(b"data: ")[2])["error"]
    assert (error["code"], error["guard"]) == ("quota_used_up", "quota")
    (row,) = error["rows"]
    assert (row["name"], row["limit"]) == ("tokens/day/team/support", 600)
    assert "its quota has room for" in error["message"]
    assert 100 < body.count(b" internationally") < 150  # four tokens each; beside some hundred for the request


def test_a_stream_that_tells_its_tokens_is_cut_by_them(gateways: StartGateway, provider: Provider) -> None:
    running = gateways(TOKENS.format(limit=5000))
    provider.answers = [spoken(*["a"] * 200, told=True)]
    _, body, _ = ask(running, "/v1/chat/completions", {**CHAT, "max_tokens": 50} | STREAM)
    assert json.loads(body.rpartition(b"data: ")[2])["error"]["code"] == "quota_used_up"
    assert body.count(b'"content"') < 80


def test_an_answer_that_is_whole_is_not_cut_for_its_usage(gateways: StartGateway, provider: Provider) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        usage = {"prompt_tokens": 9, "completion_tokens": 70, "total_tokens": 79}
        for event in ({"choices": [{"delta": {"content": "Yes."}}]}, {"choices": [], "usage": usage}):
            await response.write(f"data: {json.dumps(event)}\n\n".encode())
            await asyncio.sleep(0.01)
        await response.write(b"data: [DONE]\n\n")
        return response

    provider.answers = [answer]
    _, body, _ = ask(gateways(TOKENS.format(limit=5000)), "/v1/chat/completions", {**CHAT, "max_tokens": 50} | STREAM)
    assert body.endswith(b"data: [DONE]\n\n")


def test_a_limit_in_requests_cuts_no_stream(gateways: StartGateway, provider: Provider) -> None:
    running = gateways(REQUESTS)
    provider.answers = [spoken(*["word "] * 30)]
    _, body, _ = ask(running, "/v1/chat/completions", CHAT | STREAM)
    assert body.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize("shared", [False, True], ids=["memory", "redis"])
def test_a_lie_about_one_agents_usage_costs_no_other_agent_its_own(
    gateways: StartGateway, provider: Provider, shared: bool, request: pytest.FixtureRequest
) -> None:
    more = {"redis_url": request.getfixturevalue("redis_url"), "tenant": "lied-to"} if shared else {}
    running = gateways(TOKENS.format(limit=5000).replace("team", "agent"), **more)
    _, key = running.keys.add("other-helper", team="support", models=("*",), tools=())
    provider.answers = [used(running, 10), used(running, 2**64), used(running, 10)]
    assert ask(running, "/v1/chat/completions", {**CHAT, "max_tokens": 3000})[0] == 200
    assert ask(running, "/v1/chat/completions", {**CHAT, "max_tokens": 3000}, key=key)[0] == 200
    lied = attributes(running.span(2)[1])
    assert lied[names.ESTIMATED] is True
    assert 0 < lied[names.USAGE_INPUT] < 100
    asked = {**CHAT, "max_tokens": 4500}
    eventually(lambda: ask(running, "/v1/chat/completions", asked)[0] == 200)
    eventually(lambda: ask(running, "/v1/chat/completions", asked, key=key)[0] == 200)


def test_a_price_beyond_all_limits_is_more_than_there_is(gateways: StartGateway) -> None:
    running = gateways(MONEY + '[models.dear]\nprovider = "openai"\nname = "o1-pro"\n')
    asked = {**CHAT, "model": "dear", "max_tokens": 10**9, "n": 10**9}
    status, body, _ = ask(running, "/v1/chat/completions", asked)
    assert (status, json.loads(body)["error"]["code"]) == (429, "insufficient_quota")


@pytest.mark.parametrize(("asked", "status"), [("auto", 200), ("flex", 200), ("priority", 429)])
def test_a_dearer_tier_is_set_aside_at_its_price(
    gateways: StartGateway, provider: Provider, asked: str, status: int
) -> None:
    running = gateways(MONEY)
    provider.answers = [used(running, 100)]
    body = {**CHAT, "max_tokens": 400_000, "service_tier": asked}  # 0.80 dollars, or 1.44
    assert ask(running, "/v1/chat/completions", body)[0] == status


@pytest.mark.parametrize(
    ("tier", "statuses"), [("default", [200, 200]), ("priority", [200, 429]), ("flex", [200, 200])]
)
def test_what_was_spent_is_counted_at_the_tier_that_served_it(
    gateways: StartGateway, provider: Provider, tier: str, statuses: list[int]
) -> None:
    running = gateways(MONEY)
    provider.answers = [used(running, 600_000, tier), used(running, 100, tier)]
    body = {**CHAT, "max_tokens": 300_000, "service_tier": "auto"}
    first, _, _ = ask(running, "/v1/chat/completions", body)
    second, _, _ = ask(running, "/v1/chat/completions", {**CHAT, "max_tokens": 100_000})
    assert [first, second] == statuses
    assert attributes(running.span()[0])[names.SERVICE_TIER] == tier


def test_a_limit_in_money_needs_prices(gateways: StartGateway, provider: Provider) -> None:
    running = gateways(MONEY + '[models.unknown]\nprovider = "openai"\nname = "nobody-sells-this"\n')
    provider.answers = [whole("openai_chat.json")]
    assert ask(running, "/v1/chat/completions", {**CHAT, "max_tokens": 100})[0] == 200
    status, body, _ = ask(running, "/v1/chat/completions", {**CHAT, "model": "unknown", "max_tokens": 100})
    assert (status, json.loads(body)["error"]["code"]) == (403, "model_unpriced")


def test_sixty_four_clients_never_use_more_than_there_is(gateways: StartGateway, provider: Provider) -> None:
    running = gateways(TOKENS.format(limit=10_000))
    running.runtime.circuits.set_mode("ticket-helper", "disabled", reason="asks the same on purpose", actor="test")
    provider.answers = [used(running, 150)]

    def one(number: int) -> int:
        messages = [{"role": "user", "content": f"question {number} of many"}]
        return ask(running, "/v1/chat/completions", {**CHAT, "messages": messages, "max_tokens": 300})[0]

    with ThreadPoolExecutor(64) as pool:
        statuses = list(pool.map(one, range(128)))
    assert statuses.count(200) * 150 <= 10_000
    assert set(statuses) == {200, 429}
    assert len(provider.seen) == statuses.count(200)


def test_while_redis_is_away_each_gateway_has_its_share(
    gateways: StartGateway, provider: Provider, redis_server: RedisServer
) -> None:
    limit = '[[limits]]\nscope = "tenant"\nmeasure = "requests"\nlimit = 8\nwindow_s = 3600\n'
    running = gateways(f"workers = 2\n{limit}", redis_url=redis_server.url)
    provider.answers = [whole("openai_chat.json")]
    assert ask(running, "/v1/chat/completions", CHAT)[0] == 200
    redis_server.stop()
    statuses = [
        ask(running, "/v1/chat/completions", {**CHAT, "messages": [{"role": "user", "content": f"{n} {'x' * n}"}]})[0]
        for n in range(6)
    ]
    assert statuses == [200, 200, 200, 429, 429, 429]
    redis_server.start()
    RedisStore(redis_server.url).ping()
