"""The openai client library talks to the model server unchanged."""

from collections.abc import Iterator

import openai
import pytest

from examples.model_server import ModelServer, by_model
from examples.web import ServiceRefused, call

MODEL = "gpt-5-mini"
ASK = [{"role": "user", "content": "How long is a piece of string?"}]


@pytest.fixture
def server() -> Iterator[ModelServer]:
    server = ModelServer(
        by_model({MODEL: lambda messages, _model, seed: f"{messages[-1]['content']} {seed} times."}), seed=3
    )
    server.start()
    yield server
    server.stop()


@pytest.fixture
def client(server: ModelServer) -> Iterator[openai.OpenAI]:
    http = openai.DefaultHttpxClient(trust_env=False)
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", http_client=http, max_retries=0) as client:
        yield client


def test_an_answer_carries_text_usage_and_the_servers_seed(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model=MODEL, messages=ASK)
    assert answer.choices[0].message.content == "How long is a piece of string? 3 times."
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0


def test_the_same_request_is_answered_the_same_and_another_seed_differently(client: openai.OpenAI) -> None:
    first, second, other = (client.chat.completions.create(model=MODEL, messages=ASK, seed=s) for s in (1, 1, 2))
    assert (first.id, first.choices, first.usage) == (second.id, second.choices, second.usage)
    assert other.choices[0].message.content != first.choices[0].message.content


def test_a_stream_spells_the_same_answer_and_ends_with_its_usage(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(model=MODEL, messages=ASK)
    chunks = list(
        client.chat.completions.create(model=MODEL, messages=ASK, stream=True, stream_options={"include_usage": True})
    )
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == whole.choices[0].message.content
    assert [c.usage for c in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1].usage == whole.usage


def test_a_stream_without_the_option_carries_no_usage(client: openai.OpenAI) -> None:
    chunks = list(client.chat.completions.create(model=MODEL, messages=ASK, stream=True))
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert all(c.usage is None for c in chunks)


def test_a_limit_cuts_the_answer_and_says_so(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model=MODEL, messages=ASK, max_completion_tokens=2)
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.completion_tokens == 2


def test_an_unknown_model_is_refused_by_name(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="gpt-9"):
        client.chat.completions.create(model="gpt-9", messages=ASK)


@pytest.mark.parametrize("body", [[], {}, {"model": MODEL, "messages": []}, {"model": MODEL, "messages": [7]}])
def test_garbage_is_refused_and_the_server_lives_on(server: ModelServer, client: openai.OpenAI, body: object) -> None:
    with pytest.raises(ServiceRefused) as refused:
        call("POST", f"{server.url}/v1/chat/completions", body)
    assert refused.value.status == 400
    assert client.chat.completions.create(model=MODEL, messages=ASK).choices


def test_a_path_nobody_serves_is_not_found(server: ModelServer) -> None:
    with pytest.raises(ServiceRefused) as refused:
        call("GET", f"{server.url}/v1/models")
    assert refused.value.status == 404
