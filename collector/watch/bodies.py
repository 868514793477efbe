"""The shapes of what may be said to the control API. Unknown fields, and anything oversized, are refused."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from collector.alerts.matching import Match
from collector.watch.refusal import BAD_REQUEST, Refusal
from fusebox.command import agent_scope, names_someone
from fusebox.records import Decision, Finding, State, Transition
from fusebox.registry import AGENT_ID
from governance.approvals.request import MAX_ARGUMENTS, Request

MAX_WAIT_S = 30.0
MAX_SILENCE_S = 30 * 86_400.0
_MAX_AGENTS = 4096
"""As many as may have keys of one gateway."""
_PREFIX = agent_scope("")


def _agent(text: str) -> str:
    if not AGENT_ID.fullmatch(text):
        raise ValueError(f"an agent id must match {AGENT_ID.pattern}")
    return text


def _scope(text: str) -> str:
    bad_agent = text.startswith(_PREFIX) and not AGENT_ID.fullmatch(text.removeprefix(_PREFIX))
    if not names_someone(text) or not text.isprintable() or bad_agent:
        raise ValueError("scope is 'all', 'agent:<agent id>', 'tenant:<name>', 'workflow:<id>' or 'tool:<name>'")
    return text


AgentId = Annotated[str, AfterValidator(_agent)]
Scope = Annotated[str, AfterValidator(_scope)]
Id = Annotated[str, StringConstraints(pattern=rf"^{AGENT_ID.pattern}$")]
Text = Annotated[str, StringConstraints(max_length=2000)]
Reason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]
Seconds = Annotated[float, Field(allow_inf_nan=False)]
Moment = Annotated[float, Field(ge=0, le=32_503_680_000)]
"""Unix seconds up to the year 3000: what every reader of the journal can turn into a date."""
AlertId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,100}$")]
"""Becomes part of a webhook's id, whose alphabet is this."""
Money = Annotated[str, StringConstraints(pattern=r"^([0-9]{1,6}(\.[0-9]{1,12})?)?$")]
"""US dollars as a decimal."""
MAX_REPRICED = 1_000
"""Rows in one entry of the journal."""
Trace = Annotated[str, StringConstraints(max_length=64)]


Whole = Annotated[int, Field(ge=0, le=1 << 53)]
"""A count that every reader of JSON, and every sum of ours, can hold."""


