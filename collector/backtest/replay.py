"""Replays events through the rules and keeps account of what they would have done.

Each run (a stream, a session; all history is one run) has a panel of its own. Once an agent is opened in a run, its
later events there count as denied: they would not have happened, so no detector sees them. Reads, never writes.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from breakers.detectors.memory import NEW, Memory
from breakers.panel import Panel
from breakers.rules import Rules
from collector.backtest.common import Happened
from fusebox.records import ActionKind, Finding
from fusebox.registry import Registry

MAX_RUNS: Final = 20_000
_TIMES: Final = 400
_CONTENT: Final = (ActionKind.TOOL_CALL, ActionKind.MODEL_CALL)
_GOOD_EVENTS: Final = 3
_GOOD_SHARE: Final = 0.5


@dataclass(slots=True)
class Trip:
    """One finding, where it came, and what followed from it."""

    stream: str | None
    session: str | None
    agent: str
    trace: str | None
    seq: int | None
    time: float
    finding: Finding
    denied: int = 0
    tokens: int = 0
    usd: float = 0.0
    new: int = 0
    """Denied events that succeeded with an outcome not seen since the trip."""
    last: float = 0.0
    """Time of the last denied event."""
    times: list[float] = field(default_factory=list, repr=False)
    """Times of the first denied events, for the picture."""
    _seen: Memory = field(default_factory=lambda: Memory(64), repr=False)

    @property
    def action(self) -> str:
        """``warn`` or ``open``."""
        return self.finding.action

    @property
    def cut_good_work(self) -> bool:
        """True when at least half of what was denied (three events or more) would have brought something new."""
        return self.new >= _GOOD_EVENTS and self.new >= _GOOD_SHARE * self.denied

    def deny(self, happened: Happened) -> None:
        """Count an event that would not have happened."""
        event = happened.event
        self.denied += 1
        self.last = max(self.last, event.time)
        if len(self.times) < _TIMES:
            self.times.append(event.time)
        self.tokens += event.input_tokens + event.output_tokens
        self.usd += event.cost
        if event.ok and event.result and self._seen.recall(event) == NEW:
            self.new += 1

    def line(self) -> dict[str, Any]:
        """The trip as one line of the trips file."""
        return {
            "stream": self.stream, "session": self.session, "agent": self.agent, "trace": self.trace, "seq": self.seq,
            "detector": self.finding.detector, "action": self.action, "reason": self.finding.reason,
        }  # fmt: skip


class Replay:
    """Judges events in the order they are given.

    Args:
        rules: what is tried.
        registry: budgets and operations that are declared periodic.
    """

    def __init__(self, rules: Rules, registry: Registry) -> None:
        self._rules, self._registry = rules, registry
        self._panels: OrderedDict[str, Panel] = OrderedDict()
        self._opened: dict[tuple[str, str], Trip] = {}
        self.trips: list[Trip] = []
        self.observed: Counter[str] = Counter()
        """Findings of rules that only observe, by detector."""
        self.events = self.denied = self.untold = 0
        self.agents: set[tuple[str, str]] = set()

    def feed(self, events: Iterable[Happened]) -> Iterator[Trip]:
        """Take events in; each trip as it comes."""
        for happened in events:
            trip = self.observe(happened)
            if trip:
                yield trip

    def observe(self, happened: Happened) -> Trip | None:
        """Take one event in; a trip when it has a finding that warns or opens."""
        key = (happened.run, happened.event.agent)
        self.events += 1
        self.agents.add(key)
        opened = self._opened.get(key)
        if opened:
            self.denied += 1
            opened.deny(happened)
            return None
        self.untold += not happened.event.request and happened.event.action in _CONTENT
        finding = self._panel(happened.run).observe(happened.event)
        if finding is None:
            return None
        if finding.action == "observe":
            self.observed[finding.detector] += 1
            return None
        event = happened.event
        trip = Trip(
            happened.stream, happened.session, event.agent, happened.trace, happened.seq, event.time, finding
        )  # fmt: skip
        self.trips.append(trip)
        if trip.action == "open":
            self._opened[key] = trip
        return trip

    def summary(self) -> dict[str, Any]:
        """Figures of the whole replay."""
        opens = [trip for trip in self.trips if trip.action == "open"]
        return {
            "events": self.events, "without_content": self.untold, "agents": len(self.agents), "opens": len(opens),
            "warnings": len(self.trips) - len(opens), "observed": sum(self.observed.values()),
            "saved": {
                "events": self.denied, "tokens": sum(t.tokens for t in opens),
                "usd": round(sum(t.usd for t in opens), 6),
            },
            "good_work_cut": sum(t.cut_good_work for t in opens),
            "by_detector": dict(Counter(f"{t.finding.detector}/{t.action}" for t in self.trips)),
        }  # fmt: skip

    def _panel(self, run: str) -> Panel:
        panel = self._panels.get(run)
        if panel is None:
            panel = self._panels[run] = Panel(self._rules, self._registry)
            if len(self._panels) > MAX_RUNS:
                self._panels.popitem(last=False)
        return panel
