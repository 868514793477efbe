"""What is set aside for a call is never less than it may cost."""

import json
from typing import Any

import anthropic
import pytest
from aiohttp import web

from gateway.denied import Denied
from gateway.dialects import Chat, Dialect, Messages, Responses
from gateway.media_count import media_in
from gateway.providers.make import make_adapter
from gateway.upstream_settings import Provider as Settings
from tests.fixtures.gateway import Provider, StartGateway, whole
from tests.gateway.test_ledger import CHAT, ask
from tests.gateway.test_ledger import usage as spent
from tests.gateway.test_quota import REQUESTS, TOKENS

DIALECTS: dict[str, Dialect] = {
    "/v1/chat/completions": Chat(), "/v1/responses": Responses(), "/v1/messages": Messages(),
}  # fmt: skip


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/openai/chat/completions"])
def test_a_server_that_reads_only_the_older_name_of_the_limit_keeps_to_it_too(
    gateways: StartGateway, provider: Provider, path: str
) -> None:
    provider.answers = [whole("openai_chat.json")]
    running = gateways(TOKENS.format(limit=100_000))
    ask(running, path, CHAT)
    ask(running, path, {**CHAT, "max_completion_tokens": 7})
    assert [seen.body["max_tokens"] for seen in provider.seen] == [4096, 7]
    assert [seen.body["max_completion_tokens"] for seen in provider.seen] == [4096, 7]
    ask(gateways(data="unlimited"), path, {**CHAT, "max_completion_tokens": 7})
    assert "max_tokens" not in provider.seen[2].body


@pytest.mark.parametrize(
    "settings",
    [
        {"kind": "openai"},
        {"kind": "openai", "url": "https://eu.api.openai.com/v1"},
        {"kind": "azure", "url": "https://we.openai.azure.com", "api_version": "2024-10-21"},
    ],
    ids=["openai", "openai-eu", "azure"],
)
def test_openai_itself_is_told_the_newer_name_only(settings: dict[str, str]) -> None:
    told = Chat().read(json.dumps(CHAT).encode())
    Chat().limit(told, 4096)
    told.held = True
    adapter = make_adapter("p", Settings.model_validate(settings))
    sent = json.loads(adapter.outgoing(Chat(), adapter.translation(Chat()), "gpt-5-mini", told, {}).body)
    assert (sent["max_completion_tokens"], "max_tokens" in sent) == (4096, False)


@pytest.mark.parametrize("field", ["Max_Tokens", "MAX_COMPLETION_TOKENS", "N"])
def test_a_length_that_only_some_servers_read_is_a_bad_request(field: str) -> None:
    with pytest.raises(Denied, match=f"write '{field.lower()}' in lower case"):
        Chat().read(json.dumps({**CHAT, field: 90_000}).encode())


def test_of_two_lengths_the_longer_one_is_set_aside(gateways: StartGateway, provider: Provider) -> None:
    asked = {**CHAT, "max_completion_tokens": 10, "max_tokens": 90_000}
    status, body, _ = ask(gateways(TOKENS.format(limit=5000)), "/v1/chat/completions", asked)
    assert (status, json.loads(body)["error"]["code"]) == (429, "insufficient_quota")
    assert not provider.seen


UNBOUNDED = [
    {"background": True}, {"previous_response_id": "resp_1"}, {"conversation": {"id": "conv_1"}},
    {"prompt": {"id": "pmpt_1"}}, {"input": [{"id": "msg_1"}]}, {"input": [{"type": "item_reference", "id": "msg_1"}]},
]  # fmt: skip


@pytest.mark.parametrize("more", UNBOUNDED, ids=str)
def test_what_nobody_can_count_beforehand_is_refused_where_tokens_are_limited(
    gateways: StartGateway, provider: Provider, more: dict[str, Any]
) -> None:
    provider.answers = [whole("openai_responses.json")]
    asked = {"model": "gpt-5-mini", "input": "Go on.", "max_output_tokens": 10, **more}
    status, body, _ = ask(gateways(TOKENS.format(limit=100_000)), "/v1/responses", asked)
    error = json.loads(body)["error"]
    assert (status, error["code"]) == (403, "cost_unbounded")
    assert "leave it out" in error["message"]
    assert not provider.seen
    elsewhere = TOKENS.format(limit=100_000).replace("team", "workflow")  # no limit of this call
    assert ask(gateways(REQUESTS + elsewhere, data="free"), "/v1/responses", asked)[0] == 200


def parts(*said: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [*said, {"type": "text", "text": "What is this?"}]}]


