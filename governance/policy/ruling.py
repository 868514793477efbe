"""Ruling: what a policy says to one question; Engine: who is asked; and how asking can fail."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from fusebox.errors import Permanent, Retryable
from fusebox.records import Decision

ENTRYPOINT: Final = "fusebox/policy/decision"
"""The rule that is asked: ``decision`` of ``package fusebox.policy``."""
VARYING: Final = frozenset({"target", "workflow", "arguments"})
"""Fields of a question that may differ between two actions of one agent on one resource."""
_MAX_SHOWN: Final = 200

Question = Mapping[str, Any]
"""The input document; :mod:`governance.policy.question` makes it."""


class BadPolicy(Permanent):
    """A policy that cannot be loaded, or answered something that is no decision; the text names what."""


class NotTried(BadPolicy):
    """The machine had no time or no room to try a policy; it may be a good one."""


class PolicyUnavailable(Retryable):
    """No policy is loaded, or the server that has it does not answer."""


@dataclass(frozen=True, slots=True)
class Ruling:
    """A decision, and why."""

    decision: Decision
    reason: str = ""
    rule: str = ""
    """The rule or grant that decided."""
    matched: tuple[str, ...] = ()
    """All that would have decided the same."""
    revision: str = ""
    """Of the policy, as its engine names it."""
    decision_id: str = ""


class Engine(Protocol):
    """Answers questions. Thread-safe."""

    @property
    def remote(self) -> bool:
        """True when an answer takes a call over the network."""

    @property
    def reads(self) -> frozenset[str]:
        """Which of :data:`VARYING` an answer may depend on."""

    def decide(self, question: Question) -> Ruling:
        """The answer.

        Raises:
            BadPolicy: it is none; :class:`PolicyUnavailable`: there is none now.
        """

    def close(self) -> None:
        """Give back what it holds. Legal twice."""


def ruling_of(document: object, revision: str, decision_id: str = "") -> Ruling:
    """Read the document that a policy gave: ``{"decision", "reason", "rule", "matched"}``, all but the first optional.

    Undefined (None) is a denial.

    Raises:
        BadPolicy: it is anything else.
    """
    if document is None:
        return Ruling(Decision.DENY, "no rule of the policy applies", "", (), revision, decision_id)
    if not isinstance(document, dict) or document.get("decision") not in list(Decision):
        raise BadPolicy(f"the policy answered {_shown(document)}, not an object with a decision: allow, hold or deny")
    matched = document.get("matched")
    return Ruling(
        Decision(document["decision"]), str(document.get("reason", "")), str(document.get("rule", "")),
        tuple(map(str, matched)) if isinstance(matched, list) else (), revision, decision_id,
    )  # fmt: skip


def _shown(document: object) -> str:
    return json.dumps(document, default=str)[:_MAX_SHOWN]
