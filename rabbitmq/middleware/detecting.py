"""Detecting: shows the inline detectors what an agent has done."""

from __future__ import annotations

import asyncio

from fusebox import fingerprint, names, telemetry
from fusebox.errors import Refused
from fusebox.records import Event
from fusebox.simhash import simhash
from rabbitmq.act import Act
from rabbitmq.middleware.base import Middleware


class Detecting(Middleware):
    """Makes an Event of every action that happened; a Finding opens the agent's own circuit at once.

    Inside :class:`Tracing`, because the fingerprints belong on the span. Refused actions did not happen.
    """

    def handed_over(self, act: Act) -> None:
        """The SimHash costs a tenth of a round trip to the broker; here it costs nothing."""
        _compare(act)

    def after_action(self, act: Act, error: BaseException | None) -> None:
        if isinstance(error, Refused):
            return
        if error is not None:
            act.result = act.result or fingerprint.error_hash(type(error).__name__, str(error))
        if not act.similar:
            _compare(act)
        _describe(act, names.RESULT_HASH, act.result)
        _describe(act, names.RESULT_EXACT, act.result_exact)
        if act.waiting:
            act.span.set_attribute(names.RESULT_WAITING, True)
        act.runtime.observe(_event(act, error))
        _wait(act)


def _wait(act: Act) -> None:
    """An agent of which a detector warns is slowed down; a coroutine is not, its loop serves others too."""
    pause = act.runtime.pause(act.action.agent)
    if pause and asyncio._get_running_loop() is None:
        act.runtime.clock.sleep(pause)


def _compare(act: Act) -> None:
    if act.request is not None:
        text = fingerprint.text_of(act.request)
        act.similar, act.exact = simhash(text), fingerprint.literal_hash(text)
        _describe(act, names.REQUEST_SIMHASH, act.similar)
        _describe(act, names.REQUEST_EXACT, act.exact)


def _describe(act: Act, name: str, value: int) -> None:
    if value:
        act.span.set_attribute(name, f"{value:016x}")


def _event(act: Act, error: BaseException | None) -> Event:
    action, now = act.action, act.runtime.clock.now()
    trace_id, span_id = telemetry.ids(act.span)
    return Event(
        time=now, agent=action.agent, action=action.kind, operation=action.operation, target=act.target,
        tenant=action.tenant, workflow=action.workflow, request=action.request, request_exact=act.exact,
        simhash=act.similar, result=act.result, result_exact=act.result_exact, waiting=act.waiting, ok=error is None,
        error_type=type(error).__qualname__ if error else "", input_tokens=act.usage.input_tokens,
        output_tokens=act.usage.output_tokens, duration=max(0.0, now - act.started), trace_id=trace_id,
        span_id=span_id, lineage=action.chain,
    )  # fmt: skip
