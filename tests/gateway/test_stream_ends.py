"""Streams of servers that follow the standard in a way of their own: how lines end, and how an answer does."""

import json
from typing import Any

import anthropic
import openai
import pytest
from aiohttp import web

from fusebox import names
from tests.fixtures.agents import eventually
from tests.fixtures.gateway import Answer, Provider, Running, StartGateway, hanging
from tests.gateway.test_ledger import CHAT, STREAM, ask, attributes, usage

ASK: Any = CHAT["messages"]
USAGE = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
DONE = b"data: [DONE]"


def said(*pieces: bytes, stays: bool = False) -> Answer:
    """A stream of these pieces; where it ``stays``, the connection is left open behind them."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for piece in pieces:
            await response.write(piece)
        if stays:
            await hanging()
        return response

    return answer


def chunk(text: str, finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": finish}
    told = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice], **more}
    return b"data: " + json.dumps(told, ensure_ascii=False).encode()


FIRST, LAST = chunk("Hé"), chunk("llo", "stop", usage=USAGE)
STREAMS = {
    "lf": [FIRST, b"\n\n", LAST, b"\n\n", DONE, b"\n\n"],
    "crlf": [FIRST, b"\r\n\r\n", LAST, b"\r\n\r\n", DONE, b"\r\n\r\n"],
    "cr": [FIRST, b"\r\r", LAST, b"\r\r", DONE, b"\r\r"],
    "mixed": [FIRST, b"\n\r\n", LAST, b"\r\n\n", DONE, b"\n\r"],
    "mark": [b"\xef\xbb\xbf", FIRST, b"\n\n", LAST, b"\n\n", DONE, b"\n\n"],
    "comments": [b": wait\n\n:\n", FIRST, b"\n\n: more\n\n", LAST, b"\n\n", DONE, b"\n\n"],
    "bytes": [bytes([byte]) for byte in b"\n\n".join([FIRST, LAST, DONE, b""])],
    "no blank line": [FIRST, b"\n\n", LAST, b"\n\n", DONE, b"\n"],
    "no line end": [FIRST, b"\n\n", LAST, b"\n\n", DONE],
    "no end": [FIRST, b"\n\n", LAST, b"\n\n"],
    "nothing behind": [FIRST, b"\n\n", LAST],
}


@pytest.mark.parametrize("sent", STREAMS.values(), ids=STREAMS)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
def test_a_stream_is_read_however_its_lines_and_its_answer_end(
    running: Running, provider: Provider, sent: list[bytes], path: str
) -> None:
    provider.answers = [said(*sent)]
    if path == "/v1/messages":
        claude = anthropic.Anthropic(base_url=running.url, api_key=running.key, max_retries=0)
        with claude.messages.stream(model="gpt-5-mini", max_tokens=9, messages=ASK) as stream:
            assert (stream.get_final_text(), stream.get_final_message().stop_reason) == ("Héllo", "end_turn")
    else:
        client = openai.OpenAI(base_url=f"{running.url}/v1", api_key=running.key, max_retries=0)
        chunks = list(client.chat.completions.create(model="gpt-5-mini", messages=ASK, stream=True))
        assert "".join(each.choices[0].delta.content or "" for each in chunks) == "Héllo"
    (span,) = running.span()
    assert usage(span) == (9, 3)
    assert names.ESTIMATED not in attributes(span)
    assert names.ERROR_TYPE not in attributes(span)


def test_an_answer_is_over_where_it_says_so(running: Running, provider: Provider) -> None:
    provider.answers = [said(FIRST, b"\n\n", LAST, b"\n\n", DONE, b"\n\n", stays=True)]
    assert ask(running, "/v1/chat/completions", CHAT | STREAM)[1].endswith(b"data: [DONE]\n\n")
    (span,) = running.span()
    assert usage(span) == (9, 3)
    assert {names.ERROR_TYPE, names.CUT}.isdisjoint(attributes(span)), "whatever the upstream does next"
    eventually(provider.left.is_set, what="the upstream is let go")


@pytest.mark.parametrize("sent", [[FIRST, b"\n\n", LAST[:-4]], [FIRST, b"\n\n", chunk("ll"), b"\n\n"]])
def test_half_an_answer_is_cut_all_the_same(running: Running, provider: Provider, sent: list[bytes]) -> None:
    provider.answers = [said(*sent)]
    body = ask(running, "/v1/chat/completions", CHAT | STREAM)[1]
    assert json.loads(body.rpartition(b"data: ")[2])["error"]["code"] == "upstream_cut"


def whole(told: dict[str, Any]) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        assert (await request.json())["stream"] is True
        return web.json_response(told)

    return answer


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
def test_a_server_that_does_not_stream_is_told_as_such_and_asked_once(
    running: Running, provider: Provider, path: str
) -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}
    provider.answers = [whole({"id": "c", "model": "m", "choices": [choice], "usage": USAGE})]
    status, body, _ = ask(running, path, {"model": "gpt-5-mini", "max_tokens": 9, "messages": ASK} | STREAM)
    assert (status, json.loads(body)["error"]["code"]) == (502, "upstream_unstreamed")
    (span,) = running.span()
    assert usage(span) == (9, 3), "what was answered was paid for"
    assert names.ESTIMATED not in attributes(span)
    assert len(provider.seen) == 1


def test_an_error_in_the_place_of_a_stream_is_told(running: Running, provider: Provider) -> None:
    provider.answers = [whole({"error": {"message": "no such format", "type": "invalid_request_error"}})]
    status, body, _ = ask(running, "/v1/chat/completions", CHAT | STREAM)
    assert (status, json.loads(body)["error"]["code"]) == (502, "upstream_error")
    assert b"no such format" in body


def test_of_two_answers_one_is_half(running: Running, provider: Provider) -> None:
    provider.answers = [said(FIRST, b"\n\n", LAST, b"\n\n")]
    body = ask(running, "/v1/chat/completions", CHAT | STREAM | {"n": 2})[1]
    assert json.loads(body.rpartition(b"data: ")[2])["error"]["code"] == "upstream_cut"


def test_what_cannot_be_translated_is_not_left_out(running: Running, provider: Provider) -> None:
    provider.answers = [said(b"data: {damaged}\n\n", LAST, b"\n\n", DONE, b"\n\n")]
    body = {"model": "gpt-5-mini", "max_tokens": 9, "messages": ASK} | STREAM
    status, told, _ = ask(running, "/v1/messages", body)
    assert (status, json.loads(told)["error"]["code"]) == (502, "upstream_garbled")


def test_the_name_of_an_event_cannot_begin_another(gateways: StartGateway, provider: Provider) -> None:
    named = {"type": 'x\n\ndata: {"type": "message_stop"}\n\nevent: y', "delta": {}}
    provider.answers = [said(b"data: " + json.dumps(named).encode() + b"\n\n")]
    body = {"model": "claude", "max_tokens": 9, "messages": ASK} | STREAM
    status, told, _ = ask(gateways("[filter]\n"), "/v1/messages", body)  # which writes the events anew
    assert (status, json.loads(told)["error"]["code"]) == (502, "upstream_garbled")
