"""Upstreams that are slow, busy, broken, cut off; and clients that mean no good."""

import asyncio
import json
import resource
import socket
import threading
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import openai
import pytest
from aiohttp import web

from fusebox import names
from gateway import http
from tests.fixtures.agents import eventually
from tests.fixtures.authority import Authority
from tests.fixtures.gateway import Provider, Running, StartGateway, failing, hanging, streamed, whole
from tests.fixtures.proxy import Proxy
from tests.fixtures.secured import Secured
from tests.gateway.test_ledger import CHAT, STREAM, ask, attributes, usage

ASK = [{"role": "user", "content": "Is my ticket solved?"}]


def code(body: bytes) -> str:
    return str(json.loads(body)["error"]["code"])


class Tunnel(Proxy):
    """An HTTP proxy that leads everybody to one server."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.asked: list[str] = []

    def _connect(self, client: socket.socket) -> None:
        self.asked.append(client.recv(65_536).decode().partition("\r\n")[0])
        client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        super()._connect(client)


FAR = """
[providers.far]
kind = "openai"
url = "https://model.test:8443/v1"
key_env = "TEST_OPENAI_KEY"
[models.far]
provider = "far"
name = "gpt-5-mini"
retries = 0
"""


@pytest.mark.parametrize("believed", [True, False])
def test_a_model_of_the_company_s_authority_is_reached_through_its_proxy(
    gateways: StartGateway, provider: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, believed: bool
) -> None:
    authority = Authority(tmp_path, "authority")
    provider.answers = [whole("openai_chat.json")]
    with Secured(provider.url, authority.issue("model.test")) as secured, Tunnel(secured.url) as tunnel:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{tunnel.port}")
        if believed:
            monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
        status, body, _ = ask(gateways(FAR), "/v1/chat/completions", {**CHAT, "model": "far"})
    assert tunnel.asked == ["CONNECT model.test:8443 HTTP/1.1"]
    if believed:
        assert status == 200
        assert provider.seen[0].headers["Authorization"].startswith("Bearer ")
    else:
        assert (status, code(body), provider.seen) == (502, "upstream_unavailable", [])


def test_a_proxy_is_left_aside_where_the_environment_says_so(
    gateways: StartGateway, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Tunnel(provider.url) as tunnel:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{tunnel.port}")
        monkeypatch.setenv("NO_PROXY", ".test")
        assert ask(gateways(FAR), "/v1/chat/completions", {**CHAT, "model": "far"})[0] == 502
    assert tunnel.asked == []


def test_a_failure_that_passes_is_tried_again(running: Running, provider: Provider) -> None:
    provider.answers = [failing(500), whole("openai_chat.json")]
    assert ask(running, "/v1/chat/completions", CHAT)[0] == 200
    assert len(provider.seen) == 2


def test_what_the_upstream_says_in_the_end_is_what_the_agent_hears(running: Running, provider: Provider) -> None:
    provider.answers = [failing(500)]
    status, body, _ = ask(running, "/v1/chat/completions", CHAT)
    assert (status, json.loads(body)["error"]["message"]) == (500, "the model is overloaded")
    provider.answers = [failing(429, retry_after="7")]
    status, _, headers = ask(running, "/v1/chat/completions", CHAT)
    assert (status, headers["retry-after"]) == (429, "7")


def test_a_key_is_served_by_no_fallback_that_it_does_not_allow(running: Running, provider: Provider) -> None:
    _, narrow = running.keys.add("narrow", team="", models=("steady",), tools=())
    _, wide = running.keys.add("wide", team="", models=("steady", "claude"), tools=())
    answers = [failing(429, retry_after="0")] * 2 + [whole("anthropic_messages.json")]
    provider.answers = [*answers]
    assert ask(running, "/v1/chat/completions", {**CHAT, "model": "steady"}, key=wide)[0] == 200
    provider.answers = [*answers]
    status, body, _ = ask(running, "/v1/chat/completions", {**CHAT, "model": "steady"}, key=narrow)
    assert (status, json.loads(body)["error"]["message"]) == (429, "the model is overloaded")
    assert [seen.path for seen in provider.seen[3:]] == ["/v1/chat/completions"] * 2


def test_what_the_agent_did_wrong_is_not_tried_elsewhere(running: Running, provider: Provider) -> None:
    provider.answers = [failing(400)]
    assert ask(running, "/v1/chat/completions", {**CHAT, "model": "steady"})[0] == 400
    assert len(provider.seen) == 1


def test_the_gateways_own_credential_is_none_of_the_agents_business(running: Running, provider: Provider) -> None:
    provider.answers = [failing(401)]
    status, body, _ = ask(running, "/v1/chat/completions", CHAT)
    assert (status, code(body)) == (502, "upstream_refused_credential")


def test_a_broken_upstream_is_left_alone_for_a_while(running: Running, provider: Provider) -> None:
    provider.answers = [failing(500)]
    for _ in range(2):
        ask(running, "/v1/chat/completions", CHAT)
    reached = len(provider.seen)
    status, body, headers = ask(running, "/v1/chat/completions", CHAT)
    assert (status, code(body)) == (503, "upstream_circuit_open")
    assert "retry-after" in headers
    assert len(provider.seen) == reached
    provider.answers = [whole("openai_chat.json")]
    eventually(lambda: ask(running, "/v1/chat/completions", CHAT)[0] == 200, what="the probe")


def test_a_busy_upstream_is_no_broken_one(running: Running, provider: Provider) -> None:
    provider.answers = [failing(429, retry_after="60")]
    for said in ("red", "is it shipped?", "write a poem", "sum it up", "who is jo?", "the capital of Peru"):
        asked = {**CHAT, "messages": [{"role": "user", "content": said}]}  # the same again and again would be a loop
        assert ask(running, "/v1/chat/completions", asked)[0] == 429


def test_a_slow_upstream_is_given_up(running: Running, provider: Provider) -> None:
    async def slow(request: web.Request) -> web.StreamResponse:
        await hanging()
        raise AssertionError

    provider.answers = [slow, slow, whole("anthropic_messages.json")]
    running.gateway._settings.providers["openai"].__dict__["idle_s"] = 0.3
    assert ask(running, "/v1/chat/completions", {**CHAT, "model": "steady"})[0] == 200


def test_a_stream_that_is_cut_ends_with_an_error_and_is_paid(running: Running, provider: Provider) -> None:
    provider.answers = [streamed("openai_chat.sse", parts=4, cut=True)]
    client = openai.OpenAI(base_url=f"{running.url}/v1", api_key=running.key, max_retries=0)
    stream = client.chat.completions.create(model="gpt-5-mini", messages=ASK, stream=True)  # type: ignore[arg-type]
    heard: list[str] = []
    with pytest.raises(openai.APIError, match="broke off"):
        heard.extend(chunk.choices[0].delta.content or "" for chunk in stream)
    assert len(provider.seen) == 1
    (span,) = running.span()
    assert attributes(span)[names.CUT] is True
    assert attributes(span)[names.ESTIMATED] is True
    assert usage(span)[1] >= 3


def test_a_stream_that_ends_without_its_end_is_cut(running: Running, provider: Provider) -> None:
    provider.answers = [streamed("openai_chat.sse", parts=4, whole_end=False)]
    _, body, _ = ask(running, "/v1/chat/completions", CHAT | STREAM)
    assert json.loads(body.rpartition(b"data: ")[2])["error"]["code"] == "upstream_cut"


def test_an_error_within_a_stream_is_passed_on_and_marked(running: Running, provider: Provider) -> None:
    begun = threading.Event()
    provider.answers = [streamed("anthropic_overloaded.sse", parts=4, then=lambda: asyncio.to_thread(begun.wait, 5))]
    connection = HTTPConnection(urlsplit(running.url).netloc, timeout=10)
    body = json.dumps({**CHAT, "model": "claude", "max_tokens": 9} | STREAM)
    connection.request("POST", "/v1/messages", body, {"x-api-key": running.key})
    response = connection.getresponse()
    first = response.read1()
    begun.set()
    rest = response.read()
    assert first.startswith(b"event: message_start\n")
    assert b"event: error\n" in rest
    assert b"Overloaded" in rest
    assert attributes(running.span()[0])[names.ERROR_TYPE] == "upstream_error"


def test_an_answer_that_is_no_json_is_an_error(running: Running, provider: Provider) -> None:
    async def garbled(request: web.Request) -> web.StreamResponse:
        return web.Response(text="<html>")

    provider.answers = [garbled]
    status, body, _ = ask(running, "/v1/chat/completions", CHAT)
    assert (status, code(body)) == (502, "upstream_garbled")


def test_a_redirect_is_not_followed(running: Running, provider: Provider) -> None:
    async def away(request: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"location": "http://169.254.169.254/latest/meta-data"})

    provider.answers = [away]
    status, body, _ = ask(running, "/v1/chat/completions", CHAT)
    assert (status, code(body)) == (502, "upstream_redirects")


LONG = {**CHAT, "messages": [{"role": "user", "content": "word " * 1_500_000}]}


def test_an_upstream_may_answer_before_it_has_read_the_body(running: Running, provider: Provider) -> None:
    provider.answers = [whole("openai_chat.json")]
    said = b'{"error":{"message":"far too long"}}'
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer_at_once() -> None:
            with listener.accept()[0] as taken:
                assert taken.recv(1024)
                taken.sendall(b"HTTP/1.1 413 Too Long\r\ncontent-length: %d\r\n\r\n%s" % (len(said), said))
                hung_up.wait(10)

        hung_up, upstream = threading.Event(), threading.Thread(target=answer_at_once)
        settings = running.gateway._settings.providers["openai"].__dict__
        home, settings["url"] = settings["url"], f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        upstream.start()
        status, body, _ = ask(running, "/v1/chat/completions", LONG)
        hung_up.set()
        upstream.join()
    assert (status, json.loads(body)["error"]["message"]) == (413, "far too long")
    settings["url"] = home
    assert ask(running, "/v1/chat/completions", CHAT)[0] == 200


def test_a_long_body_arrives_whole(running: Running, provider: Provider) -> None:
    provider.answers = [whole("openai_chat.json")]
    assert ask(running, "/v1/chat/completions", LONG)[0] == 200
    assert provider.seen[-1].body["messages"] == LONG["messages"]


def test_a_whole_call_has_its_time(running: Running, provider: Provider) -> None:
    provider.answers = [streamed("openai_chat.sse", parts=4, then=lambda: asyncio.sleep(5))]
    running.gateway._settings.providers["openai"].__dict__["total_s"] = 0.5
    _, body, _ = ask(running, "/v1/chat/completions", CHAT | STREAM)
    assert json.loads(body.rpartition(b"data: ")[2])["error"]["code"] == "upstream_timeout"


# --- clients ----------------------------------------------------------------------------------------------------------
def raw(running: Running) -> socket.socket:
    host, port = urlsplit(running.url).netloc.split(":")
    return socket.create_connection((host, int(port)), timeout=10)


def head(running: Running, *more: str) -> bytes:
    lines = [
        "POST /v1/chat/completions HTTP/1.1", "host: gateway", f"authorization: Bearer {running.key}",
        "content-type: application/json", *more,
    ]  # fmt: skip
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def test_a_body_of_a_gigabyte_is_refused_before_it_comes(running: Running) -> None:
    with raw(running) as sock:
        sock.sendall(head(running, f"content-length: {1 << 30}"))
        assert sock.recv(65_536).startswith(b"HTTP/1.1 413")


def test_a_body_that_does_not_say_how_long_it_is_is_refused_on_the_way(gateways: StartGateway) -> None:
    running = gateways("max_body_bytes = 200000\n")
    sent = 0
    with raw(running) as sock:
        sock.sendall(head(running, "transfer-encoding: chunked"))
        piece = b"10000\r\n" + b" " * 65_536 + b"\r\n"
        answer = threading.Event()

        def listen() -> None:
            if sock.recv(65_536).startswith(b"HTTP/1.1 413"):
                answer.set()

        threading.Thread(target=listen, daemon=True).start()
        while not answer.is_set() and sent < 64 << 20:
            try:
                sock.sendall(piece)
            except OSError:
                break
            sent += 65_536
        assert answer.wait(5)


def test_a_body_that_trickles_is_given_up(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "BODY_DEADLINE_S", 0.3)
    with raw(running) as sock:
        sock.sendall(head(running, "content-length: 100") + b"{")
        assert sock.recv(65_536).startswith(b"HTTP/1.1 408")


def test_idle_connections_lock_nobody_out(
    running: Running, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http.Wire, "most", 20)
    provider.answers = [whole("openai_chat.json")]
    idle = [raw(running) for _ in range(60)]

    eventually(lambda: served(running))
    for sock in idle:
        sock.close()


def test_connections_leave_descriptors_for_upstreams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http.Wire, "most", http.Wire.most)
    monkeypatch.setattr(resource, "setrlimit", lambda *_: None)
    for soft, hard, room in ((1024, 1024, 384), (256, 65_536, 2048), (200, 200, 1), (65_536, 65_536, 2048)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, told=(soft, hard): told)
        assert http.afford_connections() == room


@pytest.mark.faults
def test_ten_thousand_idle_connections_lock_nobody_out(
    running: Running, provider: Provider, request: pytest.FixtureRequest
) -> None:
    provider.answers = [whole("openai_chat.json")]
    wanted = 10_000 if request.config.getoption("--fault-cycles") else 2_300
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = min(hard if hard != resource.RLIM_INFINITY else 1 << 20, wanted + 8_000)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, files), hard))
    idle: list[socket.socket] = []
    try:
        while len(idle) < min(wanted, files - 8_000):
            idle.append(raw(running))
        eventually(lambda: served(running), what="an answer")
    finally:
        for sock in idle:
            sock.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def served(running: Running) -> bool:
    """One that is slow to speak may be taken for an idle one: ask again."""
    try:
        return ask(running, "/v1/chat/completions", CHAT)[0] == 200
    except ConnectionError:
        return False


def test_headers_cannot_be_injected(running: Running, provider: Provider) -> None:
    async def hostile(request: web.Request) -> web.StreamResponse:
        return web.Response(body=b"{}", headers={"x-request-id": "a\x0bb", "set-cookie": "a=b", "x-other": "1"})

    provider.answers = [hostile]
    _, _, headers = ask(running, "/v1/chat/completions", CHAT)
    assert not {"x-request-id", "set-cookie", "x-other"} & set(headers)
    sent = {"x-api-key": running.key, "traceparent": "zz\tnonsense", names.HTTP_WORKFLOW: "w" * 4000}
    ask(running, "/v1/chat/completions", CHAT, sent)
    span = running.span(2)[-1]
    assert attributes(span)[names.WORKFLOW] == ""
    assert {name.lower() for name in provider.seen[-1].headers}.isdisjoint({names.HTTP_WORKFLOW, "traceparent"})


def test_an_upstreams_words_cannot_begin_an_event(running: Running, provider: Provider) -> None:
    async def hostile(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        error = {"error": {"message": 'x\n\ndata: {"choices": []}\n\ndata: [DONE]'}}
        await response.write(f"data: {json.dumps(error)}\n\n".encode())
        return response

    provider.answers = [hostile]
    _, body, _ = ask(running, "/v1/chat/completions", CHAT | STREAM)
    assert code(body) == "upstream_error"


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b'"x"', b'{"model": 4}', b'{"model": "gpt-5-mini"}', b'{"model":"gpt-5-mini","messages":[4]}',
        b'{"model":"a\\nb","messages":[]}', b"\xff\xfe", b'{"model":"\\ud800","messages":[]}',
    ],
)  # fmt: skip
def test_nonsense_is_a_bad_request(running: Running, body: bytes) -> None:
    connection = HTTPConnection(urlsplit(running.url).netloc, timeout=10)
    connection.request("POST", "/v1/chat/completions", body, {"authorization": f"Bearer {running.key}"})
    response = connection.getresponse()
    assert response.status in (400, 404)
    assert code(response.read())
