"""An OPA server, by its stand-in: the wire, and every way not to get a decision."""

import threading
from collections.abc import Iterator

import pytest

from fusebox.clock import ManualClock
from fusebox.errors import ConfigError
from fusebox.records import Decision, Verdict
from governance.policy.bundle import Bundle
from governance.policy.opa import REST_S, revision_of
from governance.policy.policy import Policy, problem_of
from tests.governance.policy.conftest import Make, ask
from tests.governance.policy.opa_server import PATH, OpaServer

ABOUT = ("executor", "model_call", "gpt-5")
"""Of high risk, so that it is asked about each time."""


@pytest.fixture
def opa(make: Make, server: OpaServer, shipped: Bundle) -> Iterator[Policy]:
    server.serve(shipped)
    yield make(server.url, policy_token="sesame")
    server.failing, server.garbled = 0, b""


def test_the_question_is_the_input_and_the_decision_id_is_kept(opa: Policy, server: OpaServer) -> None:
    verdict = ask(opa, *ABOUT)
    asked = server.asked[-1]
    assert asked["path"] == f"{PATH}?provenance=true"
    assert asked["headers"]["authorization"] == "Bearer sesame"
    assert {"agent", "roles", "action", "resource", "arguments", "workflow", "environment"} <= asked["input"].keys()
    assert (asked["input"]["resource"], asked["input"]["environment"]) == ("gpt-5", "test")
    assert verdict.decision_id == f"dec-{len(server.asked)}"
    assert verdict.revision.startswith(f"fusebox@{server.revision}+")


@pytest.mark.parametrize("token", ["sesame\n", " sesame "])
def test_blanks_around_the_token_are_not_part_of_it(make: Make, server: OpaServer, shipped: Bundle, token: str) -> None:
    server.serve(shipped)
    ask(make(server.url, policy_token=token), *ABOUT)
    assert server.asked[-1]["headers"]["authorization"] == "Bearer sesame"


@pytest.mark.parametrize("token", ["hunter2\nx", "hunter2é"])
def test_a_token_that_fits_no_header_is_refused_at_once_and_not_repeated(
    make: Make, server: OpaServer, token: str
) -> None:
    with pytest.raises(ConfigError, match="FUSEBOX_POLICY_TOKEN") as refused:
        make(server.url, policy_token=token)
    assert "hunter2" not in str(refused.value)


def test_a_new_bundle_of_the_server_is_a_new_revision(opa: Policy, server: OpaServer) -> None:
    before = ask(opa, *ABOUT).revision
    server.serve(Bundle({"p.rego": 'package fusebox.policy\ndecision := {"decision": "hold"}\n'}))
    after = ask(opa, *ABOUT)
    assert (after.decision, after.revision != before) == (Decision.HOLD, True)


def test_undefined_is_a_denial(opa: Policy, server: OpaServer) -> None:
    server.serve(Bundle({"p.rego": "package other\nx := 1\n"}))
    verdict = ask(opa, *ABOUT)
    assert (verdict.decision, "no rule of the policy applies" in verdict.reason) == (Decision.DENY, True)


@pytest.mark.parametrize(
    ("failing", "garbled", "why"),
    [
        (500, b"", "HTTP status 500"),
        (401, b"", "HTTP status 401"),
        (0, b"<html>", "is not OPA"),
        (0, b'{"result": true}', "not an object with a decision"),
        (0, b'{"result": {"decision": ["allow"]}}', "not an object with a decision"),
    ],
)
def test_what_is_no_decision_denies(opa: Policy, server: OpaServer, failing: int, garbled: bytes, why: str) -> None:
    server.failing, server.garbled = failing, garbled
    verdict = ask(opa, *ABOUT)
    assert verdict.decision is Decision.DENY
    assert why in verdict.reason
    assert verdict.retry_after
    assert why in problem_of(opa)


def test_a_question_that_breaks_the_policy_is_nobody_elses_trouble(opa: Policy, server: OpaServer) -> None:
    server.failing = 500
    assert ask(opa, *ABOUT).decision is Decision.DENY
    server.failing = 0
    assert ask(opa, "analyst", "publish", "plan").decision is Decision.ALLOW


def test_a_server_that_is_away_denies_and_is_not_asked_each_time(
    make: Make, shipped: Bundle, clock: ManualClock
) -> None:
    server = OpaServer()
    server.serve(shipped)
    policy = make(server.url)
    assert ask(policy, *ABOUT).decision is Decision.ALLOW
    server.failing = 503
    assert ask(policy, *ABOUT).decision is Decision.DENY
    asked = len(server.asked)
    server.failing = 0
    assert ask(policy, *ABOUT).decision is Decision.DENY
    assert len(server.asked) == asked
    clock.advance(REST_S)
    assert ask(policy, *ABOUT).decision is Decision.ALLOW
    server.stop()
    policy.stop()
    gone = make(server.url)
    assert "does not answer" in ask(gone, *ABOUT).reason


def test_an_answer_that_trickles_is_none(make: Make, shipped: Bundle) -> None:
    server = OpaServer()
    server.serve(shipped)
    server.trickle = True
    found: list[Verdict] = []
    asking = threading.Thread(target=lambda: found.append(ask(make(server.url), *ABOUT)), daemon=True)
    asking.start()
    asking.join(10)  # at its pace the answer would take a day
    server.trickle = False
    server.stop()
    (verdict,) = found
    assert verdict.decision is Decision.DENY
    assert "does not answer" in verdict.reason


def test_an_agent_of_low_risk_goes_on_with_what_was_decided_while_that_stands(
    opa: Policy, server: OpaServer, clock: ManualClock
) -> None:
    assert ask(opa, "analyst", "publish", "plan").decision is Decision.ALLOW
    assert ask(opa, *ABOUT).decision is Decision.ALLOW
    server.failing = 503
    assert ask(opa, "analyst", "publish", "plan").decision is Decision.ALLOW
    assert ask(opa, *ABOUT).decision is Decision.DENY
    clock.advance(61)
    assert ask(opa, "analyst", "publish", "plan").decision is Decision.DENY


@pytest.mark.parametrize(
    ("provenance", "revision"),
    [
        ({"bundles": {"b": {"revision": "2"}, "a": {"revision": "1"}}}, "a@1,b@2"),
        ({"bundles": {"a": {}}}, "a@"),
        ({"version": "1.8.0"}, ""),
        (None, ""),
        ({"bundles": [1]}, ""),
    ],
)
def test_the_revision_is_that_of_all_bundles(provenance: object, revision: str) -> None:
    assert revision_of(provenance) == revision
