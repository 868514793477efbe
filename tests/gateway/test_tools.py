"""Internal systems behind the gateway: the same guards, and credentials that agents never see."""

import json
import math
from http.client import HTTPConnection, HTTPResponse
from urllib.parse import urlsplit

import pytest
from aiohttp import web

from fusebox import names
from tests.fixtures.agents import eventually
from tests.fixtures.gateway import Provider, Running, StartGateway
from tests.gateway.test_ledger import SPAN, TRACE, attributes


async def stored(request: web.Request) -> web.StreamResponse:
    return web.json_response({"id": 7, "text": "stored"}, status=201, headers={"location": "/7", "set-cookie": "s=1"})


async def broken(request: web.Request) -> web.StreamResponse:
    return web.json_response({"oops": 1}, status=500)


def call(
    running: Running, method: str, path: str, *, body: object = None, key: str = "", **headers: str
) -> HTTPResponse:
    connection = HTTPConnection(urlsplit(running.url).netloc, timeout=10)
    told = {name.replace("_", "-"): value for name, value in headers.items()}
    data = body if body is None or isinstance(body, bytes) else json.dumps(body)
    connection.request(method, path, data, {"authorization": f"Bearer {key or running.key}", **told})
    return connection.getresponse()


def test_a_commit_reaches_the_system_with_its_own_credential(running: Running, provider: Provider) -> None:
    provider.answers = [stored]
    trace = f"00-{TRACE}-{SPAN}-01"
    response = call(
        running, "POST", "/tools/tickets/comments?draft=0", body={"text": "hello"}, traceparent=trace,
        content_type="application/json", x_fusebox_agent="somebody-else", cookie="a=b",
    )  # fmt: skip
    assert (response.status, json.loads(response.read())["text"]) == (201, "stored")
    assert response.getheader("location") == "/7"
    assert response.getheader("set-cookie") is None
    (seen,) = provider.seen
    assert (seen.path, seen.query, seen.body) == ("/api/comments", "draft=0", {"text": "hello"})
    headers = {name.lower(): value for name, value in seen.headers.items()}
    assert headers["authorization"] == "Bearer tickets-secret"
    assert headers["x-fusebox-agent"] == "ticket-helper"
    assert "cookie" not in headers
    (span,) = running.span()
    assert (span.name, attributes(span)[names.TARGET]) == ("execute_tool tickets", "POST /comments")
    assert span.context is not None
    assert headers["traceparent"].split("-")[1:3] == [TRACE, f"{span.context.span_id:016x}"]
    assert not any(name.startswith("gen_ai.usage") for name in attributes(span))


def test_who_may_use_which_tool(running: Running, provider: Provider) -> None:
    provider.answers = [stored]
    _, other = running.keys.add("label-bot", team="", models=("*",), tools=("wiki",))
    assert call(running, "GET", "/tools/tickets/1", key=other).status == 403
    assert call(running, "GET", "/tools/wiki/1", key=other).status == 404
    assert call(running, "TRACE", "/tools/tickets/1").status == 405
    assert provider.seen == []


@pytest.mark.parametrize("path", ["../secret", "a/../../secret", "a/%2e%2e/secret", "a\\b", "a/./b", "..;/secret"])
def test_a_path_stays_below_its_system(running: Running, provider: Provider, path: str) -> None:
    assert call(running, "GET", f"/tools/tickets/{path}").status == 400
    assert provider.seen == []


