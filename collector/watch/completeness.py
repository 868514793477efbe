"""Completeness: what *watch* knows to be missing from what it shows, as sentences for people.

A board that is quiet, and a board that hears nothing, look the same; so do an agent that did little and one whose spans
were lost. Everything here is shown beside the figures that it makes doubtful.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from collector.watch.canary import Canary
from collector.watch.sequences import ANYBODY, Sequences
from collector.watch.steady import Steady
from fusebox import happenings, names
from fusebox.clock import Clock
from fusebox.eventmap import SpanFacts, agent_of
from fusebox.metrics import Gauge
from fusebox.records import Finding

_NAMED: Final = 5
_LOOK_EVERY_S: Final = 1.0

INCOMPLETE: Final = happenings.declare(
    "finding_incomplete", logging.WARNING, "a detector opens the circuit of an agent of which spans are missing"
)


class Completeness:
    """Looks at every span that goes by."""

    def __init__(self, canary: Canary, clock: Clock) -> None:
        self._canary, self._steady = canary, Steady(clock)
        self._sequences = Sequences()
        self._surely: dict[str, int] = {}
        self._perhaps: dict[str, int] = {}
        self._looked = float("-inf")
        self.spans = 0
        """Spans that went by."""

    def look(self, span: SpanFacts) -> bool:
        """Note the span's number; True when it is a canary."""
        self.spans += 1
        number = span.attributes.get(names.SEQUENCE)
        if span.emitter and type(number) is int and number > 0:
            dropped = span.attributes.get(names.DROPPED)
            self._sequences.note(
                span.emitter, number, agent_of(span.attributes, span.service), self._steady.now(),
                dropped if type(dropped) is int else 0, span.service,
            )  # fmt: skip
        if not span.attributes.get(names.CANARY):
            return False
        self._canary.met(span.span_id)
        return True

    def doubt(self, finding: Finding) -> Finding:
        """The finding, with what is missing from its agent's spans in its reason."""
        self._look_again()
        agent = finding.agent
        lost = self._perhaps.get(agent, 0) + self._perhaps.get(ANYBODY, 0)
        if not lost:
            return finding
        if finding.action == "open":  # what only warns does so again and again
            happenings.emit(INCOMPLETE, agent=agent, detector=finding.detector, lost=lost)
        whose = "of this agent" if self._surely.get(agent) == lost else "of this agent or of others beside it"
        return replace(finding, reason=f"{finding.reason} (incomplete: {lost} spans {whose} never arrived)")

    def _look_again(self) -> None:
        """Once a second at most: in a storm every event may have a finding."""
        now = self._steady.now()
        if now - self._looked >= _LOOK_EVERY_S:
            self._looked, self._surely, self._perhaps = now, self._sequences.lost(now), self._sequences.doubtful(now)

    def sentences(self) -> list[str]:
        """What is missing or late now; empty when nothing is known to be."""
        lost = self.lost()
        worst = sorted(lost, key=lambda agent: -lost[agent])[:_NAMED]
        found = [f"{lost[agent]} spans of {agent} never arrived" for agent in worst]
        if len(lost) > _NAMED:
            found.append(f"{sum(lost.values())} spans of {len(lost)} agents never arrived in all")
        return [*found, *filter(None, [self._canary.trouble()])]

    def lost(self) -> dict[str, int]:
        """Spans that never arrived lately, by agent, or by service where they may be several agents'."""
        return self._sequences.lost(self._steady.now())

    def json(self) -> dict[str, Any]:
        """For the board: ``stored`` is the database's watermark (Unix seconds, 0 = not known)."""
        return {
            "stored": self._canary.watermark, "canary_seconds": round(self._canary.seconds, 3),
            "incomplete": self.sentences(),
        }  # fmt: skip

    @property
    def dropped(self) -> int:
        """Spans that emitters said they gave up."""
        return self._sequences.dropped

    def samples(self) -> Iterator[Gauge]:
        """Figures for ``/metrics``."""
        canary, lost = self._canary, sum(self.lost().values())
        yield Gauge("spans_missing", "spans that never arrived in the last half hour", lost)
        yield Gauge("canary_age_seconds", "how long ago a canary came through the whole path", canary.age)
        yield Gauge("canary_seconds", "how long the last canary took to be found by SQL", canary.seconds)
        meaning = "what was received before this time is in the database (Unix seconds, 0 = not known)"
        yield Gauge("stored_watermark_seconds", meaning, canary.watermark)
