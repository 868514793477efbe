"""Stamping: who a span belongs to, what it cost, and what of it is kept."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from collector.otlp import facts_of
from collector.receive.clean import MAX_ATTRIBUTES, MAX_VALUE, cut, latest
from collector.receive.decode import Encoding, decode
from collector.receive.identity import speaker
from collector.receive.outline import MAX_ITEMS
from collector.receive.refusal import Refusal
from collector.receive.signals import LOGS, TRACES, Signal
from collector.receive.stamp import Stamped, stamp
from collector.tokens import Principal
from fusebox import happenings, names
from fusebox.eventmap import SpanFacts, Value, event_of
from fusebox.records import ActionKind
from fusebox.registry import AGENT_ID
from tests.collector.otlp_samples import START_NS, as_json, log, logs_request, pairs, request, scalars, span

ANYBODY = Principal("local", "default", frozenset({"*"}))
BOUND = Principal("billing", "acme", frozenset({"invoice-bot"}))
NOW = START_NS / 1e9 + 60

INFERENCE = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-5-mini",
    "gen_ai.usage.input_tokens": 1000,
    "gen_ai.usage.output_tokens": 500,
}


def stamped(item: Span, principal: Principal = ANYBODY, service: str = "svc") -> dict[str, Value]:
    """The span's attributes as they are stored."""
    message = request(item, service=service)
    assert stamp(message, principal, NOW) == Stamped(1, 0)
    return scalars(message.resource_spans[0].scope_spans[0].spans[0].attributes)


@pytest.mark.parametrize(
    ("attributes", "service", "agent"),
    [
        ({"gen_ai.agent.id": "a", "gen_ai.agent.name": "b"}, "c", "a"),
        ({"gen_ai.agent.name": "b"}, "c", "b"),
        ({}, "c", "c"),
        ({}, "", "local"),
        ({"gen_ai.agent.id": 7}, "c", "7"),
    ],
)
def test_the_agent_is_the_id_else_the_name_else_the_service(
    attributes: dict[str, Any], service: str, agent: str
) -> None:
    found = stamped(span(attributes), service=service)
    assert found[names.GEN_AI_AGENT_ID] == agent
    assert names.CLAIMED_AGENT not in found


@given(claim=st.text(), bound=st.sampled_from([ANYBODY, BOUND]))
def test_nobody_speaks_for_an_agent_of_another_token_or_for_no_valid_id(claim: str, bound: Principal) -> None:
    agent = speaker(claim, bound)
    assert AGENT_ID.fullmatch(agent)
    assert agent == bound.name or bound.may_speak_for(claim)
    assert agent == claim or not AGENT_ID.fullmatch(claim) or bound is BOUND


@pytest.mark.parametrize(("principal", "stored"), [(ANYBODY, "victim"), (BOUND, BOUND.name)])
def test_a_detectors_score_of_an_agent_is_only_told_by_who_may_speak_for_it(principal: Principal, stored: str) -> None:
    before = happenings.counts()["agent_claims_rewritten"]
    found = stamped(span({"fusebox.score.agent": "victim", "gen_ai.agent.id": "invoice-bot"}), principal)
    assert found["fusebox.score.agent"] == stored
    assert (happenings.counts()["agent_claims_rewritten"] > before) == (principal is BOUND)


def test_an_invalid_id_is_told_apart_by_its_hash_and_kept() -> None:
    claim = "'; DROP TABLE agent_events --"
    found = stamped(span({"gen_ai.agent.id": claim}))
    assert found[names.GEN_AI_AGENT_ID] == f"invalid:{hashlib.sha256(claim.encode()).hexdigest()[:16]}"
    assert found[names.CLAIMED_AGENT] == claim


def test_what_only_receive_may_say_is_removed_from_what_was_sent() -> None:
    forged = {names.TENANT: "x", names.COST_USD: "-9", names.COST_PRICE: "x", names.CLAIMED_AGENT: "x"}
    message = request(span(forged), resource={names.PRINCIPAL: "root", names.RECEIVED: "0"})
    stamp(message, BOUND, NOW)
    found = scalars(message.resource_spans[0].scope_spans[0].spans[0].attributes)
    assert found == {names.GEN_AI_AGENT_ID: "billing", names.TENANT: "acme", names.CLAIMED_AGENT: "svc"}
    resource = scalars(message.resource_spans[0].resource.attributes)
    assert (resource[names.PRINCIPAL], resource[names.RECEIVED]) == ("billing", f"{NOW:.6f}")


