"""The panel: the detectors of every agent and those of the fleet, bounded.

The agents that spoke last are kept; a forgotten one starts anew. One panel serves one tenant. A Finding that opens
empties the detectors of its agent, so an agent that loops again after a resume trips again, by new evidence only.
Thread-safe: one lock, held for microseconds.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from threading import Lock
from typing import Any, Final

from breakers.detectors.base import OPEN, Detector
from breakers.rules import Mode, Rules, from_registry, watches_fleet
from fusebox import errors
from fusebox.records import Event, Finding
from fusebox.registry import AgentEntry, Registry

MAX_AGENTS: Final = 10_000
_BY_PURPOSE: Final = frozenset({"repetition", "cycle"})
"""Detectors that do not judge operations declared periodic."""
_NOTED: Final = 0.25
"""Scores up to this say nothing and are not kept."""
_REFUSED: Final = frozenset(
    kind.__name__
    for kind in (
        errors.Refused, errors.AgentTripped, errors.AgentKilled, errors.AgentUnverified, errors.LoopDetected,
    )
)  # fmt: skip


class _Watch:
    """Who judges an agent, and which of its operations only some of them judge."""

    __slots__ = ("detectors", "of_periodic", "periodic")

    def __init__(self, detectors: tuple[Detector, ...], periodic: frozenset[str]) -> None:
        self.detectors, self.periodic = detectors, periodic
        self.of_periodic = tuple(d for d in detectors if d.name not in _BY_PURPOSE) if periodic else detectors


class Panel:
    """Shows each event to the detectors it concerns.

    Args:
        rules: which detectors, with which knobs.
        registry: budgets and periodic operations of registered agents.
        max_agents: how many are remembered at once.
    """

    def __init__(
        self,
        rules: Rules,
        registry: Registry = Registry(),  # noqa: B008 - frozen
        *,
        max_agents: int = MAX_AGENTS,
    ) -> None:
        self._rules = rules
        self._entries = registry.agents
        self._max_agents = max_agents
        self._agents: OrderedDict[str, _Watch] = OrderedDict()
        self._fleet = tuple(rules.build(name) for name in rules.detectors if watches_fleet(name))
        self._own = [name for name in rules.detectors if not watches_fleet(name)]
        self._makers = [rules.maker(name) for name in self._own]
        self._scores: dict[tuple[str, str], float] = {}
        self._lock = Lock()

    def observe(self, event: Event) -> Finding | None:
        """Judge one event; the gravest finding. Refused actions did not happen and are not judged."""
        if event.error_type and event.error_type in _REFUSED:
            return None
        agent, worst = event.agent, None
        with self._lock:
            watch = self._agents.get(agent)
            if watch is None:
                watch = self._begin(agent)
            else:
                self._agents.move_to_end(agent)
            for detector in watch.of_periodic if event.operation in watch.periodic else watch.detectors:
                found = detector.observe(event)
                if detector.score > _NOTED:
                    self._note(agent, detector)
                if found is not None:
                    worst = _worse(worst, self._ruled(found))
            if worst is not None and worst.action == OPEN:
                self._agents.pop(agent, None)
        return worst

    def forget(self, agent: str) -> None:
        """Start anew with an agent: its circuit moved."""
        with self._lock:
            self._agents.pop(agent, None)

    def scores(self) -> dict[tuple[str, str], float]:
        """The highest score of each (agent, detector) since the last call, where it was above 0.25."""
        with self._lock:
            taken, self._scores = self._scores, {}
            return taken

    def _begin(self, agent: str) -> _Watch:
        """Watch an agent: detectors of its own, then those of the fleet."""
        entry = self._entries.get(agent)
        own = [make() for make in self._makers]
        if entry is not None:
            own = [self._rules.build(name, **_extra(name, entry)) for name in self._own]
        watch = self._agents[agent] = _Watch((*own, *self._fleet), entry.periodic if entry else frozenset())
        if len(self._agents) > self._max_agents:
            self._agents.popitem(last=False)
        return watch

    def _note(self, agent: str, detector: Detector) -> None:
        """Keep a new highest score; of no more agents and detectors than ``MAX_AGENTS``."""
        key, scores = (agent, detector.name), self._scores
        highest = scores.get(key)
        if (len(scores) < MAX_AGENTS) if highest is None else (detector.score > highest):
            scores[key] = detector.score

    def _ruled(self, found: Finding) -> Finding:
        mode = self._rules.rule(found.detector).mode
        if mode is Mode.ENFORCE or (mode is Mode.WARN and found.action != OPEN):
            return found
        return replace(found, action=mode.value)


def _extra(detector: str, entry: AgentEntry | None) -> dict[str, Any]:
    known = {"budget": entry.tokens_per_minute, "usd": entry.usd_per_minute} if entry else {}
    return {name: value for name, value in known.items() if name in from_registry(detector)}


_GRAVITY: Final = {"observe": 0, "warn": 1, "open": 2}


def _worse(one: Finding | None, other: Finding) -> Finding:
    return other if one is None or _GRAVITY[other.action] > _GRAVITY[one.action] else one
