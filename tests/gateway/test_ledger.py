"""Each attempt is a span with its usage, in the caller's trace."""

import http.client
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiohttp import web
from opentelemetry.sdk.trace import ReadableSpan

from fusebox import names
from tests.fixtures.gateway import Answer, Provider, Running, failing, streamed, whole

CHAT = {"model": "gpt-5-mini", "messages": [{"role": "user", "content": "Is my ticket solved?"}]}
CLAUDE = {**CHAT, "model": "claude", "max_tokens": 64}
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def ask(
    running: Running, path: str, body: Mapping[str, Any], headers: Mapping[str, str] | None = None, key: str = ""
) -> tuple[int, bytes, Mapping[str, str]]:
    connection = http.client.HTTPConnection(urlsplit(running.url).netloc, timeout=20)
    sent = {"authorization": f"Bearer {key or running.key}", **(headers or {})}
    connection.request("POST", path, json.dumps(body), sent)
    response = connection.getresponse()
    told = response.status, response.read(), {name.lower(): value for name, value in response.getheaders()}
    connection.close()
    return told


def usage(span: ReadableSpan) -> tuple[Any, Any]:
    assert span.attributes is not None
    return span.attributes.get(names.USAGE_INPUT), span.attributes.get(names.USAGE_OUTPUT)


def attributes(span: ReadableSpan) -> Mapping[str, Any]:
    assert span.attributes is not None
    return span.attributes


STREAM = {"stream": True}


@pytest.mark.parametrize(
    ("path", "body", "answer", "expected"),
    [
        ("/v1/chat/completions", CHAT, whole("openai_chat.json"), (23, 71)),
        ("/v1/chat/completions", CHAT | STREAM, streamed("openai_chat.sse"), (19, 12)),
        ("/v1/chat/completions", CHAT | STREAM, streamed("openai_chat_tools.sse"), (19, 12)),
        ("/v1/chat/completions", CHAT | STREAM, streamed("compatible_cumulative.sse"), (19, 8)),
        ("/v1/responses", {"model": "gpt-5-mini", "input": "?"}, whole("openai_responses.json"), (36, 87)),
        ("/v1/responses", {"model": "gpt-5-mini", "input": "?"} | STREAM, streamed("openai_responses.sse"), (36, 87)),
        ("/v1/embeddings", {"model": "gpt-5-mini", "input": "?"}, whole("openai_embeddings.json"), (8, 0)),
        ("/v1/messages", CLAUDE, whole("anthropic_messages.json"), (142, 9)),
        ("/v1/messages", CLAUDE | STREAM, streamed("anthropic_messages.sse"), (142, 9)),
        ("/v1/messages", CLAUDE | STREAM, streamed("anthropic_tools.sse"), (142, 44)),
    ],
    ids=["chat", "stream", "tools", "cumulative", "responses", "responses-stream", "embeddings", "messages",
         "messages-stream", "messages-tools"],
)  # fmt: skip
def test_usage_is_what_the_provider_said(
    running: Running, provider: Provider, path: str, body: dict[str, Any], answer: Answer, expected: tuple[int, int]
) -> None:
    provider.answers = [answer]
    assert ask(running, path, body)[0] == 200
    (span,) = running.span()
    assert usage(span) == expected
    assert names.ESTIMATED not in attributes(span)


@pytest.mark.parametrize("recorded", ["openai_chat_silent.sse", "openai_chat_lying.sse"])
def test_a_provider_that_is_silent_or_lies_is_estimated(running: Running, provider: Provider, recorded: str) -> None:
    provider.answers = [streamed(recorded)]
    assert ask(running, "/v1/chat/completions", CHAT | STREAM)[0] == 200
    (span,) = running.span()
    taken, given = usage(span)
    assert attributes(span)[names.ESTIMATED] is True
    assert taken >= 10
    assert given >= (500 if "lying" in recorded else 8)


def test_a_last_word_that_cannot_be_is_a_reason_for_doubt(running: Running, provider: Provider) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for tokens in (3, 2**62):
            told = {"prompt_tokens": 9, "completion_tokens": tokens}
            event = {"choices": [{"index": 0, "delta": {"content": "Yes. "}}], "usage": told}
            await response.write(f"data: {json.dumps(event)}\n\n".encode())
        await response.write(b"data: [DONE]\n\n")
        return response

    provider.answers = [answer]
    assert ask(running, "/v1/chat/completions", CHAT | STREAM)[0] == 200
    (span,) = running.span()
    assert attributes(span)[names.ESTIMATED] is True
    assert 1 <= usage(span)[1] < 10


