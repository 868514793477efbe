"""Ledger: a span for each attempt, in the caller's trace, and what the detectors are told of a call.

The span is the ledger's row: tokens as metered, marked where they are an estimate; *receive* puts the price on it. The
caller's own span of the same call says ``fusebox.usage.delegated`` and is not counted again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from queue import SimpleQueue
from typing import Final, NamedTuple

from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode

from fusebox import fingerprint, happenings, names, telemetry
from fusebox.eventmap import Value
from fusebox.records import Action, ActionKind, Event
from fusebox.span import Span
from fusebox.usage import Usage
from gateway.meter import Meter, Metered
from rabbitmq.runtime import Runtime

JUDGING_FAILED: Final = happenings.declare(
    "gateway_judging_failed", logging.ERROR, "the detectors could not judge a call of the gateway; it is in the ledger"
)


Capture = Callable[[str], str]
_MAX_CAPTURE: Final = 32_768
GATHER_S: Final = 0.02
"""Seconds that an event may wait for others before it is judged."""
_HASHES: Final = (names.REQUEST_HASH, names.REQUEST_EXACT, names.RESULT_HASH, names.RESULT_EXACT)
NOTHING_FOUND: Final[Mapping[str, int]] = {}


class Subject(NamedTuple):
    """What an attempt is about."""

    action: Action
    team: str
    caller: SpanContext
    span_name: str
    asked: str
    """The text whose repetition is judged; empty where there is none."""
    attributes: dict[str, Value]
    resent: int = 0
    """Which time its client library sends it again, as that says."""


class Judge:
    """Shows events to the runtime's detectors, on a thread of its own: a Finding may have to ask a shared board.

    It lets some events gather before it begins, so that under load it does not take turns with the event loop at each.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._events: SimpleQueue[Event | None] = SimpleQueue()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fusebox-gateway-judge", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout: float = 10.0) -> None:
        """Judge what there is and end."""
        self._stopping.set()
        self._events.put(None)
        if self._thread.ident:
            self._thread.join(timeout)

    def see(self, event: Event) -> None:
        """Take an event; returns at once."""
        self._events.put(event)

    def _run(self) -> None:
        while (event := self._events.get()) is not None:
            self._observe(event)
            if self._events.empty():
                self._stopping.wait(GATHER_S)

    def _observe(self, event: Event) -> None:
        try:
            self._runtime.observe(event)
        except Exception as error:  # one event must not blind the detectors to the next
            happenings.emit(JUDGING_FAILED, agent=event.agent, error=repr(error))


