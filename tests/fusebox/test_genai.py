"""What other people's GenAI spans say that was asked and got; and that agents which only speak so are judged."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from breakers.panel import Panel
from breakers.rules import load_rules
from fusebox.eventmap import SpanFacts, Value, event_of
from fusebox.genai import asked, got
from fusebox.records import ActionKind

Attributes = dict[str, Value]


def conversation(turn: int) -> str:
    """Messages that grow from call to call; only the last is new."""
    history = [{"role": "user", "parts": [{"type": "text", "content": "find the late parcel"}]}] * (1 + 2 * turn)
    return json.dumps([*history, {"role": "tool", "parts": [{"type": "tool_call_response", "response": "not found"}]}])


def call(turn: int) -> str:
    part = {"type": "tool_call", "id": f"call_{turn * 7919}aX", "name": "search", "arguments": {"q": "parcel"}}
    return json.dumps([{"role": "assistant", "parts": [part], "finish_reason": "tool_call"}])


def semconv(turn: int) -> Attributes:
    return {
        "gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "gen_ai.input.messages": conversation(turn),
        "gen_ai.output.messages": call(turn), "gen_ai.usage.input_tokens": 100 + 10 * turn,
    }  # fmt: skip


def semconv_tool(turn: int) -> Attributes:
    return {
        "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search", "gen_ai.tool.call.id": f"call_{turn}",
        "gen_ai.tool.call.arguments": '{"q": "parcel"}', "gen_ai.tool.call.result": "not found",
    }  # fmt: skip


def traceloop_tool(turn: int) -> Attributes:
    return {
        "traceloop.span.kind": "tool", "traceloop.entity.name": "search",
        "traceloop.entity.input": '{"q": "parcel"}', "traceloop.entity.output": "not found",
    }  # fmt: skip


def indexed(turn: int) -> Attributes:
    prompts = {f"gen_ai.prompt.{n}.content": "find the late parcel" for n in range(2 + 2 * turn)}
    return {
        "llm.request.type": "chat", "gen_ai.request.model": "m", **prompts,
        "gen_ai.completion.0.tool_calls.0.name": "search", "gen_ai.completion.0.tool_calls.0.arguments": '{"q": "p"}',
        "gen_ai.completion.0.tool_calls.0.id": f"call_{turn}",
    }  # fmt: skip


def openinference_tool(turn: int) -> Attributes:
    return {
        "openinference.span.kind": "TOOL", "tool.name": "search", "input.value": '{"q": "parcel"}',
        "output.value": "not found",
    }  # fmt: skip


def openinference_model(turn: int) -> Attributes:
    return {
        "openinference.span.kind": "LLM", "llm.model_name": "m", "llm.token_count.prompt": 10 + turn,
        **{f"llm.input_messages.{n}.message.content": "find it" for n in range(1 + turn)},
        "llm.output_messages.0.message.tool_calls.0.tool_call.function.name": "search",
        "llm.output_messages.0.message.tool_calls.0.tool_call.function.arguments": '{"q": "parcel"}',
    }  # fmt: skip


def openinference_wire(turn: int) -> Attributes:
    """As its OpenAI instrumentation writes it: beside the messages the provider's JSON, new in every call."""
    return openinference_model(turn) | {
        "input.value": json.dumps({"model": "m", "messages": ["find it"] * turn}),
        "output.value": json.dumps({"id": f"chatcmpl-{turn}aX", "usage": {"prompt_tokens": 100 + turn}}),
    }


def langchain_tool(turn: int) -> Attributes:
    """As Traceloop writes what LangChain's callbacks hand it."""
    message = {"lc": 1, "type": "constructor", "id": ["ToolMessage"], "kwargs": {"content": "not found", "id": turn}}
    return {
        "traceloop.span.kind": "tool", "traceloop.entity.name": "search",
        "traceloop.entity.input": json.dumps({"input_str": "{'q': 'parcel'}", "tags": [], "metadata": {"step": turn}}),
        "traceloop.entity.output": json.dumps({"output": message, "kwargs": {"tags": [f"step:{turn}"]}}),
    }  # fmt: skip


KINDS = [
    semconv, semconv_tool, traceloop_tool, indexed, openinference_tool, openinference_model, openinference_wire,
    langchain_tool,
]  # fmt: skip


def span(turn: int, attributes: Attributes) -> SpanFacts:
    end = 1_760_000_000.0 + 7 * turn + turn * turn / 3
    return SpanFacts("t" * 32, f"{turn:016x}", "", end - 1, end, False, "their-agent", attributes)


@pytest.mark.parametrize("kind", KINDS)
def test_an_agent_that_only_speaks_opentelemetry_is_judged(kind: Callable[[int], Attributes]) -> None:
    panel, actions = Panel(load_rules()), []
    for turn in range(6):
        event = event_of(span(turn, kind(turn)))
        assert event is not None
        assert event.operation in ("search", "m")
        finding = panel.observe(event)
        actions.append(finding.action if finding else None)
    assert actions[:4] == [None, None, "warn", "open"]


@pytest.mark.parametrize("kind", KINDS)
def test_without_content_there_is_nothing_to_judge(kind: Callable[[int], Attributes]) -> None:
    kept = ("gen_ai.operation.name", "traceloop.span.kind", "llm.request.type", "openinference.span.kind")
    for turn in range(8):
        bare = {name: value for name, value in kind(turn).items() if name in kept}
        event = event_of(span(turn, bare))
        assert event is not None
        assert (event.request, event.result) == (0, 0)


def test_a_tools_own_json_is_left_as_it_is() -> None:
    for text in ('{"output": "", "exit_code": 3}', '{"type": "order", "data": {"lines": 2}}', '{"lc": 1}'):
        assert got({"openinference.span.kind": "TOOL", "output.value": text}) == text


def test_of_a_message_in_parts_all_texts_are_the_request() -> None:
    start = "llm.input_messages.1.message"
    parts = {f"{start}.contents.{n}.message_content.text": text for n, text in enumerate(("see", "this"))}
    span = {"openinference.span.kind": "LLM", "llm.input_messages.0.message.content": "old", f"{start}.role": "user"}
    assert asked({**span, **parts}) == "see this"


def test_a_failure_without_a_result_is_known_by_what_its_status_says() -> None:
    one = replace(span(1, {"openinference.span.kind": "TOOL", "input.value": "x"}), failed=True)
    first, second, other = (
        event_of(replace(one, message=text)) for text in ("no order 'A-1'", "no order 'B-2'", "timed out")
    )
    assert first
    assert second
    assert other
    assert first.result == second.result != other.result


def test_kinds_that_are_no_action_are_none() -> None:
    assert event_of(span(1, {"openinference.span.kind": "CHAIN"})) is None
    assert event_of(span(1, {"traceloop.span.kind": "workflow"})) is None
    embedding = event_of(span(1, {"openinference.span.kind": "EMBEDDING"}))
    assert embedding
    assert embedding.action is ActionKind.MODEL_CALL


@pytest.mark.parametrize("value", ["[", "[1,", "{}", "[]", "null", '[[[[[[[[["x"]]]]]]]]]', "[" * 5000])
def test_what_is_no_conversation_breaks_nothing(value: str) -> None:
    attributes: Attributes = {"gen_ai.input.messages": value, "gen_ai.output.messages": value}
    assert isinstance(asked(attributes), str)
    assert isinstance(got(attributes), str)
