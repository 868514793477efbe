"""A screen changes what it must and leaves every other byte; what may be text is read, whatever it is called."""

from collections.abc import Iterator

import pytest
from aiohttp import web

from fusebox import happenings
from tests.fixtures.gateway import Answer, Provider, Running, StartGateway, factory
from tests.gateway import test_screen
from tests.gateway.test_ledger import CHAT, STREAM, ask
from tests.gateway.test_screen import MAIL
from tests.gateway.test_slots import events
from tests.gateway.test_tools import call
from tests.gateway.test_upstreams import code

PICTURE = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(range(256))
GUARDED = '[masking.routes."*"]\n[filter]\n'
Seen = list[tuple[str, bytes]]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, Provider]]:
    provider = Provider()
    with factory(tmp_path_factory.mktemp("bytes"), provider) as make:
        yield make(GUARDED), provider
    provider.stop()


provider, guarded = test_screen.provider, test_screen.guarded


@pytest.fixture
def seen(provider: Provider) -> Iterator[Seen]:
    found: Seen = []

    async def answer(request: web.Request) -> web.StreamResponse:
        found.append((request.query_string, await request.read()))
        return web.Response(status=201)

    provider.answers, provider.reads_json = [answer], False
    yield found
    provider.reads_json = True


def said(body: bytes, kind: str) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(body=body, headers={"content-type": kind} if kind else {})

    return answer


@pytest.mark.parametrize("body", [
    PICTURE, b'{"id":  123456789012345678901234567890, "rate": 1.10}', "Grüße".encode("latin-1"), b"a=1&b=%20",
])  # fmt: skip
def test_what_holds_nothing_leaves_as_it_came(guarded: Running, seen: Seen, body: bytes) -> None:
    assert call(guarded, "PUT", "/tools/tickets/7?a=1&b", body=body).status == 201
    assert seen == [("a=1&b", body)]


def test_what_holds_something_is_changed_there_only(guarded: Running, seen: Seen) -> None:
    call(guarded, "PUT", "/tools/tickets/7", body=f"Grüße, {MAIL}!".encode("latin-1"))
    (sent,) = seen
    assert sent[1].startswith("Grüße, <EMAIL_".encode("latin-1"))
    assert sent[1].endswith(b">!")


@pytest.mark.parametrize("kind", ["", "application/octet-stream", "application/sql", "application/json", "text/csv"])
def test_an_answer_is_read_whatever_it_is_called(guarded: Running, provider: Provider, kind: str) -> None:
    provider.answers = [said(f'{{"owner": "{MAIL}"}}'.encode(), kind)]
    body = call(guarded, "GET", "/tools/tickets/7").read()
    assert body.startswith(b'{"owner":')
    assert MAIL.encode() not in body


@pytest.mark.parametrize("kind", ["", "image/png", "application/octet-stream"])
def test_a_picture_comes_as_it_is(guarded: Running, provider: Provider, kind: str) -> None:
    provider.answers = [said(PICTURE, kind)]
    assert call(guarded, "GET", "/tools/tickets/7").read() == PICTURE


@pytest.mark.parametrize("kind", ["text/plain; charset=utf-16", "application/octet-stream"])
def test_a_text_that_cannot_be_read_is_not_let_in(guarded: Running, provider: Provider, kind: str) -> None:
    provider.answers = [said(MAIL.encode("utf-16"), kind)]
    response = call(guarded, "GET", "/tools/tickets/7")
    assert (response.status, code(response.read())) == (502, "upstream_garbled")


@pytest.mark.parametrize(("name", "value"), [
    ("location", f"/users?who={MAIL}"), ("location", f"/users/{MAIL.replace('@', '%40')}"), ("etag", f'"{MAIL}"'),
    ("location", f"https://evil.test/?{'a' * 201}"), ("content-type", f"image/png; of={MAIL}"),
])  # fmt: skip
@pytest.mark.parametrize("body", [b"moved", PICTURE])
def test_a_header_that_may_not_come_back_is_left_out(
    guarded: Running, provider: Provider, name: str, value: str, body: bytes
) -> None:
    async def moved(request: web.Request) -> web.StreamResponse:
        told = {"content-type": "image/png", "last-modified": "Tue, 15 Nov 1994 12:45:26 GMT", name: value}
        return web.Response(status=201, body=body, headers=told)

    provider.answers = [moved]
    before = happenings.counts().get("gateway_header_withheld", 0)
    response = call(guarded, "GET", "/tools/tickets/7")
    assert (response.status, response.getheader(name)) == (201, None)
    assert response.getheader("last-modified") == "Tue, 15 Nov 1994 12:45:26 GMT"
    assert happenings.counts().get("gateway_header_withheld", 0) == before + 1


def test_a_harmless_header_comes_back(guarded: Running, provider: Provider) -> None:
    told = {
        "location": "https://tickets.test/8?x=1",
        "etag": 'W/"5d8c72a5edda8d6a"',
        "content-type": "text/csv; header=x",
    }

    async def moved(request: web.Request) -> web.StreamResponse:
        return web.Response(status=201, headers=told)

    provider.answers = [moved]
    response = call(guarded, "GET", "/tools/tickets/7")
    assert {name: response.getheader(name) for name in told} == told


def test_no_address_carries_a_value_to_a_provider(guarded: Running, provider: Provider) -> None:
    status, body, _ = ask(guarded, f"/openai/v1/chat/completions?user={MAIL.replace('@', '%40')}", CHAT)
    assert (status, code(body), provider.seen) == (400, "invalid_request", [])


def test_a_querys_values_are_arguments_by_their_names(guarded: Running, seen: Seen) -> None:
    assert call(guarded, "GET", "/tools/tickets/7?name=users&state=open").status == 201
    assert call(guarded, "GET", "/tools/tickets/7?sql=DROP+TABLE+users").status == 403
    assert call(guarded, "GET", f"/tools/tickets/7?to={MAIL}&to=x").status == 201
    assert seen[0][0] == "name=users&state=open"
    assert seen[1][0].startswith("to=<EMAIL_")
    assert seen[1][0].endswith(">&to=x")


def test_a_value_in_a_path_is_refused_and_in_no_log(
    guarded: Running, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        response = call(guarded, "GET", f"/tools/tickets/{MAIL}")
    assert (response.status, code(response.read()), provider.seen) == (400, "invalid_request", [])
    (line,) = [line for line in caplog.messages if "gateway_refused" in line]
    assert MAIL not in line
    assert "/tools/tickets" in line


@pytest.mark.parametrize("choices", [[None], "x", {"a": 1}, [{"delta": [1]}], [5]])
def test_a_stream_of_no_known_shape_is_the_upstreams_fault(
    gateways: StartGateway, provider: Provider, choices: object
) -> None:
    provider.answers = [events({"choices": choices}, end=b"data: [DONE]\n\n")]
    status, body, _ = ask(gateways(), "/v1/chat/completions", CHAT | STREAM)
    assert status == 200 or code(body) == "upstream_garbled"
