"""What the one API says and the other has another word for, both ways; and what one has no word for."""

import json
from typing import Any

import anthropic
import pytest
from anthropic import beta_tool
from pydantic import BaseModel

from tests.fixtures.gateway import Answer, Provider, Running, StartGateway
from tests.gateway.test_adapters import CLOUDS, client
from tests.gateway.test_failing import refusing
from tests.gateway.test_ledger import CHAT, ask
from tests.gateway.test_quota import TOKENS
from tests.gateway.test_stream_ends import DONE, said

Json = dict[str, Any]
ASK: Any = CHAT["messages"]
CALL = {"type": "tool_use", "id": "t1", "name": "lookup", "input": {"id": "T-12"}}


def message(*content: Json, reason: str = "end_turn", **usage: Any) -> Answer:
    """What Anthropic answers."""
    told = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "stop_sequence": None}
    counted = {"input_tokens": 10, "output_tokens": 5} | usage
    return refusing({**told, "content": [*content], "stop_reason": reason, "usage": counted}, 200)


def chat(text: Any, *calls: Json, finish: str = "stop", **usage: Any) -> Answer:
    """What OpenAI answers."""
    said = {"role": "assistant", "content": text} | ({"tool_calls": [*calls]} if calls else {})
    counted = {"prompt_tokens": 10, "completion_tokens": 5} | usage
    choice = {"index": 0, "message": said, "finish_reason": finish}
    return refusing({"id": "c", "object": "chat.completion", "model": "m", "choices": [choice], "usage": counted}, 200)


def called(arguments: str, number: str = "t1", **more: Any) -> Json:
    return {"id": number, "type": "function", "function": {"name": "lookup", "arguments": arguments}, **more}


def claude(running: Running) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=running.url, api_key=running.key, max_retries=0)


class Solved(BaseModel):
    solved: bool


def test_an_answers_schema_is_asked_of_the_other_api(running: Running, provider: Provider) -> None:
    provider.answers = [message({"type": "text", "text": '{"solved": true}'}), chat('{"solved": true}')]
    one = client(running).chat.completions.parse(model="claude", messages=ASK, response_format=Solved)
    other = claude(running).messages.parse(model="gpt-5-mini", max_tokens=9, messages=ASK, output_format=Solved)
    assert one.choices[0].message.parsed == other.parsed_output == Solved(solved=True)
    towards_anthropic, towards_openai = (seen.body for seen in provider.seen)
    schema = towards_anthropic["output_config"]["format"]["schema"]
    assert schema["required"] == ["solved"]
    assert towards_openai["response_format"]["json_schema"]["schema"]["required"] == ["solved"]
    assert towards_openai["response_format"]["json_schema"]["strict"] is True


@pytest.mark.parametrize(
    ("model", "path", "more"),
    [
        ("claude", "/v1/chat/completions", {"response_format": {"type": "json_object"}}),
        ("gpt-5-mini", "/v1/messages", {"output_config": {"effort": "low"}}),
        ("gpt-5-mini", "/v1/messages", {"tools": [{"name": "a", "input_schema": {}, "defer_loading": True}]}),
        ("claude", "/v1/chat/completions", {"n": 2}),
        ("claude", "/v1/chat/completions", {"messages": [*ASK, {"role": "assistant", "audio": {"id": "a1"}}, *ASK]}),
        ("claude", "/v1/chat/completions", {"messages": [*ASK, {"role": "assistant", "function_call": {}}, *ASK]}),
    ],
)
def test_what_the_other_has_no_word_for_is_refused(
    running: Running, provider: Provider, model: str, path: str, more: Json
) -> None:
    status, body, _ = ask(running, path, {"model": model, "max_tokens": 9, "messages": ASK, **more})
    assert (status, json.loads(body)["error"]["code"]) == (400, "invalid_request")
    assert provider.seen == []


ANYWAY = {
    "n": 1, "logprobs": False, "frequency_penalty": 0, "presence_penalty": 0.0, "response_format": {"type": "text"},
    "parallel_tool_calls": True, "safety_identifier": "user-1", "prompt_cache_retention": "24h",
}  # fmt: skip


def test_what_is_done_anyway_may_be_asked_for(running: Running, provider: Provider) -> None:
    provider.answers = [message({"type": "text", "text": "Yes."})]
    status, _, _ = ask(running, "/v1/chat/completions", {**CHAT, "model": "claude", **ANYWAY})
    assert status == 200
    assert set(provider.seen[0].body) == {"model", "messages", "max_tokens"}


