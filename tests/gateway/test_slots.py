"""Every text of an answer passes the screen, in whichever field a provider puts it."""

import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.fixtures.gateway import Answer, Provider, Running, StartGateway
from tests.gateway import test_screen
from tests.gateway.test_ledger import CHAT, ask
from tests.gateway.test_screen import MAIL, about

shared, provider, guarded = test_screen.shared, test_screen.provider, test_screen.guarded

Json = dict[str, Any]
MESSAGES: Json = {"model": "claude", "max_tokens": 9, "messages": about("Whom?")}
RESPONSES: Json = {"model": "gpt-5-mini", "input": "Whom?"}
TOKENS = [{"token": t, "logprob": 0.0, "bytes": list(t.encode()), "top_logprobs": []} for t in ("jo.doe", "@acme-mail")]
GRANT = """
[agents.ticket-helper]
owner = "support"
[[agents.ticket-helper.sql]]
tool = "warehouse"
dialect = "postgres"
verbs = ["select"]
tables = { orders = ["id"] }
"""


def answered(told: Json) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.json_response(told)

    return answer


def events(*told: Json, end: bytes = b"") -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for each in told:
            await response.write(_encoded(each))
        await response.write(end)
        return response

    return answer


def _encoded(told: Json) -> bytes:
    name = f"event: {told['type']}\n" if "type" in told else ""
    return f"{name}data: {json.dumps(told)}\n\n".encode()


def chat(message: Json, *, stream: bool) -> Answer:
    usage = {"prompt_tokens": 4, "completion_tokens": 9, "total_tokens": 13}
    head = {"id": "c", "object": "chat.completion", "created": 1, "model": "m"}
    if not stream:
        choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": {"content": TOKENS}}
        return answered({**head, "choices": [choice], "usage": usage})
    first = {"index": 0, "delta": message, "finish_reason": None, "logprobs": {"content": TOKENS}}
    last = {"index": 0, "delta": {}, "finish_reason": "stop"}
    told = ({**head, "choices": [first]}, {**head, "choices": [last]}, {**head, "choices": [], "usage": usage})
    return events(*told, end=b"data: [DONE]\n\n")


def message(block: Json, *more: Json, stream: bool) -> Answer:
    head = {"id": "m", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn"}
    usage = {"input_tokens": 4, "output_tokens": 3}
    if not stream:
        return answered({**head, "content": [block], "usage": usage})
    return events(
        {"type": "message_start", "message": {**head, "content": [], "usage": usage}},
        {"type": "content_block_start", "index": 0, "content_block": block},
        *({"type": "content_block_delta", "index": 0, "delta": each} for each in more),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage}, {"type": "message_stop"},
    )  # fmt: skip


def response(item: Json, *, stream: bool) -> Answer:
    usage = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
    told = {"id": "r", "object": "response", "model": "m", "status": "completed", "output": [item], "usage": usage}
    if not stream:
        return answered(told)
    return events(
        {"type": "response.created", "response": {**told, "output": []}},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": told},
    )


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("said", [
    {"content": "Ask nobody."}, {"reasoning": MAIL}, {"reasoning_details": [{"type": "reasoning.text", "text": MAIL}]},
    {"audio": {"id": "a", "transcript": MAIL}}, {"content": None, "new_field": {"deep": [MAIL]}},
    {"content": None, "result": {"data": [{"said": MAIL}]}}, {"result": MAIL}, {"audio": {"id": "a", "data": MAIL}},
    {"function_call": {"name": "send", "arguments": f'{{"to": "{MAIL}"}}'}},
    {"tool_calls": [{"index": 0, "id": "1", "type": "function", "function": {"name": MAIL, "arguments": "{}"}}]},
    {"tool_calls": [{"index": 0, "id": "1", "type": "custom", "custom": {"name": "send", "input": MAIL}}]},
    {"annotations": [{"type": "url_citation", "url_citation": {"url": "https://example.com", "title": MAIL}}]},
])  # fmt: skip
def test_no_field_of_a_chat_lets_a_value_out(guarded: Running, provider: Provider, said: Json, stream: bool) -> None:
    provider.answers = [chat({"role": "assistant", **said}, stream=stream)]
    status, body, _ = ask(guarded, "/v1/chat/completions", {**CHAT, "stream": stream, "logprobs": True})
    assert status == 200
    assert b"acme-mail" not in body


