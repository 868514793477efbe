"""Call: one request of an agent for a model, and what can be said of it before anybody is asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from opentelemetry.trace import SpanContext

from fusebox import names
from fusebox.records import Action, ActionKind
from gateway.approving import approval_in
from gateway.denied import bad_request
from gateway.dialects import Ask, Dialect
from gateway.hold import Hold
from gateway.http import Reply, Request
from gateway.keys import Identity
from gateway.providers.base import PASSED_ON, Outgoing
from gateway.providers.translation import Translation
from gateway.screen import Screen
from gateway.upstream import Target
from rabbitmq import tracing

_MAX_WORKFLOW: Final = 128
_RESENT: Final = "x-stainless-retry-count"
"""Header by which the libraries of OpenAI and Anthropic say that they send a call again."""
_MAX_DIGITS: Final = 3
_TRACE: Final = (names.H_TRACEPARENT, names.H_TRACESTATE)


@dataclass(slots=True)
class Call:
    """One request of an agent for a model."""

    identity: Identity
    dialect: Dialect
    ask: Ask
    action: Action
    caller: SpanContext
    client: dict[str, str]
    reply: Reply
    route: str
    approval: str = ""
    """The approval that it names."""
    approved: str = ""
    """The approval by which people agreed to it."""
    screen: Screen | None = None
    hold: Hold | None = None
    passed: tuple[str, str] | None = None
    """Path and query, where the request goes to a provider as it is."""
    resent: int = 0
    """Which time its client library sends it again, as that says."""

    @property
    def contract(self) -> str:
        """What its body means: where it goes, and the client's headers that go along."""
        query = self.passed[1] if self.passed is not None else ""
        return self.route + (f"?{query}" if query else "") + "".join(f"; {n}: {v}" for n, v in self.client.items())

    def outgoing(self, target: Target, translation: Translation) -> Outgoing:
        """What ``target`` is to be sent."""
        if self.passed is not None:
            body = target.adapter.own_body(self.ask)
            return target.adapter.passed_through("POST", *self.passed, body, self.client)
        return target.adapter.outgoing(self.dialect, translation, target.model, self.ask, self.client)


def call_of(identity: Identity, dialect: Dialect, ask: Ask, request: Request, reply: Reply) -> Call:
    """The call that a request makes.

    Raises:
        Denied: 400, as :func:`workflow_of`.
    """
    caller = caller_of(request)
    action = Action(
        ActionKind.MODEL_CALL, identity.agent, ask.model, dialect.target, identity.tenant, workflow_of(request),
        trace_id=f"{caller.trace_id:032x}" if caller.is_valid else "",
    )  # fmt: skip
    client = {name: request.headers[name] for name in PASSED_ON if name in request.headers}
    approval, resent = approval_in(request), _resent(request)
    return Call(
        identity, dialect, ask, action, caller, client, reply, request.path, approval, resent=resent
    )  # fmt: skip


def _resent(request: Request) -> int:
    told = request.headers.get(_RESENT, "")
    return int(told) if told.isascii() and told.isdigit() and len(told) <= _MAX_DIGITS else 0


def caller_of(request: Request) -> SpanContext:
    """The span of the client that made the request; an invalid one when it names none."""
    return tracing.created_in({n: request.headers[n] for n in _TRACE if n in request.headers})


def workflow_of(request: Request) -> str:
    """The workflow a client says its call belongs to; empty for none.

    Raises:
        Denied: 400, it is too long or no plain text: without it the call would count for no limit of the workflow's.
    """
    told = str(request.headers.get(names.HTTP_WORKFLOW, ""))
    if len(told) > _MAX_WORKFLOW or not told.isascii() or not told.isprintable():
        raise bad_request(f"{names.HTTP_WORKFLOW} must be at most {_MAX_WORKFLOW} printable ASCII characters")
    return told
