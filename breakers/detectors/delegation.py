"""Delegation: work that is handed on and on, or to ever more agents.

Who delegates (``delegate``, ``handoff``, ``spawn_agent`` …) stands one step above whom it delegates to; the first to do
so decides. From that come the *depth* of a line and the size of the *tree* under its root, without any trace context.

==================================================================================================== ========
a line is ``depth`` deep                                                                               opens
a tree has ``agents`` agents and is ``recursive`` deep: those who were spawned spawn in their turn     opens
one agent has ``fan_out`` agents below it                                                              opens
one agent has said the same, word for word, to ``copies`` new agents running                           opens
half of any of these                                                                                   warns
==================================================================================================== ========

A map-reduce is wide and one or two deep; a ring adds nobody new.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, Final

from breakers.detectors.base import WARN, finding
from breakers.detectors.words import delegates
from fusebox.records import Event, Finding

_PLACES: Final = 8_192


class _Place:
    """Where an agent stands in its tree."""

    __slots__ = ("below", "copies", "depth", "root", "said", "time", "warned")

    def __init__(self, root: str, depth: int, time: float) -> None:
        self.root, self.depth, self.time, self.below, self.warned = root, depth, time, 0, False
        self.said = self.copies = 0

    def add(self, said: int) -> None:
        """Another agent below, that was told ``said`` (0: nobody knows what)."""
        self.below += 1
        self.copies = self.copies + 1 if said and said == self.said else 1
        self.said = said


class Delegation:
    """See the module.

    Args:
        depth: steps from the root that open.
        agents, recursive: size and depth of a tree that open together.
        fan_out: agents below one that open.
        copies: agents running that were told the same that open.
        memory_s: seconds after which a place that nobody used is forgotten.
    """

    name = "delegation"
    scope = "fleet"

    def __init__(
        self, *, depth: int = 8, agents: int = 8, recursive: int = 3, fan_out: int = 60, copies: int = 10,
        memory_s: float = 1800.0,
    ) -> None:  # fmt: skip
        self._depth, self._agents, self._recursive = depth, agents, recursive
        self._fan_out, self._copies = fan_out, copies
        self._memory_s = memory_s
        self._places: OrderedDict[str, _Place] = OrderedDict()
        self._trees: OrderedDict[str, int] = OrderedDict()
        self.score = 0.0

    def observe(self, event: Event) -> Finding | None:
        """Judge one event of the fleet; only delegations count."""
        self.score = 0.0
        if not delegates(event.operation) or not event.target or event.target == event.agent:
            return None
        me = self._place(event.agent, event.time) or _Place(event.agent, 0, event.time)
        if self._place(event.target, event.time) is None:
            me.add(event.request_exact)
            self._trees[me.root] = self._trees.get(me.root, 0) + 1
            _keep(self._places, event.target, _Place(me.root, me.depth + 1, event.time))
        me.time = event.time
        _keep(self._places, event.agent, me)
        _keep(self._trees, me.root, self._trees.get(me.root, 0))
        return self._judge(event, me)

    def _place(self, agent: str, time: float) -> _Place | None:
        place = self._places.get(agent)
        return place if place is not None and time - place.time <= self._memory_s else None

    def _judge(self, event: Event, me: _Place) -> Finding | None:
        deep, size = me.depth + 1, self._trees[me.root]
        signs = (
            (deep / self._depth, f"the line from {me.root} is {deep} deep"),
            (
                min(size / self._agents, 1.0) if deep >= self._recursive else 0.0,
                f"{size} agents under {me.root}, {deep} deep: those who were spawned spawn",
            ),
            (me.below / self._fan_out, f"{me.below} agents below {event.agent}"),
            (me.copies / self._copies, f"{event.agent} told {me.copies} agents the same"),
        )
        self.score, reason = max(signs)
        if self.score >= 1:
            me.root, me.depth, me.below, me.copies = event.agent, 0, 0, 0  # the next finding needs new evidence
            return finding(event, self.name, reason, score=self.score, threshold=1.0, repeated=event.operation)
        if self.score < 0.5 or me.warned:
            return None
        me.warned = True
        return finding(
            event, self.name, reason, action=WARN, score=self.score, threshold=0.5, repeated=event.operation
        )  # fmt: skip


def _keep(kept: OrderedDict[str, Any], key: str, value: object) -> None:
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > _PLACES:
        kept.popitem(last=False)