INLINE = "data:image/png;base64,AAAA"
MEDIA = [
    ("/v1/chat/completions", {"messages": parts({"type": "image_url", "image_url": {"url": "https://h.test/a.png"}})}),
    ("/v1/chat/completions", {"messages": parts({"type": "image_url", "image_url": {"url": INLINE}})}),
    ("/v1/chat/completions", {"messages": parts({"image_url": INLINE})}),
    ("/v1/chat/completions", {"messages": parts({"type": "input_audio", "input_audio": {"data": "AAAA"}})}),
    ("/v1/chat/completions", {"messages": parts({"type": "file", "file": {"file_data": "AAAA"}})}),
    ("/v1/responses", {"input": parts({"type": "input_file", "file_id": "file-1"})}),
    ("/v1/messages", {"messages": parts({"type": "document", "source": {"type": "base64", "data": "AAAA"}})}),
]


@pytest.mark.parametrize("escaped", ["", "/", "i"])
@pytest.mark.parametrize(("path", "body"), MEDIA, ids=range(len(MEDIA)))
def test_a_picture_or_file_counts_at_its_worst_however_it_is_sent(
    path: str, body: dict[str, Any], escaped: str
) -> None:
    raw = json.dumps({"model": "gpt-5-mini", **body}).encode()
    raw = raw.replace(b"/", b"\\/") if escaped == "/" else raw.replace(b'"i', b'"\\u0069') if escaped else raw
    assert media_in(DIALECTS[path].read(raw).body) == 1


def test_a_picture_is_set_aside_for(gateways: StartGateway, provider: Provider) -> None:
    provider.answers = [whole("openai_chat.json")]
    asked = {**CHAT, "messages": parts({"type": "image_url", "image_url": {"url": INLINE}}), "max_tokens": 10}
    _, _, told = ask(gateways(TOKENS.format(limit=100_000)), "/v1/chat/completions", asked)
    assert 16_384 < 100_000 - int(told["x-ratelimit-remaining-tokens"]) < 17_384


def test_words_about_pictures_and_what_describes_some_are_none() -> None:
    schema = {"properties": {"image_url": {"type": ["string", "null"]}}}
    body = {
        "model": "m", "messages": [{"role": "user", "content": 'an "image_url" of my file', "seen": {"type": []}}],
        "tools": [{"type": "function", "function": {"name": "show", "parameters": schema}}],
        "response_format": {"type": "json_schema", "json_schema": {"schema": schema}},
    }  # fmt: skip
    assert media_in(body) == 0


NONSENSE = [-1, -5, "5", 90_000.0, True, 2**64 - 1, 10**9 + 1]
LENGTHS = [
    ("/v1/chat/completions", "max_tokens", 1), ("/v1/chat/completions", "max_completion_tokens", 1),
    ("/v1/chat/completions", "n", 1), ("/v1/responses", "max_output_tokens", 1), ("/v1/messages", "max_tokens", 0),
]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "field", "least", "given"),
    [(path, field, least, given) for path, field, least in LENGTHS for given in (*NONSENSE, least - 1)],
)
def test_a_length_that_is_none_is_a_bad_request(path: str, field: str, least: int, given: object) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "?"}], "input": "?", field: given}
    with pytest.raises(Denied, match=f"'{field}' must be a whole number between {least} and 1000000000") as refused:
        DIALECTS[path].read(json.dumps(body).encode())
    assert refused.value.status == 400


def test_a_message_of_no_length_fills_the_cache_and_is_counted_by_its_input(
    gateways: StartGateway, provider: Provider
) -> None:
    running = gateways(TOKENS.format(limit=5000))
    usage = {"input_tokens": 20, "cache_creation_input_tokens": 1200, "cache_read_input_tokens": 0, "output_tokens": 0}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-haiku-4-5", "content": []}

    async def filled(request: web.Request) -> web.StreamResponse:
        return web.json_response({**message, "stop_reason": "max_tokens", "stop_sequence": None, "usage": usage})

    provider.answers = [filled]
    client = anthropic.Anthropic(base_url=running.url, api_key=running.key, max_retries=0)
    asked = [{"role": "user", "content": "Is my ticket solved?"}]
    answer = client.messages.create(model="claude", max_tokens=0, messages=asked)  # type: ignore[arg-type]
    assert (answer.content, provider.seen[0].body["max_tokens"]) == ([], 0)
    assert spent(running.span()[0]) == (1220, 0)
    with pytest.raises(anthropic.BadRequestError, match="'max_tokens' of 0"):
        client.messages.create(model="gpt-5-mini", max_tokens=0, messages=asked)  # type: ignore[arg-type]
    assert len(provider.seen) == 1
