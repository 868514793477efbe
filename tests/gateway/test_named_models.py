"""A request may make its provider ask other models than the one it is for."""

import json
from typing import Any

import pytest

from tests.fixtures.gateway import Provider, Running, StartGateway, whole
from tests.gateway.test_ledger import CHAT, CLAUDE, ask
from tests.gateway.test_quota import REQUESTS, TOKENS

RESPOND: dict[str, Any] = {"model": "gpt-5-mini", "input": "Is my ticket solved?"}
ELSEWHERE: list[tuple[str, dict[str, Any]]] = [
    ("/v1/messages", {**CLAUDE, "fallbacks": [{"model": "claude-opus", "max_tokens": 90_000}]}),
    ("/v1/messages", {**CLAUDE, "fallbacks": "default"}),
    ("/v1/messages", {**CLAUDE, "tools": [{"type": "advisor_20260301", "name": "advisor", "model": "claude-opus"}]}),
    ("/anthropic/v1/messages", {**CLAUDE, "fallbacks": [{"model": "claude-opus"}]}),
    ("/v1/chat/completions", {**CHAT, "models": ["gpt-5-pro"]}),
    ("/v1/chat/completions", {**CHAT, "fallbacks": [{"gpt-5-mini": ["gpt-5-pro"]}]}),
    ("/v1/responses", {**RESPOND, "tools": [{"type": "image_generation", "model": "gpt-image-9"}]}),
]
NAMES = ["fallbacks", "default", "advisor", "passed", "models", "proxy", "pictures"]


@pytest.mark.parametrize(("path", "body"), ELSEWHERE, ids=NAMES)
def test_a_key_is_served_by_no_model_that_it_does_not_allow(
    running: Running, provider: Provider, path: str, body: dict[str, Any]
) -> None:
    _, narrow = running.keys.add("narrow", team="", models=("claude", "gpt-5-mini"), tools=())
    status, told, _ = ask(running, path, body, key=narrow)
    assert (status, json.loads(told)["error"]["code"]) == (403, "model_not_allowed")
    assert provider.seen == []
    provider.answers = [whole("anthropic_messages.json" if "messages" in path else "openai_chat.json")]
    assert ask(running, path, body)[0] == 200, "a key for every model may ask for it"


@pytest.mark.parametrize(("path", "body"), ELSEWHERE, ids=NAMES)
def test_what_others_cost_nobody_can_tell(
    gateways: StartGateway, provider: Provider, path: str, body: dict[str, Any]
) -> None:
    status, told, _ = ask(gateways(TOKENS.format(limit=100_000)), path, body)
    assert (status, json.loads(told)["error"]["code"]) == (403, "cost_unbounded")
    assert provider.seen == []
    provider.answers = [whole("anthropic_messages.json" if "messages" in path else "openai_chat.json")]
    assert ask(gateways(REQUESTS, data="free"), path, body)[0] == 200


def test_a_tool_of_ones_own_may_have_a_parameter_of_that_name(running: Running, provider: Provider) -> None:
    _, narrow = running.keys.add("narrow", team="", models=("gpt-5-mini", "claude"), tools=())
    schema = {"type": "object", "properties": {"model": {"type": "string"}}, "default": {"model": "T"}}
    provider.answers = [whole("openai_chat.json"), whole("anthropic_messages.json")]
    tool = {"type": "function", "function": {"name": "order", "parameters": schema}}
    assert ask(running, "/v1/chat/completions", {**CHAT, "tools": [tool]}, key=narrow)[0] == 200
    own = {"name": "order", "input_schema": schema}
    assert ask(running, "/v1/messages", {**CLAUDE, "tools": [own]}, key=narrow)[0] == 200
