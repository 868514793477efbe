"""Cycle: A-B-A-B, A-B-C-A-B-C …: a few steps that come round in the same order, each with its old outcome.

For every period up to the longest, a counter says for how many steps the sequence has equalled itself one period ago.
That is all the state there is besides the last few steps, and it sees a cycle at the first step that completes the
third lap. Given the events of one agent it sees an agent's own rounds; given those of one trace, it sees agents
sending each other in circles.

A message's own lineage shows a ring too, even where no trace and no result is known: the agent finds itself, with the
same request, ``laps - 1`` times in the chain that led to what it does now.
"""

from __future__ import annotations

from collections import deque

from breakers.detectors.base import finding, span_of
from fusebox.records import ActionKind, Event, Finding, Hop

_Step = tuple[str, int, int]


class Cycle:
    """See the module.

    Args:
        laps: rounds that open.
        longest: longest period, in steps (at least 2).
        memory_s: seconds of rest after which a cycle is forgotten.
    """

    name = "cycle"

    def __init__(self, *, laps: int = 3, longest: int = 8, memory_s: float = 1800.0) -> None:
        self._laps = laps
        self._longest = longest
        self._memory_s = memory_s
        self._steps: deque[_Step] = deque(maxlen=longest)
        self._evidence: deque[Event] = deque(maxlen=longest * laps)
        self._runs = [0] * (longest + 1)

    def observe(self, event: Event) -> Finding | None:
        """Judge one event; model calls and consumes are no steps of a cycle."""
        if event.action in (ActionKind.MODEL_CALL, ActionKind.CONSUME) or not event.request:
            return None
        rounds = _rounds(event)
        if rounds >= self._laps:
            return self._found(event, rounds, "rounds in the message's own lineage", [event])
        return self._step(event) if event.result else None

    def _step(self, event: Event) -> Finding | None:
        if self._evidence and event.time - self._evidence[-1].time > self._memory_s:
            self._forget()
        step = (event.agent, event.request, event.result)  # the request hash is bound to operation and target
        period = self._advance(step)
        self._steps.append(step)
        self._evidence.append(event)
        if not period:
            return None
        events = list(self._evidence)[-period * self._laps :]
        names = " → ".join(f"{e.operation} {e.target}".strip() for e in events[:period])
        return self._found(event, self._laps, f"rounds of {names}", events)

    def _advance(self, step: _Step) -> int:
        """Count the step in for each period; the shortest period that completed its laps, or 0."""
        found = 0
        steps = self._steps
        for period in range(2, len(steps) + 1):
            if steps[-period] != step:
                self._runs[period] = 0
                continue
            self._runs[period] += 1
            if not found and self._runs[period] >= period * (self._laps - 1) and self._mixed(period):
                found = period
        return found

    def _mixed(self, period: int) -> bool:
        """A cycle has at least two different steps; one step again and again is repetition's to judge."""
        return len({self._steps[-i] for i in range(1, period + 1)}) > 1

    def _forget(self) -> None:
        self._steps.clear()
        self._evidence.clear()
        self._runs = [0] * (self._longest + 1)

    def _found(self, event: Event, laps: int, what: str, events: list[Event]) -> Finding:
        return finding(
            event,
            self.name,
            f"{laps} {what} with nothing new",
            score=float(laps),
            threshold=float(self._laps),
            spans=[span_of(e) for e in events],
            repeated=f"{event.action} {event.operation} × {laps}",
            first_time=events[0].time,
        )


def _rounds(event: Event) -> int:
    """How often the chain of causes, this event included, holds this very step."""
    if not event.lineage:
        return 0
    own = Hop(event.agent, event.request)
    return event.lineage.count(own) + (event.lineage[-1] != own)
