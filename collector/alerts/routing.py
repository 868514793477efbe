"""Who is told of an alert: routes choose the sinks, inhibitions and silences keep it from all but the log.

The log gets everything. An alert that no route takes goes to every sink when it is a warning or worse, so that a
forgotten route is noticed by what it lets through and not by what it keeps back; without any route, so does every one.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from collector.alerts.alert import Alert, Severity
from collector.alerts.rules import AlertRules, Inhibition
from collector.alerts.sinks.log import LOG
from fusebox.clock import Clock

_MAX_SOURCES: Final = 10_000


@dataclass(frozen=True, slots=True)
class Ruling:
    """Where an alert goes, and why it goes nowhere else."""

    sinks: tuple[str, ...]
    muted: str = ""


class Router:
    """Routes and inhibitions; thread-safe.

    Args:
        sinks: every sink there is.
    """

    def __init__(self, rules: AlertRules, sinks: Sequence[str], clock: Clock) -> None:
        self._routes, self._inhibitions = rules.routes, rules.inhibit
        self._sinks, self._clock = tuple(sinks), clock
        self._lock = threading.Lock()
        self._sources: dict[tuple[int, tuple[str, ...]], float] = {}

    def sinks_of(self, alert: Alert) -> tuple[str, ...]:
        """The sinks that its routes name, and the log, last."""
        routed = {name for route in self._routes if route.takes(alert) for name in route.sinks}
        if not routed and alert.severity is not Severity.INFO:
            routed = set(self._sinks)
        return (*(name for name in self._sinks if name in routed and name != LOG), LOG)

    def inhibitor(self, alert: Alert) -> str:
        """Which alert that was told keeps this one back; empty when none does. What is told counts from now on."""
        now = self._clock.wall()
        with self._lock:
            for number, rule in enumerate(self._inhibitions):
                since = self._sources.get((number, _key(rule, alert)), float("-inf"))
                if rule.target.takes(alert) and not rule.source.takes(alert) and 0 <= now - since < rule.for_s:
                    return f"inhibited by {rule.source.words}, told {now - since:.0f} s ago"
            self._count(alert, now)
        return ""

    def _count(self, alert: Alert, now: float) -> None:
        for number, rule in enumerate(self._inhibitions):
            if rule.source.takes(alert):
                self._sources[number, _key(rule, alert)] = now
        if len(self._sources) > _MAX_SOURCES:
            for key in list(self._sources)[: _MAX_SOURCES // 10]:
                del self._sources[key]


def _key(rule: Inhibition, alert: Alert) -> tuple[str, ...]:
    return tuple(str(getattr(alert, name)) for name in rule.equal)
