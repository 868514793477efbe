"""Sequences: which numbers of each emitter's spans went by, and which are missing.

An emitter numbers its spans as they end (:data:`fusebox.names.SEQUENCE`). Neighbours may change places on their way, so
a hole counts as a loss once it is :data:`GRACE_S` old, and is forgotten after :data:`MEMORY_S`, when no detector looks
back that far. An emitter that is met in the middle (after a restart) begins there.

Bounds: :data:`MAX_EMITTERS` emitters, the one that spoke longest ago goes first; :data:`MAX_HOLES` holes of each, more
are counted as one lump.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from dataclasses import dataclass, field
from typing import Final

GRACE_S: Final = 10.0
MEMORY_S: Final = 1800.0
MAX_EMITTERS: Final = 10_000
MAX_HOLES: Final = 1_000


@dataclass(slots=True)
class _Emitter:
    highest: int
    agent: str
    dropped: int = 0
    holes: dict[int, float] = field(default_factory=dict)
    lumps: list[tuple[float, int]] = field(default_factory=list)


class Sequences:
    """For one thread that notes and others that read."""

    def __init__(self) -> None:
        self._emitters: OrderedDict[str, _Emitter] = OrderedDict()
        self.dropped = 0
        """Spans that emitters said they gave up."""

    def note(self, emitter: str, number: int, agent: str, now: float, dropped: int = 0) -> None:
        """A span went by.

        Args:
            now: seconds on any clock that only moves forward.
            dropped: how many spans the emitter says it gave up.
        """
        state = self._emitters.get(emitter)
        if state is None:
            self.dropped += dropped
            self._emitters[emitter] = _Emitter(number, agent, dropped)
            if len(self._emitters) > MAX_EMITTERS:
                self._emitters.popitem(last=False)
            return
        self._emitters.move_to_end(emitter)
        self.dropped += max(0, dropped - state.dropped)
        state.agent, state.dropped = agent, max(state.dropped, dropped)
        if number > state.highest:
            _open_holes(state, number, now)
        else:
            state.holes.pop(number, None)

    def lost(self, now: float) -> dict[str, int]:
        """Spans that never arrived lately, by agent; agents without a loss are left out."""
        found: defaultdict[str, int] = defaultdict(int)
        for state in tuple(self._emitters.values()):
            count = _lost(state, now)
            if count:
                found[state.agent] += count
        return dict(found)


def _open_holes(state: _Emitter, number: int, now: float) -> None:
    missing = number - state.highest - 1
    if missing and len(state.holes) + missing > MAX_HOLES:
        _forget(state, now)
    if missing and len(state.holes) + missing > MAX_HOLES:
        state.lumps.append((now, missing))
    else:
        state.holes.update(dict.fromkeys(range(state.highest + 1, number), now))
    state.highest = number


def _forget(state: _Emitter, now: float) -> None:
    state.holes = {number: since for number, since in state.holes.items() if now - since <= MEMORY_S}
    state.lumps = [(since, count) for since, count in state.lumps if now - since <= MEMORY_S]


def _lost(state: _Emitter, now: float) -> int:
    holes = sum(GRACE_S < now - since <= MEMORY_S for since in tuple(state.holes.values()))
    return holes + sum(count for since, count in tuple(state.lumps) if GRACE_S < now - since <= MEMORY_S)