async def gone(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.close()
    return web.Response()


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_a_commit_is_never_tried_again(running: Running, provider: Provider, method: str) -> None:
    provider.answers = [gone]
    response = call(running, method, "/tools/tickets/comments", body={})
    assert (response.status, json.loads(response.read())["error"]["code"]) == (502, "upstream_unavailable")
    assert len(provider.seen) == 1


def test_a_question_is_asked_again_when_its_connection_was_closed(running: Running, provider: Provider) -> None:
    provider.answers = [gone, stored]
    assert call(running, "GET", "/tools/tickets/7").status == 201
    assert len(provider.seen) == 2


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b'{"amount": 1, "to": "us", "amount": 1000000}', "'amount' twice"),
        (b'{"amount": 1, "\\u0061mount": 1000000}', "'amount' twice"),
        (b'{"amount": 1, "amount": "\\u0022", "note": "\\u0022"}', "'amount' twice"),
        (b'{"lines": [{"price": {"net": 1, "net": 2}}]}', "'net' twice"),
        (b"[" * 300 + b"]" * 300, "cannot be read"),
    ],
    ids=["plain", "escaped", "disguised", "nested", "deep"],
)
def test_a_body_that_can_be_read_in_two_ways_goes_nowhere(
    running: Running, provider: Provider, body: bytes, why: str
) -> None:
    response = call(running, "POST", "/tools/tickets/payments", body=body)
    error = json.loads(response.read())["error"]
    assert (response.status, error["code"], why in error["message"]) == (400, "invalid_request", True), error
    assert provider.seen == []


def test_quotes_in_texts_and_bodies_that_are_no_json_are_no_twins(running: Running, provider: Provider) -> None:
    provider.answers = [stored]
    for body in (
        b'{ "text" : "she said \\"hm\\" \\u0022and\\u0022 left", "n": 1e2 }',
        b'{"a": {"x": 1}, "b": {"x": 2}}',
    ):
        assert call(running, "POST", "/tools/tickets/comments", body=body).status == 201
    untyped = call(running, "POST", "/tools/tickets/comments", body=b"{not JSON", content_type="application/json")
    assert untyped.status == 400
    assert [seen.body["b"]["x"] for seen in provider.seen[1:]] == [2]


def test_a_broken_system_is_left_alone(running: Running, provider: Provider) -> None:
    provider.answers = [broken]
    statuses = [call(running, "GET", "/tools/tickets/1").status for _ in range(5)]
    assert statuses == [500, 500, 500, 503, 503]


def test_a_killed_tool_is_refused_and_other_calls_are_not(running: Running, provider: Provider) -> None:
    provider.answers = [stored]
    running.runtime.latch.kill("k1", "tool:tickets", reason="it deletes things")
    response = call(running, "GET", "/tools/tickets/1")
    assert (response.status, json.loads(response.read())["error"]["code"]) == (403, "agent_tripped")
    assert call(running, "GET", "/v1/models").status == 200


def test_a_loop_of_comments_trips_the_agent(running: Running, provider: Provider) -> None:
    provider.answers = [stored]

    def refused() -> bool:
        return call(running, "POST", "/tools/tickets/comments", body={"text": "Any news?"}).status == 403

    eventually(refused, what="the circuit opens")
    assert len(provider.seen) < 30


PASSING = '[providers.files]\nkind = "openai"\nurl = "{url}/v1"\nkey_env = "TEST_OPENAI_KEY"\n'


