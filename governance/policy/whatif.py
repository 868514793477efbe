"""What if: recorded decisions, asked again of another policy or other grants.

A record has no arguments (they may be anything, so they are not stored), and one workflow for all decisions that were
alike. Where a policy, or a condition of the agent, looks at either, the new decision is said to be unsure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from fusebox.records import Action, ActionKind, Decision
from governance.policy.policy import Policy


@dataclass(frozen=True, slots=True)
class Recorded:
    """Decisions that were alike."""

    agent: str
    action: ActionKind
    resource: str
    target: str
    workflow: str
    decision: Decision
    count: int = 1

    def as_action(self, tenant: str) -> Action:
        """What was decided about."""
        return Action(self.action, self.agent, self.resource, self.target, tenant, self.workflow)


@dataclass(frozen=True, slots=True)
class Flip:
    """Decisions that would be another one."""

    recorded: Recorded
    after: Decision
    reason: str
    sure: bool


def flips(policy: Policy, recorded: Iterable[Recorded], tenant: str = "default") -> Iterator[Flip]:
    """What ``policy`` would decide otherwise.

    Raises:
        PolicyUnavailable, BadPolicy: it cannot be asked.
    """
    for record in recorded:
        ruling = policy.ruling(record.as_action(tenant))
        sure = not policy.judges_unrecorded(record.agent)
        if ruling.decision is not record.decision or not sure:
            yield Flip(record, ruling.decision, ruling.reason, sure)


def unused(policy: Policy, recorded: Iterable[Recorded], tenant: str = "default") -> dict[str, list[str]]:
    """The grants, by agent, that fit no recorded action. One that looks at arguments, or at the workflow, is used if
    an action of its kind on its resource is on record, whatever they were: it is left out where that cannot be known.

    Raises:
        PolicyUnavailable, BadPolicy: the policy cannot be asked.
    """
    matched: dict[str, set[str]] = {}
    for record in recorded:
        matched.setdefault(record.agent, set()).update(policy.ruling(record.as_action(tenant)).matched)
    found = {}
    for agent in policy.grants.agents():
        standing = policy.grants.of(agent)
        names = [name for name in standing.names() if name not in matched.get(agent, ())]
        names = [name for name in names if name not in standing.unknowable]
        if names:
            found[agent] = names
    return found
