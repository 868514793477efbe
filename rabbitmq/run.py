"""Run: one message being handled, and what may become of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from opentelemetry import trace

from fusebox import names
from fusebox.errors import ApprovalPending
from fusebox.records import Action, ActionKind, Lineage, Verdict
from fusebox.telemetry import OpenSpan
from rabbitmq.broker import Delivery, Message
from rabbitmq.handlers import Handler
from rabbitmq.runtime import Runtime


@dataclass(frozen=True, slots=True)
class Done:
    """Acknowledged."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Moved to the held queue: a guard said no. No attempt is counted."""

    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Await:
    """Moved to the approvals queue: people are asked. No attempt is counted."""

    pending: ApprovalPending


@dataclass(frozen=True, slots=True)
class Retried:
    """Comes back after ``delay`` seconds, as attempt number ``attempt``."""

    error: BaseException
    delay: int
    attempt: int


@dataclass(frozen=True, slots=True)
class Postpone:
    """Comes back in a moment; no attempt is counted."""

    error: BaseException | None = None
    """What kept it from being handled, when it was not that its handler is at work already."""


@dataclass(frozen=True, slots=True)
class Bury:
    """Moved to the dead queue, with the reason and the stack."""

    error: BaseException


Outcome = Done | Hold | Await | Retried | Postpone | Bury


class SkipHandler(Exception):
    """Raised by ``before_handle`` to settle a message without running its handler; not a failure of anybody."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(f"settled without its handler: {outcome}")
        self.outcome = outcome


@dataclass(slots=True, eq=False)
class Run:
    """A message of one agent, from its arrival to its settlement.

    ``handler`` and ``payload`` are known once the message is decoded. ``notes`` are for middleware that has something
    to remember between its hooks.
    """

    runtime: Runtime
    agent: str
    delivery: Delivery
    handlers: Mapping[str, Handler]
    lineage: Lineage = ()
    handler: Handler | None = None
    payload: Any = None
    again: bool = False
    """True when an earlier run of the handler did not complete."""
    opened: OpenSpan | None = None
    notes: dict[str, Any] = field(default_factory=dict)
    key: str = ""
    attempt: int = 1
    action: Action = field(init=False)

    def __post_init__(self) -> None:
        self.key, self.attempt = origin_key(self.delivery), attempt_of(self.delivery)
        message = self.message
        workflow = (message.correlation_id or message.message_id)[:128]
        self.action = Action(
            ActionKind.CONSUME, self.agent, self.key, target=self.agent, tenant=self.runtime.config.tenant,
            workflow=workflow,
        )  # fmt: skip

    @property
    def message(self) -> Message:
        """The message."""
        return self.delivery.message

    @property
    def approval(self) -> str:
        """The approval that the message waited for; empty when it did not."""
        return str(self.message.headers.get(names.H_APPROVAL, ""))

    @property
    def repeated(self) -> bool:
        """True when the message may have been handled before."""
        return self.delivery.redelivered or self.attempt > 1

    @property
    def span(self) -> trace.Span:
        """Its span; one that records nothing when nothing traces it."""
        return self.opened.span if self.opened else trace.INVALID_SPAN


def origin_key(delivery: Delivery) -> str:
    """The routing key a message was first published with, however often it was moved since."""
    return str(delivery.message.headers.get(names.H_ORIGIN_KEY) or delivery.routing_key)


def attempt_of(delivery: Delivery) -> int:
    """Which attempt this is, the first being 1; a header that makes no sense counts as the first."""
    attempt = delivery.message.headers.get(names.H_ATTEMPT, 1)
    return attempt if isinstance(attempt, int) and 1 <= attempt < 1 << 16 else 1
