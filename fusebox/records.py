"""The nouns: what an agent wants (Action), what it did (Event), what was ruled (Verdict) and what followed.

All are slotted and, but for Event, frozen; they compare by value and cross threads freely. Times are seconds since the
Unix epoch on :mod:`fusebox.clock`, durations are seconds, money is US dollars, hashes are unsigned 64-bit integers (0 =
not known).
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from fusebox.simhash import Likeness


class ActionKind(StrEnum):
    """The four things an agent can do."""

    PUBLISH = "publish"
    CONSUME = "consume"
    MODEL_CALL = "model_call"
    TOOL_CALL = "tool_call"


class Decision(StrEnum):
    """What a Guard rules."""

    ALLOW = "allow"
    HOLD = "hold"
    DENY = "deny"


class State(StrEnum):
    """Circuit states, with resilience4j's names (``METRICS_ONLY`` is called ``observe_only`` here)."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    FORCED_OPEN = "forced_open"
    DISABLED = "disabled"
    OBSERVE_ONLY = "observe_only"


@dataclass(frozen=True, slots=True)
class Hop:
    """One step of a Lineage: who acted, and the fingerprint of what it sent (:mod:`breakers.rounds`)."""

    agent: str
    request: int


Lineage = tuple[Hop, ...]


@dataclass(frozen=True, slots=True)
class Action:
    """What an agent wants to do now."""

    kind: ActionKind
    agent: str
    operation: str
    target: str = ""
    tenant: str = "default"
    workflow: str = ""
    trace_id: str = ""
    request: int = 0
    lineage: Lineage = ()
    """What led to it: the chain of the message at hand."""
    hop: int = 0
    """What a publish adds to the chain, as the request of its :class:`Hop`; 0 where that is ``request``."""
    permit: str = ""
    """The probe permit of the handler run that it belongs to, whichever thread it is done on; empty for none."""
    arguments: Any = field(default=None, compare=False, repr=False)
    """What it is done with, exactly as given; None when there is nothing, or nothing that may be judged (prompts)."""

    @property
    def chain(self) -> Lineage:
        """The lineage as it goes on from here: a publish is a step of it."""
        if self.kind is not ActionKind.PUBLISH:
            return self.lineage
        return (*self.lineage, Hop(self.agent, self.hop or self.request))


@dataclass(frozen=True, slots=True)
class Verdict:
    """A Guard's ruling on an Action."""

    decision: Decision
    guard: str
    reason: str = ""
    finding: str = ""
    retry_after: float | None = None
    """Seconds until a probe may be admitted; None when only a person can help."""
    narrow: bool = False
    """True when it is not the agent that is stopped, but this workflow, tool or action."""
    revision: str = ""
    """What policy, and what grants, it was ruled by; empty for guards that ask no policy."""
    decision_id: str = ""
    """The policy server's own id of the decision, where it keeps a log."""

    @property
    def allowed(self) -> bool:
        """True when the action may go ahead."""
        return self.decision is Decision.ALLOW


@dataclass(slots=True)  # not frozen: that doubles the cost of making one, and one is made for every action
class Event:
    """What an agent did: the typed facts that detectors and tables use, taken from one span. Nobody changes one."""

    time: float
    agent: str
    action: ActionKind
    operation: str
    target: str = ""
    tenant: str = "default"
    workflow: str = ""
    request: int = 0
    request_exact: int = 0
    """The request as it was, numbers and ids included; 0 = not known, as in all hashes."""
    simhash: int | Likeness = 0
    result: int = 0
    result_exact: int = 0
    waiting: bool = False
    """The result says that the work it asks about goes on."""
    ok: bool = True
    error_type: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0
    duration: float = 0.0
    trace_id: str = ""
    span_id: str = ""
    parent_id: str = ""
    lineage: Lineage = ()
    priced: bool = True
    """False where nobody knows what it cost; ``cost`` is 0 then, and it was not free."""
    resent: int = 0
    """Which time its client library sends the call again, as it says itself; 0 = the first time, or not known."""


def new_id(prefix: str) -> str:
    """A short random identifier, for example ``fnd_1f0c…``."""
    return f"{prefix}_{secrets.token_hex(8)}"


@dataclass(frozen=True, slots=True)
class Finding:
    """A detector's score crossed its threshold."""

    agent: str
    detector: str
    time: float
    reason: str
    action: str
    """``warn`` or ``open``."""
    score: float
    threshold: float
    spans: tuple[str, ...] = ()
    """``trace_id:span_id`` of the events that are the evidence, oldest first."""
    repeated: str = ""
    """The thing that repeats, for people: ``tool_call tickets.comment × 5``."""
    trace_id: str = ""
    tenant: str = "default"
    first_time: float = 0.0
    """Time of the oldest event of the evidence."""
    id: str = field(default_factory=lambda: new_id("fnd"))


@dataclass(frozen=True, slots=True)
class Transition:
    """A circuit moved."""

    agent: str
    before: State
    after: State
    time: float
    reason: str
    actor: str
    """``detector:<name>``, ``operator:<name>`` or ``circuit`` (its own timer)."""
    finding: Finding | None = None
    tenant: str = "default"
    id: str = field(default_factory=lambda: new_id("trn"))


@dataclass(frozen=True, slots=True)
class Receipt:
    """One process's word that it applied a Command."""

    command: str
    process: str
    agents: tuple[str, ...]
    applied_at: float
    tenant: str = "default"