@pytest.mark.parametrize("turn", [{"refusal": "No."}, {"content": [{"type": "refusal", "refusal": "No."}]}], ids=str)
def test_a_refusal_in_an_earlier_turn_is_what_was_said(running: Running, provider: Provider, turn: Json) -> None:
    provider.answers = [message({"type": "text", "text": "Yes."})]
    asked = {**CHAT, "model": "claude", "messages": [*ASK, {"role": "assistant", **turn}, *ASK]}
    ask(running, "/v1/chat/completions", asked)
    assert provider.seen[0].body["messages"][1]["content"] == [{"type": "text", "text": "No."}]


def test_an_earlier_turn_in_which_nothing_was_said_is_none(running: Running, provider: Provider) -> None:
    provider.answers = [message({"type": "text", "text": "Yes."})]
    asked = {**CHAT, "model": "claude", "messages": [*ASK, {"role": "assistant", "content": ""}, *ASK]}
    assert ask(running, "/v1/chat/completions", asked)[0] == 200
    (turn,) = provider.seen[0].body["messages"]
    assert (turn["role"], len(turn["content"])) == ("user", 2)


@pytest.mark.parametrize(
    ("reason", "finish"), [("refusal", "content_filter"), ("model_context_window_exceeded", "length")]
)
def test_why_an_answer_ended(running: Running, provider: Provider, reason: str, finish: str) -> None:
    provider.answers = [message({"type": "text", "text": "No."}, reason=reason)]
    answer = client(running).chat.completions.create(model="claude", messages=ASK)
    assert answer.choices[0].finish_reason == finish


def test_arguments_that_were_cut_are_as_far_as_they_are_whole(running: Running, provider: Provider) -> None:
    provider.answers = [chat(None, called('{"id": "T-12", "text": "Your tick'), finish="length")]
    answer = claude(running).messages.create(model="gpt-5-mini", max_tokens=9, messages=ASK)
    assert (answer.stop_reason, answer.content[0].input) == ("max_tokens", {"id": "T-12"})  # type: ignore[union-attr]


ABSURD = [10**30, 1e300, 2**63, -5, "many", [3], True]


@pytest.mark.parametrize("told", ABSURD, ids=repr)
def test_a_usage_that_cannot_be_ends_no_call(running: Running, provider: Provider, told: Any) -> None:
    provider.answers = [message({"type": "text", "text": "Yes."}, input_tokens=told, output_tokens=told)]
    status, body, _ = ask(running, "/v1/chat/completions", {**CHAT, "model": "claude"})
    assert (status, json.loads(body)["usage"]["total_tokens"]) == (200, 0)
    provider.answers = [chat("Yes.", prompt_tokens=told, completion_tokens=told, prompt_tokens_details=told)]
    status, body, _ = ask(running, "/v1/messages", {**CHAT, "max_tokens": 9})
    assert (status, json.loads(body)["usage"]["input_tokens"]) == (200, 0)


@pytest.mark.parametrize(
    ("pieces", "told"),
    [
        ([called('{"id": "1"}', "a", index=0), called('{"id": "2"}', "b", index=0)], [("a", "1"), ("b", "2")]),
        ([called('{"id": "1"}', "a"), called('{"id": "2"}', "b")], [("a", "1"), ("b", "2")]),
        ([called('{"id"', "a", index=0), {"index": 0, "id": "b", "function": {"arguments": ': "1"}'}}], [("a", "1")]),
    ],
    ids=["one number", "no number", "an id each time"],
)
def test_calls_are_told_apart_however_a_server_numbers_them(
    running: Running, provider: Provider, pieces: list[Json], told: list[tuple[str, str]]
) -> None:
    deltas = [{"index": 0, "delta": {"tool_calls": [piece]}, "finish_reason": None} for piece in pieces]
    last = {"index": 0, "delta": {}, "finish_reason": "tool_calls"}
    sent = [b"data: " + json.dumps({"id": "c", "model": "m", "choices": [c]}).encode() for c in (*deltas, last)]
    provider.answers = [said(b"\n\n".join([*sent, DONE, b""]))]
    with claude(running).messages.stream(model="gpt-5-mini", max_tokens=9, messages=ASK) as stream:
        content = stream.get_final_message().content
    assert [(block.id, block.input["id"]) for block in content if block.type == "tool_use"] == told


def test_calls_of_tools_are_why_an_answer_ended_whatever_the_server_calls_it(
    running: Running, provider: Provider
) -> None:
    delta = {"index": 0, "delta": {"tool_calls": [called("{}", index=0)]}, "finish_reason": "stop"}
    sent = b"data: " + json.dumps({"id": "c", "model": "m", "choices": [delta]}).encode()
    provider.answers = [chat("", called("{}")), said(sent + b"\n\n" + DONE + b"\n\n")]
    answer = claude(running).messages.create(model="gpt-5-mini", max_tokens=9, messages=ASK)
    with claude(running).messages.stream(model="gpt-5-mini", max_tokens=9, messages=ASK) as stream:
        streamed = stream.get_final_message()
    assert answer.stop_reason == streamed.stop_reason == "tool_use"


