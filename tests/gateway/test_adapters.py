"""One API for agents, whoever serves the model."""

import json
import re
import struct
import zlib
from pathlib import Path
from typing import Any

import openai
import pytest
from aiohttp import web

from fusebox import happenings, names
from fusebox.config import Config
from fusebox.errors import ConfigError
from gateway.app import check
from gateway.settings import load_settings
from tests.fixtures.gateway import RECORDED, SETTINGS, Provider, Running, StartGateway, streamed, whole
from tests.gateway.test_ledger import CHAT, STREAM, ask, attributes, usage
from tests.gateway.test_tools import call, stored

CLOUDS = """
[providers.azure]
kind = "azure"
url = "{url}"
api_version = "2024-10-21"
key_env = "TEST_OPENAI_KEY"
[providers.aws]
kind = "bedrock"
region = "eu-central-1"
url = "{url}"
[models.on-azure]
provider = "azure"
name = "our deployment"
[models.on-bedrock]
provider = "aws"
name = "anthropic.claude-haiku-4-5-20251001-v1:0"
"""
TOOLS = [{"type": "function", "function": {"name": "lookup", "parameters": {"type": "object", "properties": {}}}}]


@pytest.fixture
def clouds(gateways: StartGateway, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> Running:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
    return gateways(CLOUDS.format(url=provider.url))


def client(running: Running) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{running.url}/v1", api_key=running.key, max_retries=0)


def test_azure_is_asked_by_deployment_and_version(clouds: Running, provider: Provider) -> None:
    provider.answers = [whole("openai_chat.json")]
    assert ask(clouds, "/v1/chat/completions", {**CHAT, "model": "on-azure"})[0] == 200
    (seen,) = provider.seen
    assert (seen.path, seen.query) == (
        "/openai/deployments/our deployment/chat/completions", "api-version=2024-10-21",
    )  # fmt: skip
    assert seen.headers["api-key"] == "openai-secret"
    assert "Authorization" not in seen.headers


@pytest.mark.parametrize("limited", [False, True])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
def test_an_older_version_of_azure_is_asked_in_its_own_words(
    gateways: StartGateway, provider: Provider, path: str, limited: bool
) -> None:
    limit = "[[limits]]\nscope = 'agent'\nmeasure = 'tokens'\nlimit = 100000\nwindow_s = 60\n" if limited else ""
    azure = CLOUDS[: CLOUDS.index("[providers.aws]")] + '[models.old]\nprovider = "azure"\nname = "our deployment"\n'
    running = gateways(limit + azure.replace("2024-10-21", "2024-06-01").format(url=provider.url))
    provider.answers = [streamed("openai_chat_silent.sse")]
    body = {**CHAT, "model": "old"} | STREAM | ({"max_tokens": 50} if path == "/v1/messages" else {})
    assert ask(running, path, body)[0] == 200
    (seen,) = provider.seen
    assert {"stream_options", "max_completion_tokens"}.isdisjoint(seen.body)
    assert ("max_tokens" in seen.body) == (limited or path == "/v1/messages")
    assert attributes(running.span()[0])[names.ESTIMATED] is True


def test_bedrock_is_asked_with_a_signature(clouds: Running, provider: Provider) -> None:
    provider.answers = [whole("anthropic_messages.json")]
    body = {**CHAT, "model": "on-bedrock", "max_tokens": 50}
    status, answer, _ = ask(clouds, "/v1/messages", body)
    assert (status, json.loads(answer)["content"][0]["text"]) == (200, "The ticket is solved.")
    (seen,) = provider.seen
    assert seen.path == "/model/anthropic.claude-haiku-4-5-20251001-v1:0/invoke"
    assert seen.body["anthropic_version"] == "bedrock-2023-05-31"
    assert {"model", "stream"}.isdisjoint(seen.body)
    signature = seen.headers["Authorization"]
    assert signature.startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
    assert "/eu-central-1/bedrock/aws4_request, SignedHeaders=content-type;host;x-amz-date" in signature


def test_bedrocks_binary_stream_becomes_anthropics_events(clouds: Running, provider: Provider) -> None:
    provider.answers = [streamed("bedrock_messages.bin", content_type="application/vnd.amazon.eventstream")]
    _, body, _ = ask(clouds, "/v1/messages", {**CHAT, "model": "on-bedrock", "max_tokens": 50} | STREAM)
    assert body.count(b"event: content_block_delta\n") == 2
    assert body.endswith(b'data: {"type":"message_stop"}\n\n')
    assert usage(clouds.span()[0]) == (142, 9)
    assert provider.seen[0].path.endswith("/invoke-with-response-stream")


def damaged() -> bytes:
    data = bytearray((RECORDED / "bedrock_messages.bin").read_bytes())
    data[40] ^= 0x10
    return bytes(data)


@pytest.mark.parametrize(
    "sent", [damaged(), b"<html>the service is away, come again later</html>"], ids=["bit", "html"]
)
def test_a_damaged_stream_of_bedrock_is_its_own_fault(clouds: Running, provider: Provider, sent: bytes) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(body=sent, content_type="application/vnd.amazon.eventstream")

    provider.answers = [answer]
    body = {**CHAT, "model": "on-bedrock", "max_tokens": 50} | STREAM
    status, told, _ = ask(clouds, "/v1/messages", body)
    assert (status, json.loads(told)["error"]["code"]) == (502, "upstream_garbled")
    assert len(provider.seen) == 2, "it is tried again"
    assert [attributes(span)[names.ERROR_TYPE] for span in clouds.span(2)] == ["upstream_garbled"] * 2
    ask(clouds, "/v1/messages", body)
    assert ask(clouds, "/v1/messages", body)[0] == 503, "its circuit has counted"


def exception(kind: str) -> bytes:
    """One frame of an AWS event stream."""
    fields = {":message-type": "exception", ":exception-type": kind}
    headers = b"".join(
        bytes([len(name)]) + name.encode() + b"\x07" + struct.pack("!H", len(value)) + value.encode()
        for name, value in fields.items()
    )
    payload = json.dumps({"message": "it is so"}).encode()
    prelude = struct.pack("!II", 16 + len(headers) + len(payload), len(headers))
    frame = prelude + struct.pack("!I", zlib.crc32(prelude)) + headers + payload
    return frame + struct.pack("!I", zlib.crc32(frame))


@pytest.mark.parametrize(
    ("kind", "attempts", "then"),
    [("throttlingException", 2, 502), ("validationException", 1, 502), ("internalServerException", 2, 503)],
)
def test_only_a_fault_that_bedrock_reports_opens_its_circuit(
    clouds: Running, provider: Provider, kind: str, attempts: int, then: int
) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(body=exception(kind), content_type="application/vnd.amazon.eventstream")

    provider.answers = [answer]
    body = {**CHAT, "model": "on-bedrock", "max_tokens": 50} | STREAM
    status, told, _ = ask(clouds, "/v1/messages", body)
    assert (status, len(provider.seen), b"it is so" in told) == (502, attempts, True)
    for _ in range(2):
        ask(clouds, "/v1/messages", body)
    assert ask(clouds, "/v1/messages", body)[0] == then


def test_no_stream_of_bedrock_passes_a_screen_unread(
    gateways: StartGateway, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "example")
    passing = CLOUDS.replace('kind = "bedrock"', 'kind = "bedrock"\npassthrough = ["POST"]').format(url=provider.url)
    provider.answers = [streamed("bedrock_messages.bin", content_type="application/vnd.amazon.eventstream")]
    path, body = "/aws/model/amazon.nova-lite-v1:0/converse-stream", {"messages": CHAT["messages"]}
    status, told, _ = ask(gateways(f"[filter]\n{passing}"), path, body)
    assert (status, json.loads(told)["error"]["code"]) == (502, "upstream_garbled")
    assert ask(gateways(passing, data="unscreened"), path, body)[0] == 200


def test_a_chat_is_served_by_anthropic(running: Running, provider: Provider) -> None:
    provider.answers = [whole("anthropic_messages.json")]
    messages: Any = [
        {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Look."},
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "t1", "type": "function", "function": {"name": "lookup", "arguments": '{"id": 1}'}}]},
        {"role": "tool", "tool_call_id": "t1", "content": "open"}, {"role": "user", "content": "And now?"},
    ]  # fmt: skip
    tools: Any = TOOLS
    answer = client(running).chat.completions.create(model="claude", messages=messages, tools=tools, stop="END")
    assert answer.choices[0].message.content == "The ticket is solved."
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (142, 9)
    body = provider.seen[0].body
    assert (body["system"], body["max_tokens"], body["stop_sequences"]) == ("Be brief.", 4096, ["END"])
    assert [turn["role"] for turn in body["messages"]] == ["user", "assistant", "user"]
    assert body["messages"][1]["content"][0]["input"] == {"id": 1}
    assert [block["type"] for block in body["messages"][2]["content"]] == ["tool_result", "text"]
    assert body["tools"][0]["input_schema"] == {"type": "object", "properties": {}}


