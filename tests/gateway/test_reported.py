"""Errors that an upstream reports with HTTP status 200."""

import json
from typing import Any

import pytest

from fusebox import names
from tests.fixtures.gateway import Provider, Running, StartGateway, whole
from tests.gateway.test_failing import PIXEL, refusing
from tests.gateway.test_ledger import CHAT, CLAUDE, STREAM, ask, attributes, usage
from tests.gateway.test_stream_ends import said

Json = dict[str, Any]
RESPOND: Json = {"model": "gpt-5-mini", "input": "Is my ticket solved?"}
FAILED: Json = {"id": "r", "object": "response", "status": "failed", "output": []}
WHOLE: list[tuple[str, Json, Json]] = [
    ("/v1/chat/completions", CHAT, {"error": {"message": "it broke", "code": 502}}),
    ("/v1/chat/completions", CHAT, {"error": "it broke"}),
    ("/v1/chat/completions", CHAT, {"object": "error", "message": "it broke", "code": 500}),
    ("/v1/messages", CLAUDE, {"type": "error", "error": {"type": "overloaded_error", "message": "it broke"}}),
    ("/v1/responses", RESPOND, {**FAILED, "error": {"code": "server_error", "message": "it broke"}}),
]


@pytest.mark.parametrize(("path", "body", "told"), WHOLE, ids=["object", "text", "flat", "anthropic", "responses"])
def test_an_error_with_status_200_is_an_error(
    running: Running, provider: Provider, path: str, body: Json, told: Json
) -> None:
    provider.answers = [refusing(told, 200)]
    status, answer, _ = ask(running, path, body)
    error = json.loads(answer)["error"]
    assert (status, error["code"], error["message"]) == (
        502, "upstream_error", "the upstream reports an error: it broke",
    )  # fmt: skip
    assert attributes(running.span()[-1])[names.ERROR_TYPE] == "upstream_error"
    for _ in range(2):
        ask(running, path, body)
    assert ask(running, path, body)[0] == 503, "its circuit has counted"


def test_another_attempt_may_do_better(running: Running, provider: Provider) -> None:
    provider.answers = [refusing({"error": {"message": "it broke"}}, 200), whole("openai_chat.json")]
    assert ask(running, "/v1/chat/completions", CHAT)[0] == 200
    assert [attributes(span).get(names.SUPERSEDED) for span in running.span(2)] == [True, None]


@pytest.mark.parametrize(
    "error", [{"message": "no", "type": "invalid_request_error"}, {"message": "no", "code": 400}, {"code": 429}]
)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_what_was_asked_wrongly_is_no_fault_of_the_upstream(
    running: Running, provider: Provider, error: Json, stream: bool
) -> None:
    event = b"data: " + json.dumps({"error": error}).encode() + b"\n\n"
    provider.answers = [said(event) if stream else refusing({"error": error}, 200)]
    for _ in range(4):
        assert ask(running, "/v1/chat/completions", CHAT | {"stream": stream})[0] == 502, "its circuit stays closed"


def test_what_a_failed_response_used_is_counted(running: Running, provider: Provider) -> None:
    told = FAILED | {
        "error": {"code": "invalid_prompt", "message": "no"},
        "usage": {"input_tokens": 7, "output_tokens": 3},
    }
    provider.answers = [refusing(told, 200)]
    ask(running, "/v1/responses", RESPOND)
    assert usage(running.span()[0]) == (7, 3)


def test_a_flat_error_ends_a_stream(running: Running, provider: Provider) -> None:
    provider.answers = [said(b'data: {"object": "error", "message": "it broke", "code": 500}\n\ndata: [DONE]\n\n')]
    status, body, _ = ask(running, "/v1/chat/completions", CHAT | STREAM)
    assert (status, json.loads(body)["error"]["code"]) == (502, "upstream_error")


def test_its_words_are_filtered(gateways: StartGateway, provider: Provider) -> None:
    provider.answers = [refusing({"error": {"message": f"see {PIXEL}"}}, 200)]
    told = ask(gateways("[filter]\n"), "/v1/chat/completions", CHAT)[1]
    assert b"evil.test/p" not in told
    assert b"withheld" in told
