"""Anthropic's API in front of models that speak OpenAI's."""

import json
from typing import Any

import anthropic
import pytest
from aiohttp import web

from tests.fixtures.gateway import Answer, Provider, Running, StartGateway, failing, streamed, whole
from tests.gateway.test_ledger import ask, usage
from tests.gateway.test_quota import TOKENS
from tests.gateway.test_screen import MAIL, chat, said

ASK: Any = [{"role": "user", "content": "Is my ticket solved?"}]
LOOKUP: Any = {"name": "lookup", "description": "one ticket", "input_schema": {"type": "object", "properties": {}}}


@pytest.fixture
def claude(running: Running) -> anthropic.Anthropic:
    return client(running)


def client(running: Running) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=running.url, api_key=running.key, max_retries=0)


def test_a_message_is_answered_by_a_chat(claude: anthropic.Anthropic, running: Running, provider: Provider) -> None:
    provider.answers = [whole("openai_chat.json")]
    answer = claude.messages.create(
        model="gpt-5-mini", max_tokens=100, system=[{"type": "text", "text": "Be brief."}], messages=ASK,
        stop_sequences=["END"], metadata={"user_id": "u1"},
        extra_body={"temperature": 0.5, "cache_control": {"type": "ephemeral"}},
        extra_headers={"anthropic-beta": "some-feature"},
    )  # fmt: skip
    assert [block.type for block in answer.content] == ["text"]
    assert answer.content[0].text == "The ticket is solved."  # type: ignore[union-attr]
    assert (answer.role, answer.stop_reason, answer.id) == ("assistant", "end_turn", "chatcmpl-Bq1")
    counted = answer.usage
    assert (counted.input_tokens, counted.cache_read_input_tokens, counted.output_tokens) == (15, 8, 71)
    (seen,) = provider.seen
    assert seen.path == "/v1/chat/completions"
    assert seen.body == {
        "model": "gpt-5-mini", "max_completion_tokens": 100, "stop": ["END"], "temperature": 0.5,
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Is my ticket solved?"}],
    }  # fmt: skip
    assert seen.headers["Authorization"] == "Bearer openai-secret"
    assert not any(name.lower().startswith("anthropic-") for name in seen.headers)
    assert usage(running.span()[0]) == (23, 71)


def test_a_conversation_with_tools_and_images(claude: anthropic.Anthropic, provider: Provider) -> None:
    provider.answers = [whole("openai_chat_tools.json")]
    messages: Any = [
        {"role": "user", "content": [
            {"type": "text", "text": "What is this?"},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}]},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "text", "text": "Let me look."},
            {"type": "tool_use", "id": "t1", "name": "lookup", "input": {"id": 1}},
            {"type": "tool_use", "id": "t2", "name": "lookup", "input": {}}]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "t1", "content": "open"},
            {"type": "tool_result", "tool_use_id": "t2", "is_error": True,
             "content": [{"type": "text", "text": "no id"}]},
            {"type": "text", "text": "And now?"}]},
    ]  # fmt: skip
    answer = claude.messages.create(
        model="gpt-5-mini", max_tokens=100, messages=messages, tools=[LOOKUP],
        tool_choice={"type": "tool", "name": "lookup", "disable_parallel_tool_use": True},
    )  # fmt: skip
    assert answer.stop_reason == "tool_use"
    assert [(b.type, b.id, b.name, b.input) for b in answer.content if b.type == "tool_use"] == [
        ("tool_use", "call_a1", "lookup", {"id": "T-12"}), ("tool_use", "call_a2", "lookup", {}),
    ]  # fmt: skip
    body = provider.seen[0].body
    first, second, *rest = body["messages"]
    assert first["content"][1] == {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}
    assert second["content"] == "Let me look."
    assert [(c["id"], json.loads(c["function"]["arguments"])) for c in second["tool_calls"]] == [
        ("t1", {"id": 1}), ("t2", {}),
    ]  # fmt: skip
    assert rest == [
        {"role": "tool", "tool_call_id": "t1", "content": "open"},
        {"role": "tool", "tool_call_id": "t2", "content": "Error: no id"},
        {"role": "user", "content": "And now?"},
    ]
    assert body["tools"][0]["function"]["parameters"] == LOOKUP["input_schema"]
    assert body["tool_choice"] == {"type": "function", "function": {"name": "lookup"}}
    assert body["parallel_tool_calls"] is False


def test_a_message_is_streamed_by_a_chat(claude: anthropic.Anthropic, running: Running, provider: Provider) -> None:
    provider.answers = [streamed("openai_chat.sse")]
    with claude.messages.stream(model="gpt-5-mini", max_tokens=100, messages=ASK) as stream:
        assert "".join(stream.text_stream) == "Your ticket is being looked at."
        final = stream.get_final_message()
    assert (final.stop_reason, final.usage.input_tokens, final.usage.output_tokens) == ("end_turn", 19, 12)
    assert provider.seen[0].body["stream_options"] == {"include_usage": True}
    assert usage(running.span()[0]) == (19, 12)