def test_a_chat_is_streamed_by_anthropic_tool_calls_included(running: Running, provider: Provider) -> None:
    provider.answers = [streamed("anthropic_tools.sse")]
    messages: Any = CHAT["messages"]
    options: Any = {"include_usage": True}
    stream = client(running).chat.completions.create(
        model="claude", messages=messages, stream=True, stream_options=options
    )
    chunks = list(stream)
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    assert "".join(delta.content or "" for delta in deltas) == "Let me look."
    calls = [call for delta in deltas for call in delta.tool_calls or ()]
    assert calls[0].id == "toolu_01"
    assert "".join(call.function.arguments or "" for call in calls if call.function) == '{"id":"T-12"}'
    assert [c.choices[0].finish_reason for c in chunks if c.choices and c.choices[0].finish_reason] == ["tool_calls"]
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 142 + 44


PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk=", "detail": "low"}}


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"logprobs": True}, "'logprobs'"),
        ({"seed": 3}, "'seed'"),
        ({"messages": [{"role": "system", "content": [PICTURE]}, *CHAT["messages"]]}, "'image_url'"),
        ({"messages": [{"role": "tool", "tool_call_id": "t1", "content": [{"type": "file"}]}]}, "'file'"),
    ],
    ids=["logprobs", "seed", "system", "tool"],
)
def test_what_a_provider_has_no_word_for_is_refused(
    running: Running, provider: Provider, more: dict[str, Any], why: str
) -> None:
    with pytest.raises(openai.BadRequestError, match=why):
        client(running).chat.completions.create(**{**CHAT, **more, "model": "claude"})
    assert provider.seen == []


