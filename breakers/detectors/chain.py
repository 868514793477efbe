"""A chain: what led to an event, the latest steps of it. See :mod:`breakers.detectors.cycle`."""

from __future__ import annotations

from typing import Final

from breakers.detectors.base import span_of
from breakers.detectors.words import delegates
from fusebox.fingerprint import distance
from fusebox.records import Event

_Outcome = tuple[str, int, int]

_LENGTH: Final = 16
EVIDENCE: Final = 8
_VARIED: Final = 0.8
_ALIKE: Final = 0.6
_HANDED_ON: Final = 4
"""SimHash bits more for what an agent hands on: to hand the same on again is no work."""
_UNANSWERED: Final = 0.6


class Chain:
    """What led to an event, that event included. Never changed once made: several events may follow from one."""

    __slots__ = (
        "agent", "coarse", "echoes", "exact", "in_trace", "said", "simhash", "spans", "stale", "texts", "time", "times",
        "told", "trace",
    )  # fmt: skip

    def __init__(self, event: Event) -> None:
        coarse: _Outcome = (event.agent, event.request, event.result)
        exact: _Outcome = (event.agent, event.request_exact or event.request, event.result_exact or event.result)
        self.agent, self.time, self.trace, self.in_trace = event.agent, event.time, event.trace_id, 1
        text = (event.agent, event.operation, event.simhash)
        self.stale = 0.0
        self.coarse: tuple[_Outcome, ...] = (coarse,)
        self.exact: tuple[_Outcome, ...] = (exact,)
        self.texts: tuple[tuple[str, str, int], ...] = (text,)
        self.spans: tuple[str, ...] = (span_of(event),)
        self.times: tuple[float, ...] = (event.time,)
        self.echoes: tuple[str, ...] = (event.agent,)
        self.told, self.simhash, self.said = event.operation, event.simhash, event.request_exact

    def follow(self, event: Event, before: Chain, passed_on: bool, alike: int) -> None:
        """``before`` led to ``event``; with ``passed_on``, by a message that told its agent."""
        if before.trace == event.trace_id:
            self.in_trace = before.in_trace + 1
        (coarse,), (exact,) = self.coarse, self.exact
        weight = -1.0
        if exact in before.exact and coarse in before.coarse:
            weight = 1.0
        elif coarse in before.coarse:
            weight = _VARIED if event.result else -1.0  # said with other numbers: who haggles gets on
        elif passed_on and before.says(event, alike):
            weight = _ALIKE
        if weight > 0 and not event.result:
            weight *= _UNANSWERED
        self.stale = max(0.0, before.stale + weight)
        self.coarse = before.coarse[1 - _LENGTH :] + self.coarse
        self.exact = before.exact[1 - _LENGTH :] + self.exact
        self.texts = before.texts[1 - EVIDENCE :] + self.texts
        self.spans = before.spans[1 - EVIDENCE :] + self.spans
        self.times = before.times[1 - EVIDENCE :] + self.times
        self.echoes, self.told, self.simhash, self.said = before.echoes, before.told, before.simhash, before.said
        if passed_on:
            self._echo(event, alike)

    def start_anew(self, event: Event) -> None:
        """What was found is found: the next finding needs new evidence."""
        self.stale, self.coarse, self.exact, self.texts, self.echoes = 0.0, (), (), (), (event.agent,)

    def says(self, event: Event, alike: int) -> bool:
        """True when the agent has told somebody of this chain about the same, in other words."""
        alike += _HANDED_ON if delegates(event.operation) else 0
        return (
            event.simhash != 0
            and any(event.target == agent for agent, _, _ in self.texts)
            and any(
                agent == event.agent and operation == event.operation and distance(simhash, event.simhash) <= alike
                for agent, operation, simhash in self.texts
            )
        )

    def _echo(self, event: Event, alike: int) -> None:
        bits = distance(event.simhash, self.simhash) if event.simhash and event.operation == self.told else 64
        same = bits <= alike and (bits > 0 or event.result != 0 or event.request_exact == self.said)
        self.said = event.request_exact
        self.echoes = (*self.echoes, event.agent)[-_LENGTH:] if same else (event.agent,)
        self.told, self.simhash = event.operation, event.simhash
