"""What upstreams say when they fail passes a screen like any answer, and has the shape of the API that was asked."""

import json
from typing import Any

import anthropic
import pytest
from aiohttp import web

from tests.fixtures.gateway import Answer, Provider, Running, StartGateway
from tests.gateway import test_screen
from tests.gateway.test_ledger import CHAT, STREAM, ask
from tests.gateway.test_screen import GUARDED, MAIL, about
from tests.gateway.test_slots import events

shared, provider, guarded = test_screen.shared, test_screen.provider, test_screen.guarded
PIXEL = "![x](https://evil.test/p?d=1)"
PAGE = "<html><body>502 <img src='https://evil.test/p'></body></html>"


def refusing(told: Any, status: int = 400, **headers: str) -> Answer:
    """An upstream that fails with JSON, or with a page."""

    async def answer(request: web.Request) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if isinstance(told, str):
            return web.Response(text=told, status=status, content_type="text/html", headers=named)
        return web.json_response(told, status=status, headers=named)

    return answer


def worded(text: str) -> dict[str, Any]:
    return {"type": "error", "error": {"message": text, "type": "invalid_request_error", "param": text, "code": None}}


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
@pytest.mark.parametrize("model", ["gpt-5-mini", "claude"])
def test_the_words_of_an_error_are_masked(guarded: Running, provider: Provider, path: str, model: str) -> None:
    provider.answers = [refusing(worded(f"no such user: {MAIL}"))]
    body = {"model": model, "max_tokens": 9, "messages": about("Go")}
    status, told, _ = ask(guarded, path, body)
    message = json.loads(told)["error"]["message"]
    assert (status, MAIL in told.decode(), "no such user: <EMAIL_" in message) == (400, False, True)


def test_the_words_of_an_error_are_filtered(guarded: Running, provider: Provider) -> None:
    provider.answers = [refusing(worded(f"see {PIXEL}"), 429, retry_after="7")]
    status, told, headers = ask(guarded, "/v1/chat/completions", CHAT)
    error = json.loads(told)["error"]
    assert (status, error["code"], "evil.test/p" in told.decode()) == (429, "upstream_error", False)
    assert "withheld" in error["message"]
    assert headers["retry-after"] == "7"


@pytest.mark.parametrize("text", [f"no such user: {MAIL}", f"see {PIXEL}"])
def test_so_are_those_of_an_error_in_a_stream(gateways: StartGateway, provider: Provider, text: str) -> None:
    chunk = {"id": "c", "choices": [{"index": 0, "delta": {"content": "Hello"}, "finish_reason": None}]}
    provider.answers = [events(chunk, {"error": {"message": text}})]
    told = ask(gateways(GUARDED), "/v1/chat/completions", CHAT | STREAM)[1]
    error = json.loads(told.rpartition(b"data: ")[2])["error"]  # whole, where both came at once
    assert error["code"] == "upstream_error"
    assert MAIL not in told.decode()
    assert "evil.test/p" not in told.decode()


@pytest.mark.parametrize(("path", "model"), [("/v1/chat/completions", "gpt-5-mini"), ("/v1/messages", "claude")])
@pytest.mark.parametrize("told", [PAGE, ["x"]])
def test_a_page_is_told_as_an_error_of_the_api(
    running: Running, provider: Provider, path: str, model: str, told: Any
) -> None:
    provider.answers = [refusing(told, 404, x_request_id="r1")]
    status, body, headers = ask(running, path, {"model": model, "max_tokens": 9, "messages": about("Go")})
    assert (status, json.loads(body)["error"]["code"]) == (404, "upstream_error")
    assert (headers["content-type"], headers["x-request-id"]) == ("application/json", "r1")
    assert b"evil.test" not in body


def test_an_error_without_a_screen_is_passed_on_to_the_byte(running: Running, provider: Provider) -> None:
    provider.answers = [refusing({"detail": "no such user"})]
    assert ask(running, "/v1/chat/completions", CHAT)[:2] == (400, b'{"detail": "no such user"}')


def test_each_clients_models_fail_in_its_own_shape(running: Running) -> None:
    claude = anthropic.Anthropic(base_url=running.url, api_key="bad", max_retries=0)
    with pytest.raises(anthropic.AuthenticationError) as failed:
        claude.models.list()
    assert failed.value.body["type"] == "error"
    claude = anthropic.Anthropic(base_url=running.url, api_key=running.key, max_retries=0)
    with pytest.raises(anthropic.NotFoundError) as missing:
        claude.models.retrieve("nope")
    assert missing.value.body["error"]["type"] == "not_found_error"
    assert claude.models.list().data
