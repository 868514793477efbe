"""Answers that are compressed though nobody asked for that, have a status of no kind, or are streams that end badly."""

import asyncio
import gzip
import json
import threading
import zlib
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import openai
import pytest
from aiohttp import web

from fusebox import names
from gateway.upstream import MAX_ANSWER
from tests.fixtures.gateway import RECORDED, Answer, Provider, Running, streamed
from tests.gateway.test_ledger import CHAT, STREAM, ask, attributes, usage
from tests.gateway.test_tools import call
from tests.gateway.test_upstreams import code


def packed(body: bytes) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        assert request.headers["accept-encoding"] == "identity"
        return web.Response(body=body, headers={"content-encoding": "gzip"}, content_type="application/json")

    return answer


def with_status(status: int) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.write(b"HTTP/1.1 %d Odd\r\ncontent-length: 0\r\n\r\n" % status)  # type: ignore[attr-defined]
        request.transport.close()
        return web.Response()

    return answer


def bomb() -> bytes:
    """A body that is a thousand times as long as it looks, and longer than any answer may be."""
    packer, piece = zlib.compressobj(9, zlib.DEFLATED, 31), bytes(1 << 20)
    return b"".join(packer.compress(piece) for _ in range((MAX_ANSWER >> 20) + 8)) + packer.flush()


def test_a_packed_answer_arrives_whole(running: Running, provider: Provider) -> None:
    told = {"pages": ["hello"] * 200}
    provider.answers = [packed(gzip.compress(json.dumps(told).encode()))]
    assert json.loads(call(running, "GET", "/tools/tickets/1").read()) == told
    provider.answers = [packed(gzip.compress((RECORDED / "openai_chat.json").read_bytes()))]
    assert ask(running, "/v1/chat/completions", CHAT)[0] == 200


def test_a_mark_of_the_byte_order_says_nothing(running: Running, provider: Provider) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        body = b"\xef\xbb\xbf" + (RECORDED / "openai_chat.json").read_bytes()
        return web.Response(body=body, content_type="application/json")

    provider.answers = [answer]
    client = openai.OpenAI(base_url=f"{running.url}/v1", api_key=running.key, max_retries=0)
    told: Any = CHAT["messages"]
    assert client.chat.completions.create(model="gpt-5-mini", messages=told).choices[0].message.content


def test_a_packed_answer_without_end_is_given_up(running: Running, provider: Provider) -> None:
    provider.answers = [packed(bomb())]
    status, body, _ = ask(running, "/v1/chat/completions", CHAT)
    assert (status, code(body)) == (502, "answer_too_large")


@pytest.mark.parametrize("status", [201, 204, 206, 600, 999])
def test_a_model_has_an_answer_or_an_error(running: Running, provider: Provider, status: int) -> None:
    provider.answers = [with_status(status)]
    told, body, _ = ask(running, "/v1/chat/completions", CHAT)
    assert (told, code(body)) == (502, "upstream_garbled")


@pytest.mark.parametrize(("status", "told"), [(204, 204), (304, 304), (600, 502)])
def test_a_system_has_its_own_answers(running: Running, provider: Provider, status: int, told: int) -> None:
    provider.answers = [with_status(status)]
    assert call(running, "GET", "/tools/tickets/1").status == told


RESPOND = {"model": "gpt-5-mini", "input": "Is my ticket solved?"} | STREAM
BEGUN = {"type": "response.created", "response": {"id": "resp_1", "status": "in_progress"}}
ERROR = {"type": "error", "code": "server_error", "message": "it broke", "param": None, "sequence_number": 1}


def failed(code: str) -> dict[str, Any]:
    told = {"id": "resp_1", "status": "failed", "error": {"code": code, "message": "it broke"}, "output": []}
    return {"type": "response.failed", "response": told | {"usage": {"input_tokens": 7, "output_tokens": 3}}}


def events(*told: dict[str, Any], then: threading.Event | None = None) -> Answer:
    """A stream of these; all but the first wait for ``then``."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for each in told:
            await response.write(f"event: {each['type']}\ndata: {json.dumps(each)}\n\n".encode())
            if then is not None:
                await asyncio.to_thread(then.wait, 5)
        return response

    return answer


def read_on(running: Running, begun: threading.Event) -> bytes:
    """The stream; ``begun`` is set when its beginning has come."""
    connection = HTTPConnection(urlsplit(running.url).netloc, timeout=10)
    connection.request("POST", "/v1/responses", json.dumps(RESPOND), {"authorization": f"Bearer {running.key}"})
    response = connection.getresponse()
    first = response.read1()
    begun.set()
    return first + response.read()


@pytest.mark.parametrize("first", [ERROR, failed("server_error"), failed("rate_limit_exceeded")])
def test_a_stream_that_begins_with_an_error_is_tried_again(
    running: Running, provider: Provider, first: dict[str, Any]
) -> None:
    provider.answers = [events(first), streamed("openai_responses.sse")]
    status, body, _ = ask(running, "/v1/responses", RESPOND)
    assert status == 200
    assert b"it broke" not in body
    assert b"event: response.completed\n" in body
    assert [attributes(span).get(names.ERROR_TYPE) for span in running.span(2)] == ["upstream_error", None]


def test_a_stream_that_was_asked_for_wrongly_is_not(running: Running, provider: Provider) -> None:
    provider.answers = [events(failed("invalid_prompt"))]
    for _ in range(4):
        status, body, _ = ask(running, "/v1/responses", RESPOND)
        assert (status, code(body)) == (502, "upstream_error"), "its circuit stays closed"
    assert b"it broke" in body
    assert len(provider.seen) == 4


def test_a_stream_ends_with_one_error(running: Running, provider: Provider) -> None:
    begun = threading.Event()
    provider.answers = [events(BEGUN, ERROR, then=begun)]
    body = read_on(running, begun)
    assert body.count(b"event: error\n") == 1
    told = json.loads(body.rpartition(b"data: ")[2])
    assert told["message"] == told["error"]["message"]
    assert "it broke" in told["message"]
    assert attributes(running.span()[0])[names.ERROR_TYPE] == "upstream_error"


def test_a_response_that_failed_says_so_itself(running: Running, provider: Provider) -> None:
    begun = threading.Event()
    provider.answers = [events(BEGUN, failed("server_error"), then=begun)]
    body = read_on(running, begun)
    assert body.count(b"event: ") == 2
    assert body.endswith(json.dumps(failed("server_error")).encode() + b"\n\n"), "as it came, and nothing behind it"
    (span,) = running.span()
    assert attributes(span)[names.ERROR_TYPE] == "upstream_error"
    assert usage(span) == (7, 3)
    assert names.CUT not in attributes(span), "it had its end"
    for _ in range(2):
        ask(running, "/v1/responses", RESPOND)
    assert ask(running, "/v1/responses", RESPOND)[0] == 503, "its circuit has counted"
