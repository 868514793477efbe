"""One body for both engines: what the shipped policy makes of the registry."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fusebox.records import Decision
from governance.policy.policy import Policy
from tests.governance.policy.conftest import action, ask

ALLOW, HOLD, DENY = Decision.ALLOW, Decision.HOLD, Decision.DENY


@pytest.mark.parametrize(
    ("about", "decision"),
    [
        (("analyst", "tool_call", "warehouse", "GET /stock"), ALLOW),
        (("analyst", "tool_call", "warehouse2", "GET /stock"), ALLOW),
        (("analyst", "tool_call", "warehouse", "POST /stock"), DENY),
        (("analyst", "tool_call", "warehouse", "GET /secret/keys"), DENY),
        (("analyst", "tool_call", "erp.order", "GET /"), DENY),
        (("analyst", "consume", "delay.reported"), ALLOW),
        (("analyst", "consume", "delay.reported.twice"), DENY),
        (("analyst", "publish", "plan.made"), ALLOW),
        (("analyst", "publish", "plan"), ALLOW),
        (("analyst", "publish", "plans"), DENY),
        (("analyst", "publish", "delay.reported"), DENY),
        (("analyst", "model_call", "gpt-5-mini"), DENY),
        (("executor", "model_call", "gpt-4.1"), ALLOW),
        (("executor", "model_call", "claude"), DENY),
        (("stranger", "tool_call", "warehouse", "GET /stock"), DENY),
    ],
    ids=str,
)
def test_the_registry_is_what_holds(policy: Policy, about: tuple[str, ...], decision: Decision) -> None:
    assert ask(policy, *about).decision is decision


@pytest.mark.parametrize(
    ("amount", "decision"), [(500, ALLOW), (500.01, HOLD), (10_000, HOLD), ("9", HOLD), (None, DENY), ([1], HOLD)]
)
def test_amounts_decide(policy: Policy, amount: object, decision: Decision) -> None:
    assert ask(policy, "executor", "tool_call", "erp.order", amount=amount).decision is decision


@pytest.mark.parametrize(
    "arguments",
    [
        {"a": "x" * 70_000, "amount": 9000},
        {**{f"a{n}": n for n in range(200)}, "amount": 9000},
        [{"amount": 9000}],
        '\ufeff{"amount": 9000}',
        {"amount": 9000, 1: 2},
        {"amount": float("inf")},
        {"amount": float("-inf")},
        {"amount": float("nan")},
        '{"amount": 1e400}',
        '{"amount": 9000, "amount": 9}',
    ],
    ids=["long", "many", "list", "text", "no order", "endless", "endless below", "no number", "too large", "twice"],
)
def test_an_amount_that_cannot_be_seen_is_held(policy: Policy, arguments: object) -> None:
    """Else a hold on large amounts would be got round by writing them where nobody looks."""
    agent = "clerk"
    assert policy.verdict(action(agent, "tool_call", "erp.order", arguments={"amount": 1})).decision is ALLOW
    assert policy.verdict(action(agent, "tool_call", "erp.order")).decision is ALLOW
    assert policy.verdict(action(agent, "tool_call", "erp.order", arguments=arguments)).decision is HOLD


@pytest.mark.parametrize("body", ["amount=9000", [{"amount": 9000}], {"a": {"b": {"c": {"d": {"e": {}}}}}}], ids=str)
def test_nor_is_one_inside_of_something_else(policy: Policy, body: object) -> None:
    asked = action("deep", "tool_call", "erp.order", arguments={"body": body})
    assert policy.verdict(asked).decision is HOLD


@pytest.mark.parametrize(
    ("account", "decision"),
    [("4711", DENY), (4711, DENY), (4711.0, DENY), (["4711"], DENY), ("99", ALLOW), (None, ALLOW)],
)
def test_a_text_given_as_a_number_slips_past_no_deny(policy: Policy, account: object, decision: Decision) -> None:
    assert ask(policy, "teller", "tool_call", "pay", account=account).decision is decision


def test_the_reason_names_the_grant_and_the_action(policy: Policy) -> None:
    verdict = ask(policy, "analyst", "tool_call", "warehouse", "GET /stock")
    assert "reader: tool_call warehouse* when target = GET *" in verdict.reason
    assert "tool_call warehouse on GET /stock" in verdict.reason
    assert verdict.guard == "policy"
    assert "no grant allows it" in ask(policy, "analyst", "tool_call", "nothing").reason


def test_a_verdict_names_the_revision_of_policy_and_grants(policy: Policy, shipped: object) -> None:
    revision, _, grants = ask(policy, "analyst", "publish", "plan").revision.partition("+")
    assert revision.removeprefix("fusebox@") == shipped.revision  # type: ignore[attr-defined]
    assert grants == policy.grants.revision


@settings(max_examples=60)
@given(st.text(st.characters(exclude_categories=[]), max_size=40))
@example("\\x0")
@example("\\u0041\\")
def test_whatever_an_agent_calls_a_thing_it_is_that_thing(policy: Policy, text: str) -> None:
    """Quotes, backslashes, NUL, half a surrogate: none makes one resource look like another, or breaks the asking."""
    assert ask(policy, "executor", "model_call", f"gpt-{text}").decision is ALLOW
    assert ask(policy, "executor", "model_call", f"x{text}gpt-").decision is DENY