class Entry:
    """One attempt under way; :meth:`close` exactly once."""

    def __init__(
        self, runtime: Runtime, judge: Judge, subject: Subject, span: Span, meter: Meter, capture: Capture | None
    ) -> None:
        self._runtime, self._judge, self._subject, self._capture = runtime, judge, subject, capture
        self._span, self.meter = span, meter
        self._started = runtime.clock.now()

    @property
    def context(self) -> SpanContext:
        """The span's, for upstreams that trace."""
        return self._span.get_span_context()

    def close(
        self, error: str = "", *, cut: bool = False, used: bool = False, superseded: bool = False,
        found: Mapping[str, int] = NOTHING_FOUND,
    ) -> Metered | None:  # fmt: skip
        """End the span and tell the detectors; what it used, of an inference that used something.

        Args:
            error: what went wrong, as a short name; empty when nothing did.
            cut: the answer was left before its end.
            used: it may have used something, although none of its answer came.
            superseded: another attempt follows.
            found: what masking and the filter counted.
        """
        span, action = self._span, self._subject.action
        billed = action.kind is ActionKind.MODEL_CALL and (not error or self.meter.passed > 0 or cut or used)
        metered = self.meter.metered() if billed else None
        if metered is not None:
            _bill(span, metered)
        meter = self.meter
        told = {
            names.GEN_AI_RESPONSE_ID: meter.response_id, names.GEN_AI_RESPONSE_MODEL: meter.response_model,
            names.SERVICE_TIER: meter.response_tier, names.SERVICE_TIER_ASKED: meter.asked_tier,
        }  # fmt: skip
        span.set_attributes({name: said for name, said in told.items() if said})
        span.set_attributes(found)
        if cut:
            span.set_attribute(names.CUT, True)
        if superseded:
            span.set_attribute(names.SUPERSEDED, True)
        if self._capture is not None:
            self._show(self._capture)
        event = self._event(error, metered)
        if error:
            span.set_attribute(names.ERROR_TYPE, error)
            span.set_status(Status(StatusCode.ERROR, error))
        self._runtime.telemetry.end(span)
        if not superseded:
            self._judge.see(event)
        return metered

    def _show(self, capture: Capture) -> None:
        """Content, which the operator asked for, masked whatever the routes' policy."""
        tool = self._subject.action.kind is ActionKind.TOOL_CALL
        asked = names.GEN_AI_TOOL_ARGUMENTS if tool else names.GEN_AI_INPUT_MESSAGES
        got = names.GEN_AI_TOOL_RESULT if tool else names.GEN_AI_OUTPUT_MESSAGES
        self._span.set_attribute(asked, capture(self._subject.asked[:_MAX_CAPTURE]))
        self._span.set_attribute(got, capture(self.meter.text[:_MAX_CAPTURE]))

    def _event(self, error: str, metered: Metered | None) -> Event:
        action, asked, span = self._subject.action, self._subject.asked, self._span
        answered = self.meter.text
        request = fingerprint.request_hash(action.operation, action.target, asked) if asked else 0
        request_exact = fingerprint.literal_hash(asked) if asked else 0
        result = fingerprint.error_hash(error, answered) if error else fingerprint.result_hash(answered)
        result_exact = fingerprint.exact_hash(answered) if answered else 0
        for name, value in zip(_HASHES, (request, request_exact, result, result_exact), strict=True):
            if value:
                span.set_attribute(name, f"{value:016x}")
        trace_id, span_id = telemetry.ids(span)
        now = self._runtime.clock.now()
        usage = metered.usage if metered else Usage()
        return Event(
            time=now, agent=action.agent, action=action.kind, operation=action.operation, target=action.target,
            tenant=action.tenant, workflow=action.workflow, request=request, request_exact=request_exact,
            result=result, result_exact=result_exact, waiting=fingerprint.is_waiting(answered),
            ok=not error, error_type=error, input_tokens=usage.input_tokens, output_tokens=usage.output_tokens,
            duration=max(0.0, now - self._started), trace_id=trace_id, span_id=span_id,
            resent=self._subject.resent,
        )  # fmt: skip


class Ledger:
    """Opens entries.

    Args:
        runtime: whose telemetry and detectors these are.
        capture: masks content for spans; None where content is not recorded.
    """

    def __init__(self, runtime: Runtime, capture: Capture | None) -> None:
        self._runtime, self._capture = runtime, capture
        self.judge = Judge(runtime)

    def open(self, subject: Subject, meter: Meter, number: int) -> Entry:
        """Begin an attempt."""
        action = subject.action
        attributes: dict[str, Value] = {
            **subject.attributes, names.GEN_AI_AGENT_ID: action.agent, names.TENANT: action.tenant,
            names.ACTION: action.kind.value, names.OPERATION: action.operation, names.WORKFLOW: action.workflow,
            names.ATTEMPT: number,
        }  # fmt: skip
        if action.target:
            attributes[names.TARGET] = action.target
        if subject.team:
            attributes[names.TEAM] = subject.team
        kind = SpanKind.CLIENT if action.kind is ActionKind.MODEL_CALL else SpanKind.INTERNAL
        span = self._runtime.telemetry.begin(subject.span_name, kind, attributes, parent=subject.caller)
        return Entry(self._runtime, self.judge, subject, span, meter, self._capture)


def _bill(span: Span, metered: Metered) -> None:
    usage = metered.usage
    span.set_attribute(names.USAGE_INPUT, usage.input_tokens)
    span.set_attribute(names.USAGE_OUTPUT, usage.output_tokens)
    more = {
        names.USAGE_CACHE_READ: usage.cache_read, names.USAGE_CACHE_CREATION: usage.cache_creation,
        names.USAGE_REASONING: usage.reasoning,
    }  # fmt: skip
    for name, count in more.items():
        if count:
            span.set_attribute(name, count)
    if metered.estimated:
        span.set_attribute(names.ESTIMATED, True)
