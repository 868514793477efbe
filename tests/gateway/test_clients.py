"""The official client libraries work unchanged: only the base address and the key are set."""

import json
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import anthropic
import openai
import pytest
from openai.types.chat import ChatCompletion

from tests.fixtures.gateway import Provider, Running, failing, streamed, whole
from tests.gateway.test_ledger import ask

ASK = [{"role": "user", "content": "Is my ticket solved?"}]


@pytest.fixture
def client(running: Running) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{running.url}/v1", api_key=running.key, max_retries=0)


@pytest.fixture
def claude(running: Running) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=running.url, api_key=running.key, max_retries=0)


def test_a_chat(client: openai.OpenAI, provider: Provider) -> None:
    provider.answers = [whole("openai_chat.json")]
    answer = client.chat.completions.create(model="gpt-5-mini", messages=ASK)  # type: ignore[arg-type]
    assert isinstance(answer, ChatCompletion)
    assert answer.choices[0].message.content == "The ticket is solved."
    (seen,) = provider.seen
    assert (seen.path, seen.body["model"]) == ("/v1/chat/completions", "gpt-5-mini")
    assert seen.headers["Authorization"] == "Bearer openai-secret"


def test_a_chat_that_streams(client: openai.OpenAI, provider: Provider) -> None:
    provider.answers = [streamed("openai_chat.sse")]
    chunks = list(client.chat.completions.create(model="gpt-5-mini", messages=ASK, stream=True))  # type: ignore[arg-type]
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == "Your ticket is being looked at."
    assert provider.seen[0].body["stream_options"] == {"include_usage": True}


def test_a_chat_that_streams_with_usage(client: openai.OpenAI, provider: Provider) -> None:
    provider.answers = [streamed("openai_chat.sse")]
    options = {"include_usage": True}
    chunks = list(
        client.chat.completions.create(model="gpt-5-mini", messages=ASK, stream=True, stream_options=options)  # type: ignore[arg-type]
    )
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 31


def test_responses(client: openai.OpenAI, provider: Provider) -> None:
    provider.answers = [whole("openai_responses.json")]
    assert client.responses.create(model="gpt-5-mini", input="Is it solved?").output_text == "Solved."


def test_responses_that_stream(client: openai.OpenAI, provider: Provider) -> None:
    provider.answers = [streamed("openai_responses.sse")]
    events = list(client.responses.create(model="gpt-5-mini", input="Is it solved?", stream=True))
    assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == "Solved."
    assert events[-1].type == "response.completed"


def test_responses_that_break_off_end_with_an_error_of_their_api(
    client: openai.OpenAI, running: Running, provider: Provider
) -> None:
    provider.answers = [streamed("openai_responses.sse", parts=3, whole_end=False)]
    with pytest.raises(openai.APIError, match="broke off") as broken:
        list(client.responses.create(model="gpt-5-mini", input="Is it solved?", stream=True))
    assert broken.value.code == "upstream_cut"
    _, body, _ = ask(running, "/v1/responses", {"model": "gpt-5-mini", "input": "Is it solved?", "stream": True})
    name, data = body.strip().split(b"\n\n")[-1].split(b"\n")
    told = json.loads(data.removeprefix(b"data: "))
    assert name == b"event: error"
    assert (told["type"], told["code"], told["error"]["code"]) == ("error", "upstream_cut", "upstream_cut")
    assert told["message"] == told["error"]["message"]
    assert type(told["sequence_number"]) is int


def test_embeddings(client: openai.OpenAI, provider: Provider) -> None:
    provider.answers = [whole("openai_embeddings.json")]
    answer = client.embeddings.create(model="gpt-5-mini", input="a text", encoding_format="float")
    assert answer.data[0].embedding == [0.0023, -0.0093]


def test_the_list_of_models(client: openai.OpenAI, claude: anthropic.Anthropic) -> None:
    assert [model.id for model in client.models.list()] == ["gpt-5-mini", "steady", "claude"]
    assert client.models.retrieve("claude").id == "claude"
    assert [model.id for model in claude.models.list()] == ["gpt-5-mini", "steady", "claude"]


