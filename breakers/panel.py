"""The panel: the detectors of every agent and of every trace, bounded.

The agents and traces that spoke last are kept; a forgotten one starts anew. One panel serves one tenant. A Finding
empties the detectors that led to it, so an agent that loops again after a resume trips again, by new evidence only.
Thread-safe: one lock, held for microseconds.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from threading import Lock
from typing import Any, Final

from breakers.detectors.base import OPEN, WARN, Detector
from breakers.rules import DETECTORS, Mode, Rules
from fusebox import errors
from fusebox.records import Event, Finding
from fusebox.registry import AgentEntry, Registry

MAX_AGENTS: Final = 10_000
MAX_TRACES: Final = 4_096
_PER_TRACE: Final = "cycle"
_BY_PURPOSE: Final = frozenset({"repetition", "cycle"})
"""Detectors that do not judge operations declared periodic."""
_REFUSED: Final = frozenset(
    kind.__name__
    for kind in (
        errors.Refused, errors.AgentTripped, errors.AgentKilled, errors.AgentUnverified, errors.LoopDetected,
    )
)  # fmt: skip


class Panel:
    """Shows each event to the detectors it concerns.

    Args:
        rules: which detectors, with which knobs.
        registry: budgets and periodic operations of registered agents.
        max_agents, max_traces: how many are remembered at once.
    """

    def __init__(
        self,
        rules: Rules,
        registry: Registry = Registry(),  # noqa: B008 - frozen
        *,
        max_agents: int = MAX_AGENTS,
        max_traces: int = MAX_TRACES,
    ) -> None:
        self._rules = rules
        self._registry = registry
        self._max_agents, self._max_traces = max_agents, max_traces
        self._agents: OrderedDict[str, list[Detector]] = OrderedDict()
        self._traces: OrderedDict[str, Detector] = OrderedDict()
        self._lock = Lock()

    def observe(self, event: Event) -> Finding | None:
        """Judge one event. Refused actions did not happen and are not judged."""
        if event.error_type in _REFUSED:
            return None
        with self._lock:
            found = self._judge(event)
            if found:
                self._agents.pop(event.agent, None)
                self._traces.pop(event.trace_id, None)
            return found

    def forget(self, agent: str) -> None:
        """Start anew with an agent: its circuit moved."""
        with self._lock:
            self._agents.pop(agent, None)

    def _judge(self, event: Event) -> Finding | None:
        entry = self._registry.agents.get(event.agent)
        periodic = entry is not None and event.operation in entry.periodic
        worst: Finding | None = None
        for detector in self._concerned(event, entry):
            if periodic and detector.name in _BY_PURPOSE:
                continue
            found = detector.observe(event)
            if found:
                worst = _worse(worst, self._ruled(found))
        return worst

    def _concerned(self, event: Event, entry: AgentEntry | None) -> list[Detector]:
        detectors = self._agents.get(event.agent)
        if detectors is None:
            detectors = self._agents[event.agent] = [self._rules.build(n, **_extra(n, entry)) for n in DETECTORS]
        _bound(self._agents, event.agent, self._max_agents)
        return [*detectors, self._of_trace(event.trace_id)] if event.trace_id else detectors

    def _of_trace(self, trace_id: str) -> Detector:
        detector = self._traces.get(trace_id)
        if detector is None:
            detector = self._traces[trace_id] = self._rules.build(_PER_TRACE)
        _bound(self._traces, trace_id, self._max_traces)
        return detector

    def _ruled(self, found: Finding) -> Finding:
        if self._rules.rule(found.detector).mode is Mode.OBSERVE:
            return replace(found, action=WARN)
        return found


def _extra(detector: str, entry: AgentEntry | None) -> dict[str, Any]:
    return {"budget": entry.tokens_per_minute} if detector == "burn" and entry else {}


def _worse(one: Finding | None, other: Finding) -> Finding:
    if one is None or other.action == OPEN != one.action:
        return other
    return one


def _bound(kept: OrderedDict[str, Any], key: str, limit: int) -> None:
    """Mark ``key`` as the latest and drop the oldest beyond ``limit``."""
    kept.move_to_end(key)
    if len(kept) > limit:
        kept.popitem(last=False)
