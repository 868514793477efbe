"""The shapes of what people may say to the control API."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from collector.alerts.matching import Match
from collector.watch.body import AgentId, AlertId, ApprovalId, Body, Id, Reason, Scope, Text, Trace, Whole

MAX_SILENCE_S = 30 * 86_400.0
MAX_REPRICED = 1_000
"""Rows in one entry of the journal."""
Money = Annotated[str, StringConstraints(pattern=r"^([0-9]{1,6}(\.[0-9]{1,12})?)?$")]
"""US dollars as a decimal."""


class ScopeBody(Body):
    """``kill`` and ``resume``."""

    scope: Scope
    reason: Reason


class Repriced(Body):
    """One row of the ledger with its price now and before; an empty cost is one that nobody knows."""

    trace_id: Trace
    span_id: Trace
    cost_usd: Money
    price: Annotated[str, StringConstraints(min_length=1, max_length=300)]
    before_usd: Money
    before_price: Annotated[str, StringConstraints(max_length=300)]

    def row(self) -> list[str]:
        """As the journal keeps it, in the order in which the ledger's view reads it."""
        return [self.trace_id, self.span_id, self.cost_usd, self.price, self.before_usd, self.before_price]


class RepriceBody(Body):
    """``reprice``: what the ledger says from now on, and said before."""

    subject: Annotated[str, StringConstraints(max_length=200)]
    reason: Reason
    rows: Annotated[list[Repriced], Field(min_length=1, max_length=MAX_REPRICED)]


class EraseBody(Body):
    """``erase``."""

    writer: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]
    seq: Whole
    reason: Reason


class VerifiedBody(Body):
    """``verified``: entries of each writer that a verification found as they were signed."""

    sizes: Annotated[dict[Annotated[str, StringConstraints(max_length=32)], Whole], Field(min_length=1, max_length=20)]


class AgentBody(Body):
    """``trip`` and ``reset``."""

    agent: AgentId
    reason: Reason


class ModeBody(AgentBody):
    """``mode``."""

    mode: Literal["normal", "observe_only", "disabled"]


class MessagesBody(Body):
    """``messages``: what a person is about to do with an agent's held or dead messages; ``chosen`` says which."""

    agent: AgentId
    act: Literal["replay", "discard"]
    queue: Literal["held", "dead"]
    chosen: Text


class OutcomeBody(Body):
    """``outcome``: what became of it; ``order`` is the answer to the intent, ``error`` is empty when all went well."""

    order: Id
    count: Whole
    error: Text


class SilenceBody(Body):
    """``alerts/silence``: for so many seconds."""

    match: Match
    seconds: Annotated[float, Field(gt=0, le=MAX_SILENCE_S)]
    reason: Reason

    @model_validator(mode="after")
    def _some(self) -> SilenceBody:
        if self.match == Match():
            raise ValueError("name agents, teams, severities or types; everything at once cannot be silenced")
        return self


class UnsilenceBody(Body):
    """``alerts/unsilence``."""

    silence: AlertId
    reason: Reason


class AckBody(Body):
    """``alerts/ack``."""

    alert: AlertId
    reason: Reason


class TestBody(Body):
    """``alerts/test``: one sink, or all."""

    sink: Annotated[str, StringConstraints(max_length=32)] = ""


class AuditBody(Body):
    """``alerts/audit``: why the journal does not verify, and where it breaks."""

    reason: Reason
    where: Annotated[str, StringConstraints(min_length=1, max_length=200)]


Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class AnswerBody(Body):
    """``approvals/answer``, and the data of a webhook; ``digest`` is that of the request as it was read."""

    approval: ApprovalId
    digest: Digest
    approve: bool
    reason: Reason