def test_a_message(claude: anthropic.Anthropic, provider: Provider) -> None:
    provider.answers = [whole("anthropic_messages.json")]
    answer = claude.messages.create(model="claude", max_tokens=100, messages=ASK)  # type: ignore[arg-type]
    assert answer.content[0].text == "The ticket is solved."  # type: ignore[union-attr]
    (seen,) = provider.seen
    assert (seen.path, seen.body["model"]) == ("/v1/messages", "claude-haiku-4-5")
    assert seen.headers["x-api-key"] == "anthropic-secret"
    assert "anthropic-version" in {name.lower() for name in seen.headers}


def test_a_message_that_streams(claude: anthropic.Anthropic, provider: Provider) -> None:
    provider.answers = [streamed("anthropic_messages.sse")]
    with claude.messages.stream(model="claude", max_tokens=100, messages=ASK) as stream:  # type: ignore[arg-type]
        assert "".join(stream.text_stream) == "The ticket is solved."
        assert stream.get_final_message().usage.output_tokens == 9


def test_a_providers_own_api(running: Running, provider: Provider) -> None:
    provider.answers = [whole("openai_chat.json")]
    for base in ("/openai", "/openai/v1"):
        client = openai.OpenAI(base_url=running.url + base, api_key=running.key, max_retries=0)
        client.chat.completions.create(model="gpt-9-preview", messages=ASK)  # type: ignore[arg-type]
    assert {seen.path for seen in provider.seen} == {"/v1/chat/completions"}
    assert provider.seen[0].body["model"] == "gpt-9-preview"


def test_errors_come_in_the_shape_of_the_api(
    client: openai.OpenAI, claude: anthropic.Anthropic, running: Running, provider: Provider
) -> None:
    with pytest.raises(openai.NotFoundError, match="is not served here"):
        client.chat.completions.create(model="no-such", messages=ASK)  # type: ignore[arg-type]
    with pytest.raises(anthropic.NotFoundError, match="is not served here") as no_model:
        claude.messages.create(model="no-such", max_tokens=1, messages=ASK)  # type: ignore[arg-type]
    assert no_model.value.body["error"]["type"] == "not_found_error"  # type: ignore[index]
    with pytest.raises(anthropic.NotFoundError) as not_served:
        claude.messages.batches.list()
    assert not_served.value.body["type"] == "error"  # type: ignore[index]
    with pytest.raises(openai.AuthenticationError, match="virtual key"):
        openai.OpenAI(base_url=f"{running.url}/v1", api_key="guessed").models.list()
    with pytest.raises(openai.BadRequestError, match="ask its models at /v1/messages or /v1/chat/completions"):
        client.responses.create(model="claude", input="Is it solved?")
    provider.answers = [failing(400)]
    with pytest.raises(openai.BadRequestError, match="the model is overloaded"):
        client.chat.completions.create(model="gpt-5-mini", messages=ASK)  # type: ignore[arg-type]


def test_a_body_that_can_be_read_in_two_ways_is_refused_in_the_shape_of_the_api(
    running: Running, provider: Provider
) -> None:
    def error(path: str, body: str) -> dict[str, Any]:
        connection = HTTPConnection(urlsplit(running.url).netloc, timeout=10)
        connection.request("POST", path, body, {"x-api-key": running.key})
        response = connection.getresponse()
        assert response.status == 400
        told: dict[str, Any] = json.loads(response.read())
        return told

    asked = '"messages": [{"role": "user", "content": "hi"}], "max_tokens": 5'
    chat = error("/v1/chat/completions", f'{{"model": "gpt-5-mini", {asked}, "model": "steady"}}')
    assert chat["error"]["type"] == "invalid_request_error"
    assert "'model' twice" in chat["error"]["message"]
    message = error("/v1/messages", f'{{"model": "claude", {asked}, "max_tokens": 5000}}')
    assert (message["type"], message["error"]["type"]) == ("error", "invalid_request_error")
    assert "'max_tokens' twice" in message["error"]["message"]
    cased = error("/v1/chat/completions", f'{{"model": "gpt-5-mini", {asked}, "Model": "steady"}}')
    assert "differ in case only" in cased["error"]["message"], "not every server minds it"
    assert provider.seen == []
