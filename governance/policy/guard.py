"""PolicyGuard: asks the policy before an action happens."""

from __future__ import annotations

from collections.abc import Callable

from fusebox.guard import POLICY
from fusebox.records import Action, Verdict
from governance.policy.policy import Policy


class PolicyGuard:
    """A :class:`fusebox.guard.Guard`, the last of the chain: what it allows happens.

    Args:
        ruled: told of what was allowed, for the audit log. Who enforces a denial tells of that.
    """

    name = POLICY

    def __init__(self, policy: Policy, ruled: Callable[[Action, Verdict], None]) -> None:
        self._policy, self._ruled = policy, ruled

    def check(self, action: Action) -> Verdict:
        verdict = self._policy.verdict(action)
        if verdict.allowed:
            self._ruled(action, verdict)
        return verdict