def test_inference_is_priced_in_decimal_text_with_its_source() -> None:
    found = stamped(span(INFERENCE))
    assert found[names.COST_USD] == "0.00125"
    assert str(found[names.COST_PRICE]).startswith("genai-prices ")
    event = event_of(next(iter(facts_of(_stored(span(INFERENCE))))))
    assert event is not None
    assert event.cost == 0.00125


def _stored(item: Span) -> bytes:
    message = request(item)
    stamp(message, ANYBODY, NOW)
    return message.SerializeToString()


@pytest.mark.parametrize(
    "change",
    [
        {"gen_ai.operation.name": "invoke_agent"},
        {names.DELEGATED: True},
        {"gen_ai.request.model": "a model of tomorrow"},
        {"gen_ai.usage.input_tokens": 0, "gen_ai.usage.output_tokens": 0},
        {"gen_ai.usage.input_tokens": -5, "gen_ai.usage.output_tokens": "many"},
    ],
)
def test_what_is_not_a_known_price_of_a_leaf_span_stays_without_one(change: dict[str, Any]) -> None:
    assert names.COST_USD not in stamped(span({**INFERENCE, **change}))


@pytest.mark.parametrize("provider", ["", "OpenAI!", "my-proxy"])
def test_an_odd_provider_does_not_make_a_known_model_free(provider: str) -> None:
    assert stamped(span({**INFERENCE, "gen_ai.provider.name": provider}))[names.COST_USD] == "0.00125"


@pytest.mark.parametrize("start", [0, 1, 2**64 - 1])
def test_an_impossible_time_is_priced_as_of_now(start: int) -> None:
    assert stamped(span(INFERENCE, start_time_unix_nano=start))[names.COST_USD] == "0.00125"


def test_old_attribute_names_are_priced_too() -> None:
    old = {
        "gen_ai.operation.name": "chat", "gen_ai.system": "openai", "gen_ai.response.model": "gpt-5-mini",
        "gen_ai.usage.prompt_tokens": 1000, "gen_ai.usage.completion_tokens": 500,
    }  # fmt: skip
    assert stamped(span(old))[names.COST_USD] == "0.00125"


def test_lists_maps_and_bytes_become_text() -> None:
    found = stamped(span({"l": [1, "ü", [True]], "m": {"a": {"b": 0.5}}, "b": b"\x00\xff", "n": [float("nan")]}))
    assert (found["l"], found["m"], found["b"], found["n"]) == ('[1,"ü",[true]]', '{"a":{"b":0.5}}', "AP8=", '["nan"]')


def test_a_value_too_long_is_cut_and_says_so() -> None:
    text = "ü" * MAX_VALUE
    found = str(stamped(span({"long": text}))["long"])
    assert len(found.encode()) <= MAX_VALUE
    assert found.startswith("üüü")
    assert f"{2 * MAX_VALUE} bytes, sha256 {hashlib.sha256(text.encode()).hexdigest()[:16]}" in found


@given(text=st.text(max_size=300), limit=st.integers(60, 200))
def test_cut_keeps_within_its_limit_and_leaves_short_text_alone(text: str, limit: int) -> None:
    short = cut(text, limit)
    assert len(short.encode()) <= max(limit, 0) or short == text
    assert (short == text) == (len(text.encode()) <= limit)


def test_of_too_many_attributes_the_ones_that_matter_stay_and_the_rest_is_counted() -> None:
    item = span({**{f"k{i}": i for i in range(500)}, **INFERENCE})
    message = request(item)
    stamp(message, ANYBODY, NOW)
    kept = message.resource_spans[0].scope_spans[0].spans[0]
    found = scalars(kept.attributes)
    assert names.COST_USD in found
    assert kept.dropped_attributes_count == 505 - MAX_ATTRIBUTES
    assert len(found) <= MAX_ATTRIBUTES + 4


def test_a_repeated_key_counts_once_and_says_what_it_said_first() -> None:
    item = span({"k": "first"})
    item.attributes.extend(pairs({"k": "second", "": "nameless"}))
    assert stamped(item)["k"] == "first"


