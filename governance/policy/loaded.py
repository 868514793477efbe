"""A policy that was loaded, with the grants it was loaded with: asked, and its answers remembered.

It never changes: whoever asks while a newer one takes its place gets an answer of the one or the other, never a
mixture.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from fusebox.guard import POLICY
from fusebox.records import Action, Verdict
from governance.policy.cache import LIFETIMES_S, Verdicts
from governance.policy.grants import Grants
from governance.policy.question import Questions
from governance.policy.ruling import Engine, Question, Ruling


@dataclass(frozen=True, slots=True)
class Loaded:
    """See the module. Times are seconds on a monotonic clock."""

    engine: Engine
    questions: Questions
    grants: Grants
    _verdicts: Verdicts = field(default_factory=Verdicts)
    """Its own, so that an answer of the policy before, still on its way, is not remembered as one of this."""

    def question(self, action: Action) -> Question:
        """What is asked about an action."""
        return self.questions.question(action, self.questions.summary(action))

    def verdict(self, action: Action, now: float) -> Verdict:
        """Rule on an action.

        Raises:
            PolicyUnavailable: nobody can be asked.
            BadPolicy: the answer is no decision.
        """
        summary = self.questions.summary(action)
        key = self.questions.key(action, summary)
        found = self._verdicts.get(key, now)
        if found is not None:
            return found
        verdict = self._verdict(self.engine.decide(self.questions.question(action, summary)), action)
        self._verdicts.put(key, verdict, self.grants.of(action.agent).risk, now)
        return verdict

    def remembers(self, action: Action, now: float) -> bool:
        """True while its verdict stands without anybody being asked.

        Never of an action with arguments: to read those may take as long.
        """
        return action.arguments is None and self._verdicts.get(self.questions.key(action, {}), now) is not None

    def _verdict(self, ruling: Ruling, action: Action) -> Verdict:
        """The ruling on an action, and on all that the policy cannot tell from it; the reason must be true of each."""
        about, risk = f"{action.kind} {action.operation}", self.grants.of(action.agent).risk
        alone = self.questions.names_target(action.agent) or not LIFETIMES_S[risk]
        if alone and action.target not in ("", action.operation):
            about += f" on {action.target}"
        reason = f"{ruling.reason or ruling.rule or ruling.decision} ({about})"
        revision = f"{ruling.revision}+{self.grants.revision}"
        return Verdict(
            ruling.decision, POLICY, reason, narrow=True, revision=revision, decision_id=ruling.decision_id
        )  # fmt: skip