def test_tool_calls_stream_too(claude: anthropic.Anthropic, provider: Provider) -> None:
    provider.answers = [streamed("openai_chat_parallel_tools.sse")]
    events = []
    with claude.messages.stream(model="gpt-5-mini", max_tokens=100, messages=ASK, tools=[LOOKUP]) as stream:
        events = [event.type for event in stream]
        final = stream.get_final_message()
    assert [block.type for block in final.content] == ["text", "tool_use", "tool_use"]
    assert final.content[0].text == "Let me look."  # type: ignore[union-attr]
    assert [(b.id, b.input) for b in final.content if b.type == "tool_use"] == [
        ("call_a1", {"id": "T-12"}), ("call_a2", {"id": "T-13"}),
    ]  # fmt: skip
    assert final.stop_reason == "tool_use"
    assert events.count("content_block_start") == events.count("content_block_stop") == 3
    assert (events[0], events[-1]) == ("message_start", "message_stop")


def test_a_silent_stream_ends_all_the_same(claude: anthropic.Anthropic, running: Running, provider: Provider) -> None:
    provider.answers = [streamed("openai_chat_silent.sse")]
    with claude.messages.stream(model="gpt-5-mini", max_tokens=100, messages=ASK) as stream:
        assert stream.get_final_text() == "Your ticket is being looked at."
    assert running.span()[0].attributes["fusebox.usage.estimated"] is True  # type: ignore[index]


def test_a_stream_that_is_cut_says_so(claude: anthropic.Anthropic, provider: Provider) -> None:
    provider.answers = [streamed("openai_chat.sse", parts=3, cut=True)]
    with (
        pytest.raises(anthropic.APIStatusError, match="broke off"),
        claude.messages.stream(model="gpt-5-mini", max_tokens=100, messages=ASK) as stream,
    ):
        stream.until_done()


def test_a_model_of_the_other_api_can_be_the_fallback(gateways: StartGateway, provider: Provider) -> None:
    more = (
        '[models.either]\nprovider = "anthropic"\nname = "claude-haiku-4-5"\nretries = 0\nfallbacks = ["gpt-5-mini"]\n'
    )
    provider.answers = [failing(500), whole("openai_chat.json")]
    answer = client(gateways(more)).messages.create(model="either", max_tokens=100, messages=ASK)
    assert answer.content[0].text == "The ticket is solved."  # type: ignore[union-attr]
    assert [seen.path for seen in provider.seen] == ["/v1/messages", "/v1/chat/completions"]


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"top_k": 5}, "'top_k'"),
        ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, "'thinking'"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "web_search"),
        ({"messages": [*ASK, {"role": "assistant", "content": "The"}]}, "go on with"),
        ({"messages": [{"role": "user", "content": [{"type": "document", "source": {}}]}]}, "'document'"),
        ({"tools": [{"name": "nameless"}]}, "input_schema"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "'text'"),
    ],
    ids=["top_k", "thinking", "server-tool", "prefill", "document", "no-schema", "no-text"],
)
def test_what_a_chat_has_no_word_for_is_refused_and_costs_nothing(
    gateways: StartGateway, provider: Provider, more: dict[str, Any], why: str
) -> None:
    running = gateways(TOKENS.format(limit=30_000))
    body = {"model": "gpt-5-mini", "max_tokens": 3000, "messages": ASK} | more
    status, answer, told = ask(running, "/v1/messages", body)
    error = json.loads(answer)["error"]
    assert (status, error["type"], why in error["message"]) == (400, "invalid_request_error", True), error
    assert provider.seen == []
    provider.answers = [whole("openai_chat.json")]
    _, _, after = ask(running, "/v1/messages", {"model": "gpt-5-mini", "max_tokens": 3000, "messages": ASK})
    assert int(after["x-ratelimit-remaining-tokens"]) > 26_000, "only this one is set aside"
    assert len(running.span()) == 1, "what never left is no attempt"
    assert told["x-ratelimit-limit-tokens"] == "30000"


def test_an_error_of_the_other_api_is_told_in_words(claude: anthropic.Anthropic, provider: Provider) -> None:
    provider.answers = [failing(400)]
    with pytest.raises(anthropic.BadRequestError, match="the model is overloaded"):
        claude.messages.create(model="gpt-5-mini", max_tokens=100, messages=ASK)


def test_an_answer_of_no_known_shape_is_the_upstreams_fault(claude: anthropic.Anthropic, provider: Provider) -> None:
    async def empty(request: web.Request) -> web.StreamResponse:
        return web.json_response({"id": "c", "choices": []})

    provider.answers = [empty]
    with pytest.raises(anthropic.APIStatusError, match="cannot be read") as failed:
        claude.messages.create(model="gpt-5-mini", max_tokens=100, messages=ASK)
    assert failed.value.status_code == 502


MASKED = "[masking]\n[filter]\n"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_what_is_translated_is_masked_and_filtered_all_the_same(
    gateways: StartGateway, provider: Provider, stream: bool
) -> None:
    claude = client(gateways(MASKED))
    about: Any = [{"role": "user", "content": f"Write to {MAIL}."}]
    leak = f"It is {MAIL}."
    answers: list[Answer] = [chat(leak[:12], leak[12:]) if stream else said(leak)]
    provider.answers = answers
    if stream:
        with claude.messages.stream(model="gpt-5-mini", max_tokens=100, messages=about) as told:
            text = told.get_final_text()
    else:
        text = claude.messages.create(model="gpt-5-mini", max_tokens=100, messages=about).content[0].text  # type: ignore[union-attr]
    assert MAIL not in json.dumps(provider.seen[0].body)
    assert MAIL not in text
    assert text.startswith("It is ")