class Body(BaseModel):
    """Base of all request bodies."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


# --- from people ------------------------------------------------------------------------------------------------------
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


ApprovalId = Annotated[str, StringConstraints(pattern=r"^apr_[0-9a-f]{16}$")]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class AnswerBody(Body):
    """``approvals/answer``, and the data of a webhook; ``digest`` is that of the request as it was read."""

    approval: ApprovalId
    digest: Digest
    approve: bool
    reason: Reason


# --- from agent processes ---------------------------------------------------------------------------------------------
class Snapshot(Body):
    """``snapshot``."""

    nonce: Annotated[str, StringConstraints(min_length=8, max_length=128)]
    process: Id
    agents: Annotated[list[AgentId], Field(max_length=_MAX_AGENTS)]


class Held(Body):
    """What a poll says about one agent."""

    held: Whole = 0


class Poll(Body):
    """``poll``."""

    process: Id
    host: Annotated[str, StringConstraints(max_length=255)] = ""
    pid: Whole = 0
    cursor: Whole
    wait: Annotated[float, Field(ge=0, le=MAX_WAIT_S)] = 0.0
    agents: Annotated[dict[AgentId, Held], Field(max_length=_MAX_AGENTS)]


class ReceiptBody(Body):
    """``receipts``."""

    process: Id
    command: Id
    agents: Annotated[list[AgentId], Field(max_length=_MAX_AGENTS)]
    applied_at: Seconds


class FindingBody(Body):
    """A Finding inside a report."""

    agent: AgentId
    detector: Id
    time: Moment
    reason: Text
    action: Literal["warn", "open"]
    score: Seconds
    threshold: Seconds
    spans: Annotated[list[Trace], Field(max_length=200)] = []
    repeated: Text = ""
    trace_id: Trace = ""
    tenant: Id = "default"
    first_time: Moment = 0.0
    id: Id

    def record(self) -> Finding:
        """The Finding as everyone else knows it."""
        return Finding(**{**self.model_dump(), "spans": tuple(self.spans)})


class TransitionBody(Body):
    """A Transition inside a report."""

    agent: AgentId
    before: State = Field(strict=False)
    after: State = Field(strict=False)
    time: Moment
    reason: Text
    actor: Annotated[str, StringConstraints(max_length=200)]
    finding: FindingBody | None = None
    tenant: Id = "default"
    id: AlertId

    def record(self) -> Transition:
        """The Transition as everyone else knows it."""
        found = self.finding.record() if self.finding else None
        return Transition(**{**self.model_dump(exclude={"finding"}), "finding": found})


class Report(Body):
    """``reports``."""

    process: Id
    transition: TransitionBody


class Denial(Body):
    """One row of ``denials``: how often a guard ruled so in a minute."""

    agent: AgentId
    guard: Annotated[str, StringConstraints(max_length=100)]
    decision: Decision = Field(Decision.DENY, strict=False)
    reason: Text
    action: Annotated[str, StringConstraints(max_length=100)]
    minute: Whole
    count: Annotated[Whole, Field(ge=1)]
    trace_id: Trace = ""
    operation: Text = ""
    target: Text = ""
    workflow: Text = ""
    revision: Text = ""
    decision_id: Text = ""


class Denials(Body):
    """``denials``."""

    process: Id
    rows: Annotated[list[Denial], Field(max_length=500)]


class Commit(Body):
    """One row of ``commits``: how an action ended that people had agreed to."""

    agent: AgentId
    approval: ApprovalId
    outcome: Annotated[str, StringConstraints(min_length=1, max_length=100)]
    trace_id: Trace = ""


class Commits(Body):
    """``commits``."""

    process: Id
    rows: Annotated[list[Commit], Field(max_length=500)]


class RequestBody(Body):
    """What an agent wants to do, inside ``hold``."""

    agent: AgentId
    kind: Literal["publish", "consume", "model_call", "tool_call"]
    operation: Annotated[str, StringConstraints(max_length=300)]
    target: Text
    arguments: Annotated[str, StringConstraints(max_length=MAX_ARGUMENTS)]
    contract: Text
    revision: Annotated[str, StringConstraints(max_length=200)]
    guard: Annotated[str, StringConstraints(max_length=100)]
    reason: Text
    workflow: Annotated[str, StringConstraints(max_length=128)]
    trace_id: Trace
    origin: Annotated[str, StringConstraints(max_length=300)]

    def record(self) -> Request:
        """The request as everyone else knows it."""
        return Request(**self.model_dump())


class HoldBody(Body):
    """``hold``: how do things stand with this action?"""

    process: Id
    request: RequestBody
    nonce: Annotated[str, StringConstraints(min_length=16, max_length=128)]
    named: ApprovalId | Literal[""] = ""
    by_origin: bool


class StandingBody(Body):
    """``standing``: how do the approvals of these agents stand?"""

    process: Id
    agents: Annotated[list[AgentId], Field(max_length=_MAX_AGENTS)]


class Leave(Body):
    """``leave``."""

    process: Id


B = TypeVar("B", bound=Body)


def parse(kind: type[B], data: Any) -> B:
    """Read a decoded body.

    Raises:
        Refusal: it has another shape; the text names each field that is wrong.
    """
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        raise Refusal(BAD_REQUEST, _explain(error)) from error


def _explain(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_input=False, include_context=False)[:5]
    return "; ".join(f"{'.'.join(str(part) for part in e['loc']) or 'body'}: {e['msg']}"[:200] for e in found)