def test_a_million_attributes_cost_seconds_not_hours() -> None:
    item = span()
    item.attributes.extend(pairs({f"k{i // 2 if i % 2 else i}": 1 for i in range(300_000)}))
    assert len(stamped(item)) <= MAX_ATTRIBUTES + 4


def test_references_that_are_no_ids_are_dropped() -> None:
    item = span(parent_span_id=b"odd")
    item.links.add(trace_id=b"x" * 16, span_id=b"y" * 8)
    item.links.add(trace_id=b"odd", span_id=b"y" * 8)
    message = request(item)
    stamp(message, ANYBODY, NOW)
    kept = message.resource_spans[0].scope_spans[0].spans[0]
    assert kept.parent_span_id == b""
    assert [link.span_id for link in kept.links] == [b"y" * 8]
    assert kept.dropped_links_count == 1


def test_too_many_spans_are_refused() -> None:
    one = span()
    with pytest.raises(Refusal, match=str(MAX_ITEMS)):
        stamp(request(*[one] * (MAX_ITEMS + 1)), ANYBODY, NOW)


def test_fields_the_protocol_does_not_know_cannot_reach_the_database() -> None:
    smuggled = request(span()).SerializeToString() + b"\xc2\x3e\x05batch"  # field 1000, which keep appends itself
    message = decode(smuggled, Encoding.PROTOBUF, TRACES)
    stamp(message, ANYBODY, NOW)
    assert b"batch" not in message.SerializeToString()


def test_json_and_protobuf_parse_to_the_same_request() -> None:
    item = span({"n": 2**62}, parent_span_id=b"12345678")
    item.links.add(trace_id=b"x" * 16, span_id=b"y" * 8)
    message = request(item)
    assert decode(as_json(message), Encoding.JSON, TRACES) == decode(
        message.SerializeToString(), Encoding.PROTOBUF, TRACES
    )


@pytest.mark.parametrize("signal", [TRACES, LOGS], ids=lambda signal: signal.name)
def test_names_as_in_the_protocols_definition_mean_the_same(signal: Signal) -> None:
    """Programs that print their messages with protobuf's own means send ``trace_id`` beside hex ids."""
    item = span({"n": 2**62}, parent_span_id=b"12345678")
    item.links.add(trace_id=b"x" * 16, span_id=b"y" * 8)
    message = request(item) if signal is TRACES else logs_request(log(trace_id=b"x" * 16, span_id=b"y" * 8))
    body = re.sub(rb'"(\w+)":', lambda key: re.sub(rb"[A-Z]", _underscored, key[0]), as_json(message))
    assert b"trace_id" in body
    assert decode(body, Encoding.JSON, signal) == message


def _underscored(letter: re.Match[bytes]) -> bytes:
    return b"_" + letter[0].lower()


@given(st.binary(max_size=300))
def test_any_bytes_are_a_request_or_a_refusal(body: bytes) -> None:
    for encoding in Encoding:
        try:
            message = decode(body, encoding, TRACES)
        except Refusal:
            continue
        stamp(message, ANYBODY, NOW)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["resourceSpans", "scopeSpans", "spans", "traceId", "links", "attributes", "key", "value"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=15,
)


@given(_JSON)
def test_any_json_is_a_request_or_a_refusal(data: object) -> None:
    try:
        message = decode(json.dumps(data).encode(), Encoding.JSON, TRACES)
    except Refusal:
        return
    stamp(message, ANYBODY, NOW)


OPENINFERENCE = {
    "openinference.span.kind": "LLM", "llm.system": "openai", "llm.model_name": "gpt-5-mini",
    "llm.token_count.prompt": 1000, "llm.token_count.completion": 500,
    "llm.token_count.prompt_details.cache_read": 100,
}  # fmt: skip


def test_what_openinference_says_is_said_again_in_the_conventions_names_and_priced() -> None:
    kept = stamped(span(OPENINFERENCE))
    plain = stamped(span(INFERENCE | {"gen_ai.usage.cache_read.input_tokens": 100}))
    assert plain.items() - {(names.GEN_AI_AGENT_ID, "svc")} <= kept.items()
    assert OPENINFERENCE.items() <= kept.items()
    assert kept[names.COST_USD]


