"""Tracing: a span for every action, and one for every message handled; the trace travels in the message."""

from __future__ import annotations

from typing import Final

from opentelemetry.trace import SpanKind

from fusebox import names
from fusebox.eventmap import Value, format_lineage
from fusebox.records import ActionKind
from fusebox.telemetry import OpenSpan
from rabbitmq import tracing
from rabbitmq.act import Act
from rabbitmq.middleware.base import Middleware
from rabbitmq.run import Bury, Done, Outcome, Run

_KINDS: Final = {
    ActionKind.PUBLISH: SpanKind.PRODUCER,
    ActionKind.MODEL_CALL: SpanKind.CLIENT,
    ActionKind.TOOL_CALL: SpanKind.INTERNAL,
}


class Tracing(Middleware):
    """Opens the spans. They are the current ones inside, so that whatever else is traced there joins the trace."""

    def before_action(self, act: Act) -> None:
        if act.action.kind is not ActionKind.PUBLISH:
            _describe(act)
        act.opened = act.runtime.telemetry.open(act.span_name, _KINDS[act.action.kind], act.attributes)
        if act.action.kind is ActionKind.PUBLISH:
            act.headers.update(tracing.headers_of(act.span.get_span_context()))

    def handed_over(self, act: Act) -> None:
        """A publish goes out before its span is described in full: the attributes' dict is the span's own."""
        _describe(act)

    def after_action(self, act: Act, error: BaseException | None) -> None:
        _describe(act)
        if act.opened is not None:
            act.opened.close(error)

    def before_handle(self, run: Run) -> None:
        run.opened = open_span(run)

    def after_handle(self, run: Run, error: BaseException | None) -> None:
        if run.opened is not None:
            run.opened.close(error)


class SettleSpans(Middleware):
    """A CLIENT span for every settlement, which the messaging conventions leave to choice; not in the default list."""

    def settled(self, run: Run, outcome: Outcome) -> None:
        word = "ack" if isinstance(outcome, Done) else "reject" if isinstance(outcome, Bury) else "publish"
        created = tracing.created_in(run.message.headers)
        about = tracing.described(word, "settle", names.EXCHANGE_EVENTS, run.key, run.delivery.queue)
        attributes, links = {**about.attributes, **_message(run)}, tracing.creation_links(created)
        run.runtime.telemetry.open(about.span_name, SpanKind.CLIENT, attributes, parent=created, links=links).close()


def open_span(run: Run) -> OpenSpan:
    """The CONSUMER span of a message."""
    created = tracing.created_in(run.message.headers)
    about = tracing.described("consume", "process", names.EXCHANGE_EVENTS, run.key, run.delivery.queue)
    attributes: dict[str, Value] = {
        **about.attributes,
        **_message(run),
        names.GEN_AI_AGENT_ID: run.agent,
        names.TENANT: run.action.tenant,
        names.ACTION: ActionKind.CONSUME.value,
        names.OPERATION: run.key,
        names.WORKFLOW: run.action.workflow,
        names.LINEAGE: format_lineage(run.lineage),
    }
    if approval := run.notes.get(names.APPROVAL):
        attributes[names.APPROVAL] = approval
    links = tracing.creation_links(created)
    return run.runtime.telemetry.open(about.span_name, SpanKind.CONSUMER, attributes, parent=created, links=links)


def _message(run: Run) -> dict[str, Value]:
    return {names.MESSAGING_MESSAGE_ID: run.message.message_id, names.MESSAGING_DELIVERY_TAG: run.delivery.tag}


def _describe(act: Act) -> None:
    if names.ACTION not in act.attributes:
        act.attributes.update(_own(act))


def _own(act: Act) -> dict[str, Value]:
    action = act.action
    own: dict[str, Value] = {
        names.GEN_AI_AGENT_ID: action.agent,
        names.TENANT: action.tenant,
        names.ACTION: action.kind.value,
        names.OPERATION: action.operation,
        names.WORKFLOW: action.workflow,
    }
    if action.request:
        own[names.REQUEST_HASH] = f"{action.request:016x}"
    if act.target:
        own[names.TARGET] = act.target
    if chain := action.chain:
        own[names.LINEAGE] = format_lineage(chain)
    return own