def test_parts_that_are_more_than_their_whole_are_not_believed(running: Running, provider: Provider) -> None:
    parts = {"prompt_tokens_details": {"cached_tokens": 400}, "completion_tokens_details": {"reasoning_tokens": 70}}
    told = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8, **parts}

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.json_response({"id": "c", "choices": [{"message": {"content": "Yes."}}], "usage": told})

    provider.answers = [answer]
    ask(running, "/v1/chat/completions", CHAT)
    (span,) = running.span()
    assert attributes(span)[names.ESTIMATED] is True
    assert attributes(span).get(names.USAGE_CACHE_READ, 0) <= usage(span)[0]
    assert attributes(span).get(names.USAGE_REASONING, 0) <= usage(span)[1]


def test_thoughts_that_a_provider_tells_in_the_total_only_are_counted(running: Running, provider: Provider) -> None:
    told = {"prompt_tokens": 9, "completion_tokens": 17, "total_tokens": 1026}

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.json_response({"id": "c", "choices": [{"message": {"content": "Yes."}}], "usage": told})

    provider.answers = [answer]
    ask(running, "/v1/chat/completions", CHAT)
    (span,) = running.span()
    assert usage(span) == (9, 1017)
    assert names.ESTIMATED not in attributes(span)


@pytest.mark.parametrize("picture", [False, True])
def test_a_provider_that_has_read_less_than_was_written_is_not_believed(
    running: Running, provider: Provider, picture: bool
) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        usage = {"prompt_tokens": 90, "completion_tokens": 3}
        return web.json_response({"id": "c", "choices": [{"message": {"content": "Yes."}}], "usage": usage})

    provider.answers = [answer]
    seen = [{"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 100_000}}]
    content: Any = seen if picture else "Is my ticket solved? " * 5000
    ask(running, "/v1/chat/completions", {**CHAT, "messages": [{"role": "user", "content": content}]})
    (span,) = running.span()
    believed = names.ESTIMATED not in attributes(span)
    assert (believed, usage(span)[0] == 90) == (picture, picture), "a picture has many bytes to a token"


def test_the_span_says_who_asked_whom(running: Running, provider: Provider) -> None:
    provider.answers = [whole("openai_chat.json")]
    headers = {"traceparent": f"00-{TRACE}-{SPAN}-01", names.HTTP_WORKFLOW: "wf_1"}
    ask(running, "/v1/chat/completions", CHAT, headers)
    (span,) = running.span()
    assert span.name == "chat gpt-5-mini"
    assert span.context is not None
    assert f"{span.context.trace_id:032x}" == TRACE
    assert span.parent is not None
    assert f"{span.parent.span_id:016x}" == SPAN
    told = attributes(span)
    assert told[names.GEN_AI_AGENT_ID] == "ticket-helper"
    assert told[names.GEN_AI_PROVIDER] == "openai"
    assert told[names.GEN_AI_RESPONSE_MODEL] == "gpt-5-mini-2025-08-07"
    assert (told[names.WORKFLOW], told[names.TEAM]) == ("wf_1", "support")
    assert told[names.USAGE_CACHE_READ], told[names.USAGE_REASONING] == (8, 64)
    assert not any("solved" in str(value) for value in told.values())


def test_an_attempt_that_is_followed_by_another_says_so(running: Running, provider: Provider) -> None:
    provider.answers = [failing(503), failing(503), whole("anthropic_messages.json")]
    status, body, _ = ask(running, "/v1/chat/completions", {**CHAT, "model": "steady"})
    assert status == 200
    assert json.loads(body)["choices"][0]["message"]["content"] == "The ticket is solved."
    spans = running.span(3)
    assert [attributes(s).get(names.SUPERSEDED) for s in spans] == [True, True, None]
    assert [attributes(s)[names.ATTEMPT] for s in spans] == [1, 2, 3]
    assert [usage(s) for s in spans] == [(None, None), (None, None), (142, 9)]


@pytest.mark.parametrize(
    ("answer", "statuses", "attempts"),
    [(failing(404), [404, 404], [None, None]), (failing(429, retry_after="60"), [429, 429], [None, None]),
     (failing(500), [500, 500], [True, None, None])],
    ids=["unknown", "busy", "opened"],
)  # fmt: skip
def test_an_attempt_that_nothing_followed_is_judged(
    running: Running, provider: Provider, answer: Answer, statuses: list[int], attempts: list[bool | None]
) -> None:
    provider.answers = [answer]
    assert [ask(running, "/v1/chat/completions", {**CHAT, "seed": n})[0] for n in range(2)] == statuses
    assert [attributes(span).get(names.SUPERSEDED) for span in running.span(len(attempts))] == attempts


def test_a_request_that_repeats_itself_has_the_same_fingerprint(running: Running, provider: Provider) -> None:
    provider.answers = [whole("openai_chat.json")]
    for history in ([], [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi"}]):
        ask(running, "/v1/chat/completions", {**CHAT, "messages": [*history, *CHAT["messages"]]})  # type: ignore[misc]
    one, other = running.span(2)
    assert attributes(one)[names.REQUEST_HASH] == attributes(other)[names.REQUEST_HASH]
    assert attributes(one)[names.RESULT_HASH] == attributes(other)[names.RESULT_HASH]