@pytest.mark.parametrize(
    ("attributes", "operation", "tool"),
    [
        ({"openinference.span.kind": "TOOL", "tool.name": "search"}, "execute_tool", "search"),
        ({"traceloop.span.kind": "tool", "traceloop.entity.name": "search"}, "execute_tool", "search"),
        ({"openinference.span.kind": "EMBEDDING"}, "embeddings", None),
        ({"llm.request.type": "completion"}, "text_completion", None),
        ({"openinference.span.kind": "CHAIN"}, None, None),
        ({"gen_ai.system": "openai", "gen_ai.request.model": "gpt-4o"}, "chat", None),
        ({"gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o"}, "chat", None),
        ({"gen_ai.system": "openai", "gen_ai.request.model": "m", "gen_ai.tool.name": "search"}, None, "search"),
        ({"gen_ai.system": "openai", "gen_ai.request.model": "m", "traceloop.span.kind": "agent"}, None, None),
        ({"gen_ai.system": "openai", "gen_ai.usage.input_tokens": 9}, None, None),
        ({"openinference.span.kind": "LLM", "gen_ai.operation.name": "generate_content"}, "generate_content", None),
    ],
)
def test_kinds_of_others_are_operations_of_the_conventions(
    attributes: dict[str, Any], operation: str | None, tool: str | None
) -> None:
    kept = stamped(span(attributes))
    assert (kept.get(names.GEN_AI_OPERATION), kept.get(names.GEN_AI_TOOL_NAME)) == (operation, tool)


@pytest.mark.parametrize("operation", [{"gen_ai.operation.name": "chat"}, {}])
def test_reasoning_tokens_are_read_under_the_name_that_traceloop_gives_them(operation: dict[str, Any]) -> None:
    told = {"gen_ai.system": "openai", "gen_ai.request.model": "o3", "gen_ai.usage.reasoning_tokens": 7, **operation}
    assert stamped(span(told))["gen_ai.usage.reasoning.output_tokens"] == 7
    both = told | {"gen_ai.usage.reasoning.output_tokens": 9}
    assert stamped(span(both))["gen_ai.usage.reasoning.output_tokens"] == 9


def test_an_inference_that_names_no_operation_is_priced_and_judged_like_one_that_does() -> None:
    """As Vercel's AI SDK writes it, and whatever follows the conventions from before version 1.27."""
    told = {"gen_ai.system": "openai.chat", "gen_ai.request.model": "gpt-4o", "gen_ai.usage.prompt_tokens": 1000,
            "gen_ai.usage.completion_tokens": 100}  # fmt: skip
    kept = stamped(span(told))
    assert kept[names.COST_USD] == stamped(span({**told, "gen_ai.operation.name": "chat"}))[names.COST_USD]
    event = event_of(SpanFacts("t", "s", "", 1.0, 2.0, False, "svc", told))
    assert event
    assert (event.action, event.input_tokens, event.output_tokens) == (ActionKind.MODEL_CALL, 1000, 100)


@pytest.mark.parametrize("turns", [200, 2_000])
def test_of_a_long_conversation_the_last_message_is_kept(turns: int) -> None:
    parts = [{"type": "tool_call_response", "response": "nothing found ☃"}]
    last = {"role": "tool", "parts": parts}
    told = [{"role": "user", "parts": [{"type": "text", "content": f'{n} "said" {{"role"'}]} for n in range(turns)]
    text = json.dumps([*told, {"role": "assistant", "parts": ["x" * 60_000]}, last], ensure_ascii=False)
    kept = str(stamped(span({names.GEN_AI_INPUT_MESSAGES: text}))[names.GEN_AI_INPUT_MESSAGES])
    assert len(kept.encode()) <= MAX_VALUE
    assert json.loads(kept)[-1] == last
    assert str(len(text.encode())) in json.loads(kept)[0]


@given(st.text(max_size=300), st.integers(100, 400))
def test_any_text_in_the_place_of_a_conversation_is_bounded(text: str, limit: int) -> None:
    for told in (text, f'[{{"role": {text}', json.dumps([{"role": text}] * 3)):
        assert len(latest(told, limit).encode()) <= limit


def test_of_too_many_attributes_the_last_message_and_the_marks_are_kept() -> None:
    told = {f"llm.input_messages.{n}.message.content": f"said {n}" for n in range(300)}
    kept = stamped(span({**told, **OPENINFERENCE, "llm.output_messages.0.message.content": "answer"}))
    assert kept["llm.input_messages.299.message.content"] == "said 299"
    assert kept["llm.output_messages.0.message.content"] == "answer"
    assert OPENINFERENCE.items() <= kept.items()
