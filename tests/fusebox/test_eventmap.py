"""From spans to Events: ours and other people's, sane and not."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusebox import names
from fusebox.eventmap import SpanFacts, Value, event_of, format_lineage, parse_lineage
from fusebox.fingerprint import request_hash, result_hash
from fusebox.records import ActionKind, Hop

SPAN = SpanFacts("t" * 32, "s" * 16, "", 10.0, 12.5, False, "svc")
HOPS = st.lists(
    st.builds(Hop, st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,20}", fullmatch=True), st.integers(0, 2**64 - 1))
)


def span(**attributes: Value) -> SpanFacts:
    return replace(SPAN, attributes={getattr(names, key): value for key, value in attributes.items()})


def test_our_own_span_is_read_without_loss() -> None:
    event = event_of(
        span(
            ACTION="tool_call",
            OPERATION="jira.comment",
            TARGET="T-1",
            TENANT="acme",
            WORKFLOW="w",
            GEN_AI_AGENT_ID="helper",
            REQUEST_HASH="00000000000000ff",
            REQUEST_SIMHASH="ffffffffffffffff",
            RESULT_HASH="10",
            LINEAGE="a/00000000000000ff",
        )
    )
    assert event is not None
    assert (event.action, event.operation, event.target) == (ActionKind.TOOL_CALL, "jira.comment", "T-1")
    assert (event.agent, event.tenant, event.workflow) == ("helper", "acme", "w")
    assert (event.request, event.simhash, event.result) == (255, 2**64 - 1, 16)
    assert (event.time, event.duration, event.lineage) == (12.5, 2.5, (Hop("a", 255),))


def test_a_strangers_genai_span_with_old_names_is_a_model_call() -> None:
    event = event_of(
        span(GEN_AI_OPERATION="chat", GEN_AI_REQUEST_MODEL="gpt-5-mini", USAGE_INPUT_OLD=12, USAGE_OUTPUT_OLD=3)
    )
    assert event is not None
    assert (event.action, event.operation, event.agent) == (ActionKind.MODEL_CALL, "gpt-5-mini", "svc")
    assert (event.input_tokens, event.output_tokens) == (12, 3)


def test_a_call_that_its_library_sends_again_says_so() -> None:
    told = [event_of(span(ACTION="model_call", RESENT=value)) for value in (2, -1, "x")]
    assert [event.resent for event in told if event] == [2, 0, 0]


def test_content_is_fingerprinted_when_no_hash_came_along() -> None:
    event = event_of(
        span(
            GEN_AI_OPERATION="execute_tool", GEN_AI_TOOL_NAME="t", GEN_AI_TOOL_ARGUMENTS="x 1", GEN_AI_TOOL_RESULT="ok"
        )
    )
    assert event is not None
    assert event.request == request_hash("t", "", "x 2")
    assert event.result == result_hash("ok")


@pytest.mark.parametrize(
    ("kind", "action"), [("send", "publish"), ("publish", "publish"), ("process", "consume"), ("settle", None)]
)
def test_messaging_spans(kind: str, action: str | None) -> None:
    event = event_of(span(MESSAGING_OPERATION_TYPE=kind, MESSAGING_DESTINATION="q"))
    assert (event.action.value if event else None) == action


def test_other_spans_are_no_events() -> None:
    assert event_of(SPAN) is None
    assert event_of(span(GEN_AI_OPERATION="invoke_agent", USAGE_INPUT=5)) is None
    assert event_of(span(ACTION="world domination")) is None


@pytest.mark.parametrize("bad", [-1, 2**60, 1.5, "12", True, "many"])
def test_insane_token_counts_count_as_none(bad: Value) -> None:
    event = event_of(span(GEN_AI_OPERATION="chat", USAGE_INPUT=bad))
    assert event is not None
    assert event.input_tokens == 0


@pytest.mark.parametrize("bad", ["nan", "inf", "-3", -3.0, float("inf"), float("nan"), "dear", 10**400])
def test_insane_costs_count_as_none(bad: Value) -> None:
    event = event_of(span(GEN_AI_OPERATION="chat", COST_USD=bad))
    assert event is not None
    assert event.cost == 0.0


def test_a_span_that_ends_before_it_starts_took_no_time() -> None:
    event = event_of(replace(span(ACTION="publish"), start=20.0))
    assert event is not None
    assert event.duration == 0.0


@given(
    st.dictionaries(
        st.sampled_from([v for k, v in vars(names).items() if k.isupper() and isinstance(v, str)]),
        st.one_of(st.text(), st.integers(), st.floats(), st.booleans()),
    )
)
def test_no_span_breaks_the_reading(attributes: dict[str, Value]) -> None:
    event = event_of(replace(SPAN, attributes=attributes))
    assert event is None or (event.input_tokens >= 0 and 0 <= event.request < 1 << 64)


@given(HOPS.filter(lambda hops: len(hops) <= 64))
def test_a_lineage_survives_its_header(hops: list[Hop]) -> None:
    assert parse_lineage(format_lineage(tuple(hops))) == tuple(hops)


@given(st.text())
def test_a_forged_lineage_is_refused_or_sane(text: str) -> None:
    lineage = parse_lineage(text)
    assert lineage is None or all(hop.agent and 0 <= hop.request < 1 << 64 for hop in lineage)


@pytest.mark.parametrize(
    "text",
    [
        "a/-000000000000001",
        "a/+00000000000000f",
        "a/0x000000000000ff",
        "a/0000_0000_0000_0",
        "a/00000000000000FF",
        "a/١١١١١١١١١١١١١١١١",
        "a b/00000000000000ff",
        "/00000000000000ff",
        "a/00000000000000ff,",
        "a/ff",
        ",".join(["a/00000000000000ff"] * 65),
        pytest.param("a" * 10_000_000, id="10 MB"),
    ],
)
def test_malformed_lineages_are_refused(text: str) -> None:
    assert parse_lineage(text) is None
