"""A system that shows the request it was asked with shows no agent the gateway's credential."""

import json

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from fusebox import happenings
from gateway.veil import Veil
from tests.fixtures.gateway import Provider, Running, StartGateway
from tests.gateway.test_tools import call

SECRET = "tickets-secret"


async def echo(request: web.Request) -> web.StreamResponse:
    told = {"location": f"/login?token={SECRET}", "x-request-id": f"Bearer {SECRET}"}
    return web.json_response(dict(request.headers), status=500, headers=told)


async def in_pieces(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"content-type": "text/plain"})
    await response.prepare(request)
    for piece in (b"you sent tickets-", b"secret, or tick", b"ets-sec", b"ret and tickets"):
        await response.write(piece)
    await response.write_eof()
    return response


@pytest.mark.parametrize("settings", ["", '[masking.routes."*"]\n'], ids=["piece by piece", "screened"])
def test_an_error_page_with_all_headers_is_shown_without_the_credential(
    gateways: StartGateway, provider: Provider, settings: str
) -> None:
    gateway = gateways(settings)
    provider.answers = [echo]
    before = happenings.counts().get("gateway_credential_echoed", 0)
    response = call(gateway, "GET", "/tools/tickets/7")
    body = response.read()
    assert response.status == 500
    assert SECRET.encode() not in body
    assert json.loads(body)["Authorization"] == f"Bearer {'*' * len(SECRET)}"
    assert SECRET not in str(response.getheaders())
    assert happenings.counts()["gateway_credential_echoed"] > before


def test_it_is_struck_out_where_pieces_part_it(running: Running, provider: Provider) -> None:
    provider.answers = [in_pieces]
    struck = b"*" * len(SECRET)
    assert (
        call(running, "GET", "/tools/tickets/7").read() == b"you sent " + struck + b", or " + struck + b" and tickets"
    )


@given(st.lists(st.sampled_from([b"a", b"ab", b"aab", b"abaabaab", b"b", b"x"])), st.integers(1, 4))
def test_pieces_say_what_the_whole_would(parts: list[bytes], size: int) -> None:
    told = b"".join(parts)
    veil = Veil("tickets", "abaabaab")
    pieces = [veil.piece(told[at : at + size]) for at in range(0, len(told), size)]
    assert b"".join([*pieces, veil.rest()]) == told.replace(b"abaabaab", b"********")


def test_a_short_credential_is_a_word_like_others() -> None:
    assert Veil("tickets", "secret").over("no secret") == "no secret"
