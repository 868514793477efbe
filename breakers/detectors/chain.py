"""A chain: what led to an event, the latest steps of it. See :mod:`breakers.detectors.cycle`.

Of an outcome only one number is kept, request and result put together as in :mod:`breakers.detectors.memory`: numbers
are found faster than tuples, and this is done for every message.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from breakers.detectors.words import delegates
from fusebox.records import Event
from fusebox.simhash import Likeness, distance

_LENGTH: Final = 16
EVIDENCE: Final = 8
_VARIED: Final = 0.8
_ALIKE: Final = 0.6
_HANDED_ON: Final = 4
"""SimHash bits more for what an agent hands on: to hand the same on again is no work."""
_UNANSWERED: Final = 0.6


class Step(NamedTuple):
    """One step of a chain: who did what, and the evidence for it."""

    agent: str
    operation: str
    simhash: int | Likeness
    trace: str
    span: str
    time: float


class Chain:
    """What led to an event, that event included. Only a finding changes it: several events may follow."""

    __slots__ = (
        "agent", "agents", "coarse", "echoes", "exact", "in_trace", "said", "simhash", "stale", "steps", "time", "told",
        "trace",
    )  # fmt: skip

    def __init__(self, event: Event) -> None:
        agent = event.agent
        self.agent, self.time, self.trace, self.in_trace = agent, event.time, event.trace_id, 1
        self.stale = 0.0
        self.agents: tuple[str, ...] = (agent,)
        self.echoes: tuple[str, ...] = self.agents
        self.coarse: tuple[int, ...] = (event.request ^ event.result,)
        self.exact: tuple[int, ...] = (
            (event.request_exact or event.request) ^ (event.result_exact or event.result),
        )  # fmt: skip
        self.told, self.simhash, self.said = event.operation, event.simhash, event.request_exact
        self.steps: tuple[Step, ...] = (
            Step(agent, self.told, self.simhash, event.trace_id, event.span_id, event.time),
        )  # fmt: skip

    def follow(self, event: Event, before: Chain, passed_on: bool, alike: int) -> None:
        """``before`` led to ``event``; with ``passed_on``, by a message that told its agent."""
        if before.trace == event.trace_id:
            self.in_trace = before.in_trace + 1
        weight = -1.0
        if before.had(event.agent, self.coarse[0], before.coarse):
            if not before.came_round(event.agent, self.coarse[0]):
                weight = 0.0
            elif before.had(event.agent, self.exact[0], before.exact):
                weight = 1.0
            elif event.result:
                weight = _VARIED  # what is only said, with other numbers, is no repetition: who haggles gets on
        elif passed_on and before.says(event, alike):
            weight = _ALIKE
        if weight > 0 and not event.result:
            weight *= _UNANSWERED
        self.stale = max(0.0, before.stale + weight)
        self.agents = before.agents[1 - _LENGTH :] + self.agents
        self.coarse = before.coarse[1 - _LENGTH :] + self.coarse
        self.exact = before.exact[1 - _LENGTH :] + self.exact
        self.steps = before.steps[1 - EVIDENCE :] + self.steps
        if passed_on:
            self._echo(event, before, alike)
        else:
            self.echoes, self.told, self.simhash, self.said = before.echoes, before.told, before.simhash, before.said

    def start_anew(self) -> None:
        """What was found is found: the next finding needs new evidence."""
        self.stale, self.agents, self.coarse, self.exact, self.steps = 0.0, (), (), (), ()
        self.echoes = (self.agent,)

    def had(self, agent: str, outcome: int, outcomes: tuple[int, ...]) -> bool:
        """True when ``outcome`` is among ``outcomes`` of this chain, and it was this agent's."""
        return outcome in outcomes and (agent, outcome) in zip(self.agents, outcomes, strict=True)

    def came_round(self, agent: str, outcome: int) -> bool:
        """True when others have acted since: what an agent does again by itself, row after row, is no circle."""
        others = max((place for place, name in enumerate(self.agents) if name != agent), default=0)
        return (agent, outcome) in zip(self.agents[:others], self.coarse, strict=False)

    def says(self, event: Event, alike: int) -> bool:
        """True when the agent has told somebody of this chain about the same, in other words."""
        simhash, me, operation = event.simhash, event.agent, event.operation
        if not simhash:
            return False
        if delegates(operation):
            alike += _HANDED_ON
        known = about_the_same = False
        for step in self.steps:
            if step.agent == event.target:
                known = True
            if step.agent == me and step.operation == operation and distance(step.simhash, simhash) <= alike:
                about_the_same = True
        return known and about_the_same

    def _echo(self, event: Event, before: Chain, alike: int) -> None:
        """Say whether the message says what the one before it said."""
        if not event.simhash or event.operation != before.told:
            return
        bits = distance(event.simhash, before.simhash)
        if bits <= alike and (bits > 0 or event.result != 0 or event.request_exact == before.said):
            self.echoes = before.echoes[1 - _LENGTH :] + self.echoes