def test_other_paths_of_a_provider_are_served_where_settings_and_key_allow_it(
    gateways: StartGateway, provider: Provider
) -> None:
    running = gateways(PASSING.format(url=provider.url) + 'passthrough = ["GET", "POST"]\n')
    _, limited = running.keys.add("label-bot", team="", models=("small",), tools=("files",))
    _, other = running.keys.add("wiki-bot", team="", models=("*",), tools=("tickets",))
    provider.answers = [stored]

    told = {"x_fusebox_workflow": "w1", "x_fusebox_agent": "somebody-else"}
    assert call(running, "GET", "/files/v1/batches/7?limit=2", key=limited, **told).status == 201
    assert (provider.seen[0].path, provider.seen[0].query) == ("/v1/batches/7", "limit=2")
    assert provider.seen[0].headers["Authorization"] == "Bearer openai-secret"
    (span,) = running.span()
    assert (span.name, attributes(span)[names.TARGET]) == ("execute_tool files", "GET /v1/batches/7")

    sent = {name.lower() for name in provider.seen[0].headers}
    assert not any(name.startswith("x-fusebox") for name in sent), "a provider is not told who our agents are"
    assert "traceparent" not in sent

    large = {"model": "large", "prompt": "?"}
    assert call(running, "POST", "/files/v1/completions", body={**large, "model": "small"}, key=limited).status == 201
    refused = [
        call(running, "POST", "/files/v1/completions", body=large, key=limited),
        call(running, "DELETE", "/files/v1/files/7", key=limited),
        call(running, "GET", "/files/v1/files/7", key=other),
        call(running, "GET", "/openai/v1/files", key=running.key),
        call(running, "GET", "/files/v1/../admin", key=limited),
        call(running, "POST", "/files/v1/completions", body={**large, "top_p": math.nan}, key=limited),
        call(running, "POST", "/files/v1/Chat/Completions/", body={"messages": []}, key=limited),  # a model call
    ]
    codes = [json.loads(answer.read())["error"]["code"] for answer in refused]
    assert codes == [
        "model_not_allowed", "method_not_allowed", "tool_not_allowed", "tool_not_found", "invalid_request",
        "invalid_request", "invalid_request",
    ]  # fmt: skip
    assert len(provider.seen) == 2


def test_a_body_in_which_no_model_can_be_checked_needs_a_key_for_every_model(
    gateways: StartGateway, provider: Provider
) -> None:
    running = gateways(PASSING.format(url=provider.url) + 'passthrough = ["POST"]\n')
    _, limited = running.keys.add("label-bot", team="", models=("small",), tools=("files",))
    form = b'--x\r\ncontent-disposition: form-data; name="model"\r\n\r\nlarge\r\n--x--\r\n'
    multipart = {"content_type": "multipart/form-data; boundary=x"}
    batch = {"requests": [{"custom_id": "1", "params": {"model": "small"}}, {"params": {"model": "large"}}]}
    refused = [
        call(running, "POST", "/files/v1/audio/transcriptions", body=form, key=limited, **multipart),
        call(running, "POST", "/files/v1/batches", body={"input_file_id": "file-1"}, key=limited),
        call(running, "POST", "/files/v1/messages/batches", body=batch, key=limited),
    ]
    errors = [json.loads(answer.read())["error"] for answer in refused]
    assert [error["code"] for error in errors] == ["model_not_allowed"] * 3
    assert "key for every model" in errors[0]["message"]
    assert provider.seen == []

    async def taken(request: web.Request) -> web.StreamResponse:
        return web.json_response({"read": len(await request.read())})

    provider.answers = [taken]
    batch["requests"].pop()
    assert call(running, "POST", "/files/v1/messages/batches", body=batch, key=limited).status == 200
    assert call(running, "POST", "/files/v1/batches/7/cancel", key=limited).status == 200
    assert call(running, "POST", "/files/v1/batches", body={"input_file_id": "file-1"}).status == 200


def test_a_deployment_in_a_path_is_a_model(gateways: StartGateway, provider: Provider) -> None:
    azure = f'[providers.files]\nkind = "azure"\nurl = "{provider.url}"\napi_version = "2024-10-21"\n'
    running = gateways(azure + 'key_env = "TEST_OPENAI_KEY"\npassthrough = ["POST"]\n')
    _, limited = running.keys.add("label-bot", team="", models=("small",), tools=("files",))
    provider.answers = [stored]
    body = {"model": "small", "messages": [{"role": "user", "content": "hello"}]}
    codes = []
    for path in ("openai/deployments/large/chat/completions", "OpenAI/Deployments/large/images/generations"):
        refused = call(running, "POST", f"/files/{path}", body=body, key=limited)
        codes.append(json.loads(refused.read())["error"]["code"])
    assert codes == ["model_not_allowed", "model_not_allowed"]
    allowed = "openai/deployments/small/images/generations"
    assert call(running, "POST", f"/files/{allowed}", body=body, key=limited).status == 201
    assert [seen.path for seen in provider.seen] == [f"/{allowed}"]
