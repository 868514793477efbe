"""The official client libraries get on with what masking and the filter hold back."""

import json
from typing import Any

import openai
import pytest
from aiohttp import web

from tests.fixtures.gateway import Answer, Provider, Running, StartGateway
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
