"""Who a span or a log record belongs to: what it may say about itself, and what only its token says.

The agent is who the token may speak for. What claims another agent is attributed to the token's own name and keeps its
claim in ``fusebox.claimed_agent``; an id that is none becomes ``invalid:<16 hex of its SHA-256>``.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, field
from typing import Final

from collector.receive.clean import MAX_NAME, Attributes, cut, put
from collector.tokens import Principal
from fusebox import happenings, names
from fusebox.eventmap import Value, agent_of
from fusebox.registry import AGENT_ID

CLAIMED: Final = happenings.declare(
    "agent_claims_rewritten",
    logging.WARNING,
    "spans and log records that named an agent their token is not bound to, or no valid id",
)


def speaker(claim: str, principal: Principal) -> str:
    """The agent to which something of ``principal`` that claims to be of ``claim`` is attributed."""
    if not claim or not principal.may_speak_for(claim):
        return principal.name
    if not AGENT_ID.fullmatch(claim):
        return f"invalid:{hashlib.sha256(claim.encode()).hexdigest()[:16]}"
    return claim


@dataclass(slots=True)
class Attribution:
    """Attributes the parts of one request to agents, and counts the claims it did not believe."""

    principal: Principal
    rewritten: int = 0
    example: str = field(default="", repr=False)
    _speakers: dict[str, str] = field(default_factory=dict, repr=False)
    """Who each claim is attributed to."""

    def attribute(self, attributes: Attributes, facts: dict[str, Value], service: str) -> None:
        """Write agent, tenant and a claim that was not believed into ``attributes``, whose values are ``facts``."""
        if names.SCORE_AGENT in facts:
            self._attribute_score(attributes, str(facts[names.SCORE_AGENT]))
        claim = agent_of(facts, service)
        agent = self._speaker(claim)
        if agent != facts.get(names.GEN_AI_AGENT_ID):
            _replace(attributes, names.GEN_AI_AGENT_ID, agent)
        if claim and agent != claim:
            self.rewritten += 1
            self.example = claim[:200]
            put(attributes, names.CLAIMED_AGENT, cut(claim, MAX_NAME))
        put(attributes, names.TENANT, self.principal.tenant)

    def _attribute_score(self, attributes: Attributes, claim: str) -> None:
        """A detector's score of an agent is what only somebody who may speak for it can tell."""
        agent = self._speaker(claim)
        if agent != claim:
            self.rewritten += 1
            self.example = claim[:200]
            _replace(attributes, names.SCORE_AGENT, agent)

    def _speaker(self, claim: str) -> str:
        agent = self._speakers.get(claim)
        if agent is None:
            agent = self._speakers[claim] = speaker(claim, self.principal)
        return agent

    def report(self) -> None:
        """One happening for the whole request: its sender must not decide how much is logged."""
        if self.rewritten:
            happenings.emit(CLAIMED, count=self.rewritten, principal=self.principal.name, claim=self.example)


def _replace(attributes: Attributes, key: str, text: str) -> None:
    for pair in attributes:
        if pair.key == key:
            pair.value.string_value = text
            return
    put(attributes, key, text)