def test_what_tools_show_and_how_they_may_be_called_arrives(running: Running, provider: Provider) -> None:
    provider.answers = [whole("anthropic_messages.json")]
    call = {"id": "t1", "type": "function", "function": {"name": "lookup", "arguments": "{}"}}
    messages: Any = [
        *CHAT["messages"], {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "t1", "content": [{"type": "text", "text": "see"}, PICTURE]},
    ]  # fmt: skip
    tools: Any = [{"type": "function", "function": {**TOOLS[0]["function"], "strict": True}}]
    client(running).chat.completions.create(model="claude", messages=messages, tools=tools)
    body = provider.seen[0].body
    text, picture = body["messages"][-1]["content"][0]["content"]
    assert text == {"type": "text", "text": "see"}
    assert picture["source"] == {"type": "base64", "media_type": "image/png", "data": "aGk="}
    assert body["tools"][0]["strict"] is True
    assert "tool_choice" not in body


@pytest.mark.parametrize(
    ("choice", "told"),
    [
        (None, {"type": "auto", "disable_parallel_tool_use": True}),
        ("required", {"type": "any", "disable_parallel_tool_use": True}),
        ("none", {"type": "none"}),
        (
            {"type": "function", "function": {"name": "lookup"}},
            {"type": "tool", "name": "lookup", "disable_parallel_tool_use": True},
        ),
    ],
    ids=["auto", "required", "none", "named"],
)
def test_one_call_at_a_time_can_be_asked_for(running: Running, provider: Provider, choice: Any, told: Any) -> None:
    provider.answers = [whole("anthropic_messages.json")]
    body = {**CHAT, "model": "claude", "tools": TOOLS, "tool_choice": choice, "parallel_tool_calls": False}
    assert ask(running, "/v1/chat/completions", body)[0] == 200
    assert provider.seen[0].body["tool_choice"] == told


def test_a_streamed_call_without_arguments_has_empty_ones(running: Running, provider: Provider) -> None:
    silent = re.sub(rb'"partial_json":".*"}}', b'"partial_json":""}}', (RECORDED / "anthropic_tools.sse").read_bytes())

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(body=silent, content_type="text/event-stream")

    provider.answers = [answer]
    messages: Any = CHAT["messages"]
    stream = client(running).chat.completions.create(model="claude", messages=messages, stream=True)
    deltas = [chunk.choices[0].delta for chunk in stream if chunk.choices]
    calls = [call for delta in deltas for call in delta.tool_calls or ()]
    assert calls[0].id == "toolu_01"
    assert {call.index for call in calls} == {0}
    assert "".join(call.function.arguments or "" for call in calls if call.function) == "{}"


