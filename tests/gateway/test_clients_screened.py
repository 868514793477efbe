"""The official client libraries get on with what masking and the filter hold back."""

import json
from typing import Any

import anthropic
import openai
import pytest
from aiohttp import web
from pydantic import BaseModel

from tests.fixtures.gateway import Answer, Provider, Running, StartGateway, whole
from tests.gateway.test_clients import ASK
from tests.gateway.test_screen import MAIL

MASKED = "[masking]\n[filter]\n"
LOOKUP: Any = {"type": "function", "function": {
    "name": "lookup", "strict": True, "parameters": {
        "type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"], "additionalProperties": False},
}}  # fmt: skip


def calling(*calls: dict[str, Any]) -> Answer:
    """A chat that streams these deltas of tool calls, as OpenAI words it."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        deltas = [({"role": "assistant", "content": None}, None), *(({"tool_calls": [call]}, None) for call in calls)]
        for delta, reason in [*deltas, ({}, "tool_calls")]:
            choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
            told = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
            await response.write(b"data: " + json.dumps(told).encode() + b"\n\n")
        await response.write(b"data: [DONE]\n\n")
        return response

    return answer


def begun(index: int, name: str, arguments: str = "") -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"index": index, "id": f"call_{index}", "type": "function", "function": function}


def more(index: int, arguments: str) -> dict[str, Any]:
    return {"index": index, "function": {"arguments": arguments}}


@pytest.fixture
def running(gateways: StartGateway) -> Running:
    return gateways(MASKED)


@pytest.fixture
def client(running: Running) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{running.url}/v1", api_key=running.key, max_retries=0)


@pytest.mark.parametrize(
    "calls",
    [
        (begun(0, "lookup"), more(0, '{"id": "a\\'), more(0, '"}'), more(0, '"}'),
         begun(1, "lookup"), more(1, '{"id"'), more(1, ': "T-13"}')),
        (begun(0, "lookup", '{"id": "a\\"}"}'), begun(1, "lookup", '{"id": "T-13"}')),
    ],
    ids=["in-pieces", "at-once"],
)  # fmt: skip
def test_a_call_is_whole_when_the_next_one_begins(
    client: openai.OpenAI, provider: Provider, calls: tuple[dict[str, Any], ...]
) -> None:
    provider.answers = [calling(*calls)]
    with client.chat.completions.stream(model="gpt-5-mini", messages=ASK, tools=[LOOKUP]) as stream:  # type: ignore[list-item]
        done = [event.arguments for event in stream if event.type == "tool_calls.function.arguments.done"]
        told = stream.get_final_completion().choices[0].message.tool_calls or []
    assert [json.loads(each) for each in done] == [{"id": 'a"}'}, {"id": "T-13"}]
    assert [(call.id, call.function.parsed_arguments) for call in told] == [
        ("call_0", {"id": 'a"}'}), ("call_1", {"id": "T-13"}),
    ]  # fmt: skip


def test_what_comes_behind_whole_arguments_is_looked_at_too(client: openai.OpenAI, provider: Provider) -> None:
    provider.answers = [calling(begun(0, "lookup"), more(0, '{"id": "1"}'), more(0, MAIL[:6]), more(0, MAIL[6:]))]
    told = ""
    for chunk in client.chat.completions.create(model="gpt-5-mini", messages=ASK, stream=True):  # type: ignore[arg-type]
        told += "".join(call.function.arguments or "" for call in chunk.choices[0].delta.tool_calls or ())
    assert told.startswith('{"id":"1"}<EMAIL_')


RESTORING = '[masking.routes."*"]\nrestore = true\n[filter]\n'
KEY = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSj\n-----END PRIVATE KEY-----"


class Found(BaseModel):
    address: str
    key: str


def repeating(before: str = "", after: str = "") -> Answer:
    """A chat that streams the last message back, three letters at a time."""

    async def answer(request: web.Request) -> web.StreamResponse:
        text = before + (await request.json())["messages"][-1]["content"] + after
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        deltas = [({"role": "assistant", "content": text[at : at + 3]}, None) for at in range(0, len(text), 3)]
        for delta, reason in [*deltas, ({}, "stop")]:
            choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
            told = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
            await response.write(f"data: {json.dumps(told)}\n\n".encode())
        await response.write(b"data: [DONE]\n\n")
        return response

    return answer


@pytest.fixture
def restoring(gateways: StartGateway) -> Running:
    return gateways(RESTORING)


def test_a_stream_gives_values_back_as_a_whole_answer_does(restoring: Running, provider: Provider) -> None:
    provider.answers = [repeating("I wrote to ")]
    asked = f"{MAIL}, and to nobody else"
    chat = openai.OpenAI(base_url=f"{restoring.url}/v1", api_key=restoring.key, max_retries=0)
    chunks = chat.chat.completions.create(
        model="gpt-5-mini", messages=[{"role": "user", "content": asked}], stream=True
    )
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == f"I wrote to {asked}"
    claude = anthropic.Anthropic(base_url=restoring.url, api_key=restoring.key, max_retries=0)
    with claude.messages.stream(
        model="gpt-5-mini", max_tokens=99, messages=[{"role": "user", "content": asked}]
    ) as stream:
        assert "".join(stream.text_stream) == f"I wrote to {asked}"
    assert all(MAIL not in json.dumps(seen.body) for seen in provider.seen)


def test_a_structured_answer_that_streams_can_be_read_whatever_the_values_are(
    restoring: Running, provider: Provider
) -> None:
    provider.answers = [repeating('{"address": "', '"}')]
    client = openai.OpenAI(base_url=f"{restoring.url}/v1", api_key=restoring.key, max_retries=0)
    with client.chat.completions.stream(
        model="gpt-5-mini", messages=[{"role": "user", "content": f'{MAIL}", "key": "{KEY}'}], response_format=Found
    ) as stream:
        told = stream.get_final_completion().choices[0].message.parsed
    assert told == Found(address=MAIL, key=KEY)
    assert KEY not in json.dumps(provider.seen[0].body)


def thinking(text: str, stream: bool) -> Answer:
    """A message that thinks of ``text`` and what it was asked, and signs that."""

    async def answer(request: web.Request) -> web.StreamResponse:
        thought = text + (await request.json())["messages"][0]["content"]
        sealed = {"thinking": thought, "signature": "c2lnbmVk" * 12}
        message = {"id": "m", "type": "message", "role": "assistant", "model": "claude", "stop_reason": "end_turn"}
        told = {**message, "usage": {"input_tokens": 40, "output_tokens": 40}}
        if not stream:
            return web.json_response({**told, "content": [{"type": "thinking", **sealed}]})
        deltas = [{"type": f"{name}_delta", name: value} for name, value in sealed.items()]
        begun = {"type": "thinking", "thinking": "", "signature": ""}
        events = [
            {"type": "message_start", "message": {**told, "content": []}},
            {"type": "content_block_start", "index": 0, "content_block": begun},
            *({"type": "content_block_delta", "index": 0, "delta": delta} for delta in deltas),
            {"type": "content_block_stop", "index": 0},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 40}},
            {"type": "message_stop"},
        ]
        data = "".join(f"event: {each['type']}\ndata: {json.dumps(each)}\n\n" for each in events)
        return web.Response(text=data, content_type="text/event-stream")

    return answer


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_thought_goes_back_to_its_provider_as_that_signed_it(
    restoring: Running, provider: Provider, stream: bool
) -> None:
    provider.answers = [thinking("I am to write to: ", stream), whole("anthropic_messages.json")]
    claude = anthropic.Anthropic(base_url=restoring.url, api_key=restoring.key, max_retries=0)
    asks: Any = {"model": "claude", "max_tokens": 4000, "thinking": {"type": "enabled", "budget_tokens": 2000}}
    said: Any = [{"role": "user", "content": f"Write to {MAIL}"}]
    if stream:
        with claude.messages.stream(messages=said, **asks) as events:
            content = events.get_final_message().content
    else:
        content = claude.messages.create(messages=said, **asks).content
    said += [{"role": "assistant", "content": content}, {"role": "user", "content": "Go on."}]
    claude.messages.create(messages=said, **asks)
    asked, again = (seen.body["messages"] for seen in provider.seen)
    assert MAIL not in json.dumps([asked, again])
    assert again[1]["content"][0]["thinking"] == f"I am to write to: {asked[0]['content']}"
