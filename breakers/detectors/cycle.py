"""Cycle: agents that go round in circles: ping-pong, rings, echoes.

A *chain* is what led to an event: the message that addressed the agent, the one before that, and so on, each linked
to the next because its target is the next one's sender. No trace context is needed, so losing it at each hop hides
nothing; where nobody addressed the agent, the last step of another agent in the same trace is taken. What an addressed
agent does in between is part of the chain too. A chain shows a circle in four ways:

* *stale*: its steps were made before in this chain, by the same agent with the same outcome (``stale`` of them, less
  one for every novel one). Counts less when only the coarse form agrees (numbers vary), when a message only says about
  the same in other words, and when no result is known.
* *echo*: ``echo`` messages running say the same (SimHash) and one of their senders had passed it on already. So a ring
  of any length is seen when it closes.
* *monologue*: a model says the same, word for word, ``monologue`` times running, and nobody in that trace has done
  anything in between but talk and delegate.
* *lineage*: the chain that the message carries has come back to this step ``laps`` times with nothing new
  (:mod:`breakers.rounds`).

A→B→A alone is a reply, and a dialogue has something new in every turn.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Final

from breakers.detectors.base import OPEN, WARN, finding
from breakers.detectors.chain import EVIDENCE, Chain
from breakers.detectors.words import delegates
from breakers.rounds import rounds
from fusebox.records import ActionKind, Event, Finding, Hop, Lineage

_CHAINS: Final = 4_096
_TASK: Final = 4
_SPEAKERS: Final = 16
_NOTHING_SAID: Final = (0, 0)
_MODEL, _CONSUME, _PUBLISH = ActionKind.MODEL_CALL, ActionKind.CONSUME, ActionKind.PUBLISH


class Cycle:
    """See the module.

    Args:
        warn, stale: old steps of a chain that warn and open.
        echo: messages that say the same, running, that open once they come round.
        alike_distance: SimHash bits in which two messages that say the same may differ.
        monologue: times the same is said, running, that opens.
        laps: rounds in a message's own lineage that open.
        memory_s: seconds after which nobody is said to react to a message any more.
    """

    name = "cycle"
    scope = "fleet"

    def __init__(
        self,
        *,
        warn: float = 2.0,
        stale: float = 3.0,
        echo: int = 5,
        alike_distance: int = 16,
        monologue: int = 4,
        laps: int = 3,
        memory_s: float = 1800.0,
    ) -> None:
        self._warn, self._stale, self._echo, self._alike = warn, stale, echo, alike_distance
        self._laps, self._monologue = laps, monologue
        self._memory_s = memory_s
        self._told: OrderedDict[str, Event | Chain] = OrderedDict()
        self._spoken: OrderedDict[str, dict[str, tuple[int, int]]] = OrderedDict()
        self._traces: OrderedDict[str, Event | Chain] = OrderedDict()
        self.score = 0.0

    @property
    def threshold(self) -> float:
        """The score that opens."""
        return self._stale

    def observe(self, event: Event) -> Finding | None:
        """Judge one event of the fleet; model calls and consumes are no steps of a cycle."""
        self.score = 0.0
        action = event.action
        if action is _MODEL or action is _CONSUME or not event.request:
            return None
        if event.lineage and action is _PUBLISH:
            times = rounds(_chain(event))
            if times >= self._laps:
                self.score = times / self._laps * self._stale
                return self._lineage(event, times)
        if event.result:
            if event.trace_id in self._spoken and not delegates(event.operation):
                del self._spoken[event.trace_id]  # somebody does something
        elif event.input_tokens and self._speaks(event) >= self._monologue:
            self.score = self._stale
            return self._found(event, Chain(event), OPEN, f"the same said {self._monologue} times running")
        before = self._before(event)
        if before is None:
            self._lead(event, event)
            return None
        chain = Chain(event)
        chain.follow(event, before, bool(event.target) and event.agent in self._told, self._alike)
        _put(self._told, event.agent, chain)
        self._lead(event, chain)
        return self._judge(event, chain)

    def _lead(self, event: Event, what: Event | Chain) -> None:
        """From now on, what the target does, or another agent in this trace, follows from this."""
        target, trace = event.target, event.trace_id
        if target:
            told = self._told
            told[target] = what
            told.move_to_end(target)
            if len(told) > _CHAINS:
                told.popitem(last=False)
        if trace:
            traces = self._traces
            traces[trace] = what
            traces.move_to_end(trace)
            if len(traces) > _CHAINS:
                traces.popitem(last=False)

    def _speaks(self, event: Event) -> int:
        """How often the agent has said this running, in this trace."""
        speakers = self._spoken.get(event.trace_id)
        if speakers is None:
            speakers = {}
        said, times = speakers.get(event.agent, _NOTHING_SAID)
        now = event.request_exact or event.request
        times = times + 1 if said == now else 1
        if len(speakers) < _SPEAKERS or event.agent in speakers:
            speakers[event.agent] = now, times
        _put(self._spoken, event.trace_id, speakers)
        return times

    def _before(self, event: Event) -> Chain | None:
        """What led to ``event``: what its agent was told, else what another agent did in its trace."""
        told = self._told.get(event.agent)
        if told is None:
            told = self._traces.get(event.trace_id)
            if told is None or told.agent == event.agent or not _may_follow(event, told.agent):
                return None
        if event.time - told.time > self._memory_s:
            return None
        chain = Chain(told) if isinstance(told, Event) else told
        # Another trace after one of several steps is another task, which may well begin like the one before.
        return chain if chain.trace == event.trace_id or chain.in_trace < _TASK else None

    def _judge(self, event: Event, chain: Chain) -> Finding | None:
        self.score = chain.stale
        echoes = chain.echoes
        if len(echoes) >= self._echo and event.agent in echoes[:-1] and len(set(echoes)) > 1:
            self.score = max(self._stale, len(echoes) / self._echo * self._stale)
            return self._found(event, chain, OPEN, f"{len(echoes)} messages that say the same")
        if chain.stale < self._warn or len(set(chain.agents)) < 2:
            return None
        action = OPEN if chain.stale >= self._stale else WARN
        return self._found(event, chain, action, f"{chain.stale:.1f} steps made before with the same outcome")

    def _found(self, event: Event, chain: Chain, action: str, what: str) -> Finding:
        found = self._finding(event, chain, action, what)
        if action == OPEN:
            chain.start_anew()
        return found

    def _finding(self, event: Event, chain: Chain, action: str, what: str) -> Finding:
        agents, steps = list(dict.fromkeys([*chain.echoes, *chain.agents[-EVIDENCE:]])), chain.steps
        return finding(
            event, self.name, f"{what}, between {', '.join(agents)}: no progress", action=action, score=self.score,
            threshold=self._stale if action == OPEN else self._warn,
            spans=[f"{step.trace}:{step.span}" for step in steps],
            repeated=f"{event.action} {event.operation}, the last of {len(steps)} steps", first_time=steps[0].time,
        )  # fmt: skip

    def _lineage(self, event: Event, times: int) -> Finding:
        return finding(
            event, self.name, f"{times} rounds in the message's own lineage with nothing new",
            score=self.score, threshold=self._stale, repeated=f"{event.action} {event.operation} × {times}",
        )  # fmt: skip


def _may_follow(event: Event, agent: str) -> bool:
    """False where the event's own lineage says what led to it, and that is nothing of this agent's."""
    return not event.lineage or any(hop.agent == agent for hop in event.lineage)


def _put(kept: OrderedDict[str, Any], key: str, value: object) -> None:
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > _CHAINS:
        kept.popitem(last=False)


def _chain(event: Event) -> Lineage:
    """The chain of causes with this event at its end; spans of older versions leave it out."""
    lineage = event.lineage
    return lineage if lineage[-1].agent == event.agent else (*lineage, Hop(event.agent, event.request))
