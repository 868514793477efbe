"""The shapes of what agent processes may say to the control API, over HTTP and over the broker."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from collector.watch.body import AgentId, AlertId, ApprovalId, Body, Id, Moment, Scope, Seconds, Text, Trace, Whole
from fusebox.records import Decision, Finding, State, Transition
from governance.approvals.request import MAX_ARGUMENTS, Request, is_exact
from rabbitmq.untold import KILL_ID, MAX_KILLS

MAX_WAIT_S = 30.0
_MAX_AGENTS = 4096
"""As many as may have keys of one gateway."""


KillId = Annotated[str, StringConstraints(pattern=rf"^{KILL_ID.pattern}$")]


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
    kills: Annotated[dict[KillId, Scope], Field(max_length=MAX_KILLS)] = Field(default_factory=dict)
    more: Whole = 0


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
    spans: list[Trace] = Field(default_factory=list, max_length=200)
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


def _exact(arguments: str) -> str:
    if not is_exact(arguments):
        raise ValueError("arguments are not canonical JSON; people could be shown something else than they say")
    return arguments


class RequestBody(Body):
    """What an agent wants to do, inside ``hold``."""

    agent: AgentId
    kind: Literal["publish", "consume", "model_call", "tool_call"]
    operation: Annotated[str, StringConstraints(max_length=300)]
    target: Text
    arguments: Annotated[str, StringConstraints(max_length=MAX_ARGUMENTS), AfterValidator(_exact)]
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
