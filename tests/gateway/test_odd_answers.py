"""Answers that are compressed though nobody asked for that, or have a status that is neither an answer nor an error."""

import gzip
import json
import zlib

import pytest
from aiohttp import web

from gateway.upstream import MAX_ANSWER
from tests.fixtures.gateway import RECORDED, Answer, Provider, Running
from tests.gateway.test_ledger import CHAT, ask
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
