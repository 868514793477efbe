"""Sequences: which numbers of each emitter's spans went by, and which are missing.

An emitter numbers its spans as they end (:data:`fusebox.names.SEQUENCE`). Neighbours may change places on their way, so
a hole counts as a loss once it is :data:`GRACE_S` old, and is forgotten after :data:`MEMORY_S`, when no detector looks
back that far. An emitter that is met in the middle (after a restart) begins there.

Several agents may speak through one emitter, as through the gateway's: then what is missing may be any one's of them,
and is named after their service.

Bounds, whatever numbers are claimed: :data:`MAX_EMITTERS` emitters, the one that spoke longest ago goes first;
:data:`MAX_HOLES` holes of each, however wide; what is missing in more of them is lumped together, a few minutes a lump,
and cannot be filled any more. An emitter that more than :data:`MAX_AGENTS` agents spoke through is anybody's.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

GRACE_S: Final = 10.0
MEMORY_S: Final = 1800.0
MAX_EMITTERS: Final = 10_000
MAX_HOLES: Final = 32
MAX_AGENTS: Final = 8
ANYBODY: Final = ""
_LUMP_S: Final = MEMORY_S / 8


@dataclass(slots=True)
class _Missing:
    """So many numbers (up to ``last``, where they are a hole) that have been missing since then."""

    since: float
    count: int
    last: int = 0


@dataclass(slots=True)
class _Emitter:
    highest: int
    service: str
    agents: set[str]
    """Who speaks through it."""
    dropped: int = 0
    holes: list[_Missing] = field(default_factory=list)
    """By number."""
    lumps: list[_Missing] = field(default_factory=list)

    def jump(self, number: int, now: float) -> None:
        """A number came that is above all others."""
        missing = number - self.highest - 1
        if missing:
            self.holes.append(_Missing(now, missing, number - 1))
            self._bound(now)
        self.highest = number

    def fill(self, number: int, now: float) -> None:
        """A number came that is none of these."""
        place = bisect_left(self.holes, number, key=lambda hole: hole.last)
        hole = self.holes[place] if place < len(self.holes) else None
        if hole is None or number <= hole.last - hole.count:
            return
        above = hole.last - number
        below = _Missing(hole.since, hole.count - above - 1, number - 1)
        parts = (below, _Missing(hole.since, above, hole.last))
        self.holes[place : place + 1] = [part for part in parts if part.count]
        self._bound(now)

    def heard(self, agent: str) -> None:
        """A span of this agent came."""
        if agent not in self.agents:
            self.agents.add(agent if len(self.agents) < MAX_AGENTS else ANYBODY)

    @property
    def name(self) -> str:
        return next(iter(self.agents)) if len(self.agents) == 1 else self.service or "several agents"

    def lost(self, now: float) -> int:
        return sum(part.count for part in self._missing() if GRACE_S < now - part.since <= MEMORY_S)

    def _missing(self) -> Iterator[_Missing]:
        """All parts; another thread may be at them."""
        yield from tuple(self.holes)
        yield from tuple(self.lumps)

    def _bound(self, now: float) -> None:
        if len(self.holes) <= MAX_HOLES:
            return
        hole = self.holes.pop(0)
        if self.lumps and hole.since - self.lumps[-1].since < _LUMP_S:
            self.lumps[-1].count += hole.count
        else:
            self.lumps = [*(lump for lump in self.lumps if now - lump.since <= MEMORY_S), hole]


class Sequences:
    """For one thread that notes and others that read."""

    def __init__(self) -> None:
        self._emitters: OrderedDict[int, _Emitter] = OrderedDict()
        self.dropped = 0
        """Spans that emitters said they gave up."""

    def note(self, emitter: str, number: int, agent: str, now: float, dropped: int = 0, service: str = "") -> None:
        """A span went by.

        Args:
            now: seconds on any clock that only moves forward.
            dropped: how many spans the emitter says it gave up.
            service: the emitter's; what is missing is named after it once several agents speak through it.
        """
        key = hash(emitter)  # it is as long as its sender likes
        state = self._emitters.get(key)
        if state is None:
            self.dropped += dropped
            self._emitters[key] = _Emitter(number, service, {agent}, dropped)
            if len(self._emitters) > MAX_EMITTERS:
                self._emitters.popitem(last=False)
            return
        self._emitters.move_to_end(key)
        self.dropped += max(0, dropped - state.dropped)
        state.heard(agent)
        state.dropped = max(state.dropped, dropped)
        if number > state.highest:
            state.jump(number, now)
        else:
            state.fill(number, now)

    def lost(self, now: float) -> dict[str, int]:
        """Spans that never arrived lately, by agent, or by service where they may be several agents'."""
        found: defaultdict[str, int] = defaultdict(int)
        for state, count in self._gaps(now):
            found[state.name] += count
        return dict(found)

    def doubtful(self, now: float) -> dict[str, int]:
        """The same by every agent whose they may be; some may be :data:`ANYBODY`'s."""
        found: defaultdict[str, int] = defaultdict(int)
        for state, count in self._gaps(now):
            for agent in tuple(state.agents):
                found[agent] += count
        return dict(found)

    def _gaps(self, now: float) -> Iterator[tuple[_Emitter, int]]:
        for state in tuple(self._emitters.values()):
            count = state.lost(now)
            if count:
                yield state, count