def test_an_answer_may_come_in_parts(running: Running, provider: Provider) -> None:
    parts: Any = [
        {"type": "thinking", "thinking": []},
        {"type": "text", "text": "Solved"},
        {"type": "text", "text": "."},
    ]
    first = {"choices": [], "id": "", "model": "", "prompt_filter_results": []}
    delta = {"id": "c", "model": "m", "choices": [{"index": 0, "delta": {"content": parts}, "finish_reason": "stop"}]}
    sent = [b"data: " + json.dumps(each).encode() for each in (first, delta)]
    provider.answers = [chat(parts), said(b"\n\n".join([*sent, DONE, b""]))]
    answer = claude(running).messages.create(model="gpt-5-mini", max_tokens=9, messages=ASK)
    with claude(running).messages.stream(model="gpt-5-mini", max_tokens=9, messages=ASK) as stream:
        streamed = stream.get_final_message()
    assert [block.text for block in (*answer.content, *streamed.content)] == ["Solved.", "Solved."]  # type: ignore[union-attr]
    assert (streamed.id, streamed.model) == ("c", "m")


def test_a_stream_without_an_answer_is_none(running: Running, provider: Provider) -> None:
    provider.answers = [said(DONE + b"\n\n")]
    status, body, _ = ask(running, "/v1/messages", {**CHAT, "max_tokens": 9, "stream": True})
    assert (status, json.loads(body)["error"]["code"]) == (502, "upstream_garbled")


@pytest.mark.parametrize("told", [{"error": "no such ticket"}, {"detail": "no such ticket"}], ids=str)
def test_what_a_server_says_is_told_wherever_it_says_it(running: Running, provider: Provider, told: Json) -> None:
    provider.answers = [refusing(told)]
    with pytest.raises(anthropic.BadRequestError, match="no such ticket"):
        claude(running).messages.create(model="gpt-5-mini", max_tokens=9, messages=ASK)


# --- Bedrock ----------------------------------------------------------------------------------------------------------
@pytest.fixture
def bedrock(gateways: StartGateway, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> Running:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "example")
    return gateways(CLOUDS.format(url=provider.url))


def test_an_error_of_bedrock_has_anthropics_shape(bedrock: Running, provider: Provider) -> None:
    provider.answers = [refusing({"message": "The provided model identifier is invalid."})]
    with pytest.raises(anthropic.BadRequestError, match="identifier is invalid") as failed:
        claude(bedrock).messages.create(model="on-bedrock", max_tokens=9, messages=ASK)
    assert failed.value.body["error"]["type"] == "invalid_request_error"  # type: ignore[index]


def test_bedrock_is_told_of_betas_in_the_body(bedrock: Running, provider: Provider) -> None:
    provider.answers = [message({"type": "text", "text": "Yes."})]
    claude(bedrock).beta.messages.create(model="on-bedrock", max_tokens=9, messages=ASK, betas=["a-1", "b-2"])
    assert provider.seen[0].body["anthropic_beta"] == ["a-1", "b-2"]


# --- conversations that Anthropic would keep --------------------------------------------------------------------------
@beta_tool
def lookup(id: str) -> str:
    """Look a ticket up.

    Args:
        id: of the ticket
    """
    return f"{id} is solved"


def run(running: Running, model: str) -> str:
    runner = claude(running).beta.messages.tool_runner(model=model, max_tokens=9, messages=ASK, tools=[lookup])
    return str(runner.until_done().content[0].text)  # type: ignore[union-attr]


def test_a_tool_runner_runs_on_any_model(running: Running, provider: Provider) -> None:
    provider.answers = [chat(None, called('{"id": "T-12"}'), finish="tool_calls"), chat("Yes.")]
    assert run(running, "gpt-5-mini") == "Yes."
    assert provider.seen[-1].body["messages"][-1]["content"] == "T-12 is solved"


def test_where_tokens_are_limited_nothing_is_read_that_was_not_counted(
    gateways: StartGateway, provider: Provider
) -> None:
    running = gateways(TOKENS.format(limit=100_000))
    kept = {"thread": {"type": "continue", "previous_message_id": "msg_1"}}
    status, body, _ = ask(running, "/v1/messages", {**CHAT, "model": "claude", "max_tokens": 9, **kept})
    assert (status, json.loads(body)["error"]["code"]) == (403, "cost_unbounded")
    assert provider.seen == []
    provider.answers = [message(CALL, reason="tool_use"), message({"type": "text", "text": "Yes."})]
    assert run(running, "claude") == "Yes.", "Anthropic's client sends the whole conversation instead"
    assert len(provider.seen[-1].body["messages"]) == 3