def test_an_error_of_another_api_is_told_in_words(running: Running, provider: Provider) -> None:
    async def refused(request: web.Request) -> web.StreamResponse:
        error = {"type": "error", "error": {"type": "invalid_request_error", "message": "max_tokens: too high"}}
        return web.json_response(error, status=400)

    provider.answers = [refused]
    messages: Any = CHAT["messages"]
    with pytest.raises(openai.BadRequestError, match="max_tokens: too high"):
        client(running).chat.completions.create(model="claude", messages=messages)


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ("[providers.x]\nkind = 'openai'\nulr = 'http://a'\n", "ulr"),
        ("[providers.x]\nkind = 'azure'\nurl = 'http://a'\n", "api_version"),
        ("[providers.x]\nkind = 'bedrock'\n", "region"),
        ("[providers.v1]\nkind = 'openai'\n", "cannot name"),
        ("[providers.x]\nkind = 'openai'\nkey_env = 'NOT_SET_ANYWHERE'\n", "NOT_SET_ANYWHERE"),
        ("[models.x]\nprovider = 'nobody'\n", "nobody"),
        ("[models.x]\nprovider = 'openai'\nfallbacks = ['y']\n", "'y'"),
        ("[tools.x]\nurl = 'ftp://a.example'\n", "http"),
        ("[[limits]]\nscope = 'model'\nname = 'gpt-4'\nmeasure = 'requests'\nlimit = 1\nwindow_s = 60\n", "gpt-4"),
        ("[[limits]]\nscope = 'team'\nname = 'suport'\nmeasure = 'requests'\nlimit = 1\nwindow_s = 60\n", "suport"),
        ("[[limits]]\nscope = 'tenant'\nname = 'acme'\nmeasure = 'requests'\nlimit = 1\nwindow_s = 60\n", "acme"),
        ("[masking.routes.'*']\n[masking.routes.'/tool/tickets/*']\n", "fits nothing that is served"),
        ("[masking.routes.'*']\n[masking.routes.'/tools/ticket/*']\n", "fits nothing that is served"),
        ("[tools.x]\nurl = 'http://a'\nmethods = ['GET', 'FOO']\n", "methods"),
        ("[providers.x]\nkind = 'openai'\npassthrough = ['CONNECT']\n", "passthrough"),
        ("[tools.x]\nurl = 'http://a'\nkey_env = 'PATH'\nkey_file = '/etc/hostname'\n", "leave one of them out"),
        ("[tools.x]\nurl = 'http://a'\nheader = 'content-length'\n", "cannot hold a credential"),
        ("[tools.x]\nurl = 'http://a'\nheader = 'traceparent'\n", "cannot hold a credential"),
        ("[tools.x]\nurl = 'http://a'\nheader = '-'\n", "header"),
        ("[filter]\nhosts = ['example.com:443']\n", "without scheme and port"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_refused_at_start_and_when_it_is_checked(
    gateways: StartGateway, tmp_path: Path, more: str, why: str
) -> None:
    with pytest.raises(ConfigError, match=why):
        gateways(more)
    with pytest.raises(ConfigError, match=why):
        check(Config(data_dir=tmp_path / "data", gateway_file=tmp_path / "gateway.toml", gateway_port=0))


def test_methods_are_taken_in_any_case(gateways: StartGateway, provider: Provider) -> None:
    provider.answers = [stored]
    running = gateways(f'[tools.x]\nurl = "{provider.url}"\nmethods = ["get", "Post"]\n')
    assert [call(running, method, "/tools/x/1").status for method in ("GET", "POST", "DELETE")] == [201, 201, 405]


@pytest.mark.parametrize(("tool", "told"), [("tickts", 1), ("tick*", 0), ("files", 0), ("*", 0)])
def test_a_grant_that_fits_no_tool_is_told_at_start(
    gateways: StartGateway, provider: Provider, tmp_path: Path, tool: str, told: int
) -> None:
    (tmp_path / "agents.toml").write_text(
        f'[agents.ticket-helper]\nowner = "a"\n[[agents.ticket-helper.sql]]\ntool = "{tool}"\ndialect = "postgres"\n'
        'tables = { orders = ["id"] }\n'
    )
    before = happenings.counts()["gateway_grant_unmatched"]
    more = f'[filter]\n[providers.files]\nkind = "openai"\nurl = "{provider.url}"\npassthrough = ["GET"]\n'
    gateways(more)
    assert happenings.counts()["gateway_grant_unmatched"] == before + told


@pytest.mark.parametrize(
    "route", ["/v1/*", "/v1/messages", "/tools/*", "/tools/tickets/*", "/openai/v1/*", "/tools/tick*"]
)
def test_a_route_that_something_fits_is_taken(tmp_path: Path, route: str) -> None:
    file = tmp_path / "gateway.toml"
    file.write_text(f"[masking.routes.'*']\n[masking.routes.'{route}']\n" + SETTINGS.format(url="http://127.0.0.1:9"))
    assert load_settings(file).masking is not None
