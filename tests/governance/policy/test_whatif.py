"""What another policy, or other grants, would have decided of what is on record."""

from typing import Any

import pytest

from fusebox.records import ActionKind, Decision
from governance.policy.policy import Policy
from governance.policy.source import SHIPPED
from governance.policy.whatif import Recorded, flips, unused
from tests.governance.policy.conftest import REGISTRY, Make

ALLOW, HOLD, DENY = Decision.ALLOW, Decision.HOLD, Decision.DENY
TOOL = ActionKind.TOOL_CALL
RECORDED = (
    Recorded("analyst", TOOL, "warehouse", "GET /stock", "", ALLOW, 40),
    Recorded("analyst", TOOL, "warehouse", "POST /stock", "", DENY, 2),
    Recorded("analyst", ActionKind.PUBLISH, "plan.made", "plan.made", "", ALLOW, 7),
    Recorded("executor", TOOL, "erp.order", "", "", HOLD, 3),
    Recorded("stranger", TOOL, "x", "", "", DENY),
)


@pytest.fixture
def changed(make: Make) -> Policy:
    """The analyst may no longer read the warehouse, and may write to it."""
    registry: dict[str, Any] = {
        "agents": {
            **REGISTRY["agents"],
            "analyst": {
                "owner": "jo",
                "publishes": ["plan.#"],
                "grants": [{"action": "tool_call", "resource": "warehouse", "when": {"target": "POST *"}}],
            },
        }
    }
    return make(SHIPPED, registry)


def test_nothing_flips_under_the_same_policy(make: Make) -> None:
    found = list(flips(make(SHIPPED), RECORDED))
    assert [(flip.recorded.agent, flip.sure) for flip in found] == [("executor", False)]


def test_a_change_shows_which_decisions_it_flips(changed: Policy) -> None:
    found = {(f.recorded.target, f.recorded.count): f.after for f in flips(changed, RECORDED) if f.sure}
    assert found == {("GET /stock", 40): DENY, ("POST /stock", 2): ALLOW}


def test_what_depends_on_the_workflow_is_not_sure(make: Make) -> None:
    grant = {"action": "tool_call", "resource": "warehouse", "when": {"workflow": "wf-night-*"}}
    policy = make(SHIPPED, {"agents": {"analyst": {"owner": "jo", "grants": [grant]}}})
    assert [(flip.after, flip.sure) for flip in flips(policy, RECORDED[:1])] == [(DENY, False)]


def test_grants_that_nothing_used_are_named(make: Make) -> None:
    found = unused(make(SHIPPED), RECORDED)
    assert found == {"analyst": ["analyst: consume delay.*"], "executor": ["executor: model_call gpt-*"]}
    assert "analyst: publish plan.#" in unused(make(SHIPPED), RECORDED[:2])["analyst"]