@pytest.mark.parametrize("stream", [False, True])
def test_a_sound_comes_as_it_is(guarded: Running, provider: Provider, stream: bool) -> None:
    sound = "UklGRiQAAABXQVZF" + "4111111111111111" * 4 + "=="
    provider.answers = [chat({"role": "assistant", "audio": {"id": "a", "data": sound}}, stream=stream)]
    status, body, _ = ask(guarded, "/v1/chat/completions", {**CHAT, "stream": stream})
    assert (status, body.count(f'"{sound}"'.encode())) == (200, 1)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("block", [
    {"type": "text", "text": "x", "citations": [{"type": "char_location", "cited_text": MAIL}]},
    {"type": "web_search_tool_result", "tool_use_id": "t", "content": [{"type": "web_search_result", "title": MAIL}]},
    {"type": "server_tool_use", "id": "t", "name": "web_search", "input": {"query": f"who is {MAIL}"}},
    {"type": "mcp_tool_use", "id": "t", "name": "send", "input": {"to": MAIL}},
    {"type": "tool_use", "id": "t", "name": MAIL, "input": {}},
    {"type": "code_execution_tool_result", "tool_use_id": "t", "content": {"stdout": MAIL}},
])  # fmt: skip
def test_no_block_of_a_message_lets_a_value_out(
    guarded: Running, provider: Provider, block: Json, stream: bool
) -> None:
    provider.answers = [message(block, stream=stream)]
    status, body, _ = ask(guarded, "/v1/messages", {**MESSAGES, "stream": stream})
    assert status == 200
    assert b"acme-mail" not in body


def test_each_citation_of_a_stream_stays_one(guarded: Running, provider: Provider) -> None:
    cited = [{"type": "citations_delta", "citation": {"cited_text": text}} for text in (MAIL, "Ask nobody.")]
    provider.answers = [message({"type": "text", "text": ""}, *cited, stream=True)]
    _, body, _ = ask(guarded, "/v1/messages", {**MESSAGES, "stream": True})
    assert b"acme-mail" not in body
    assert body.count(b"cited_text") == 2
    assert b'"cited_text":"Ask nobody."' in body


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("item", [
    {"type": "custom_tool_call", "id": "i", "call_id": "c", "name": "send", "input": MAIL},
    {"type": "code_interpreter_call", "id": "i", "code": MAIL, "outputs": [{"type": "logs", "logs": MAIL}]},
    {"type": "web_search_call", "id": "i", "action": {"type": "search", "query": MAIL}},
    {"type": "mcp_call", "id": "i", "name": "send", "arguments": "{}", "output": MAIL},
    {"type": "function_call", "id": "i", "call_id": "c", "name": MAIL, "arguments": "{}"},
    {"type": "shell_call", "id": "i", "action": {"commands": [f"mail {MAIL}"]}},
    {"type": "message", "id": "i", "content": [
        {"type": "output_text", "text": "x", "annotations": [{"title": MAIL}], "logprobs": TOKENS}]},
])  # fmt: skip
def test_no_item_of_a_response_lets_a_value_out(guarded: Running, provider: Provider, item: Json, stream: bool) -> None:
    provider.answers = [response(item, stream=stream)]
    status, body, _ = ask(guarded, "/v1/responses", {**RESPONSES, "stream": stream})
    assert status == 200
    assert b"acme-mail" not in body


def test_only_what_the_request_held_is_put_back(guarded: Running, provider: Provider) -> None:
    provider.answers = [chat({"role": "assistant", "content": f"You, or {MAIL}"}, stream=False)]
    _, body, _ = ask(guarded, "/v1/chat/completions", {**CHAT, "messages": about("I am ada@acme-mail.com")})
    assert b"You, or <EMAIL_" in body


def test_a_tools_name_is_known_to_the_end_of_its_call(
    gateways: StartGateway, provider: Provider, tmp_path: Path
) -> None:
    (tmp_path / "agents.toml").write_text(GRANT)
    running = gateways("[filter]\n")
    arguments = json.dumps({"sql": "SELECT id FROM orders WHERE id = 7"})
    item = {"type": "function_call", "id": "fc", "call_id": "c", "name": "warehouse"}
    told = {"id": "r", "object": "response", "model": "m", "output": [{**item, "arguments": arguments}]}
    place = {"item_id": "fc", "output_index": 0}
    provider.answers = [events(
        {"type": "response.output_item.added", "output_index": 0, "item": {**item, "arguments": ""}},
        {"type": "response.function_call_arguments.delta", **place, "delta": arguments[:9]},
        {"type": "response.function_call_arguments.delta", **place, "delta": arguments[9:]},
        {"type": "response.function_call_arguments.done", **place, "arguments": arguments},
        {"type": "response.completed", "response": told},
    )]  # fmt: skip
    _, body, _ = ask(running, "/v1/responses", {**RESPONSES, "stream": True})
    assert b"deny_by_filter" not in body
    assert body.count(b"SELECT id FROM orders WHERE id = 7") == 3


def test_an_api_that_repeats_the_request_tells_no_canary(gateways: StartGateway, provider: Provider) -> None:
    async def repeat(request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        assert "cnry-" in json.dumps(asked)
        said = {"type": "message", "id": "i", "content": [{"type": "output_text", "text": "Fine."}]}
        told = {"id": "r", "object": "response", "model": "m", "output": [said]}
        return web.json_response(told | {name: asked[name] for name in ("instructions", "tools") if name in asked})

    running = gateways("plant_canaries = true\n[filter]\n")
    provider.answers = [repeat]
    status, body, _ = ask(running, "/v1/responses", {**RESPONSES, "instructions": "DROP TABLE users; is never said"})
    assert status == 200
    assert b"cnry-" not in body
