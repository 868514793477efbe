"""Outages: models that nobody can ask, told to people once: the provider is down, and not twenty agents loop.

An outage is :data:`CALLS` calls of a model running, of :data:`AGENTS` agents or more and over :data:`LASTING_S`
seconds, that came to nothing through no fault of who asked. The first call that goes well ends it. Names of models are
what agents say: the :data:`MODELS` that failed last are known, and each is told of once in :data:`QUIET_S` seconds.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from breakers.detectors.words import is_outage
from fusebox.records import ActionKind, Event

T = TypeVar("T")

CALLS: Final = 5
AGENTS: Final = 2
LASTING_S: Final = 30.0
QUIET_S: Final = 900.0
MODELS: Final = 100
_MAX_AGENTS: Final = 100
_MODEL: Final = ActionKind.MODEL_CALL


@dataclass(slots=True)
class Outage:
    """Calls of one model that failed, since one last went well."""

    model: str
    since: float
    error: str = ""
    calls: int = 0
    agents: set[str] = field(default_factory=set)


class Outages:
    """Watches for them.

    Args:
        tell: called with what has become one; what it is given changes as the outage goes on.
    """

    def __init__(self, tell: Callable[[Outage], None]) -> None:
        self._tell = tell
        self._failing: OrderedDict[str, Outage] = OrderedDict()
        self._told: OrderedDict[str, float] = OrderedDict()

    def observe(self, event: Event) -> None:
        """Take in one event of the fleet."""
        if event.action is not _MODEL:
            return
        if event.ok:
            self._failing.pop(event.operation, None)
        elif is_outage(event):
            self._fail(event)

    def _fail(self, event: Event) -> None:
        model = event.operation
        outage = self._failing.pop(model, None) or Outage(model, event.time)
        _put(self._failing, model, outage)
        outage.calls, outage.error = outage.calls + 1, event.error_type
        if len(outage.agents) < _MAX_AGENTS:
            outage.agents.add(event.agent)
        lasts = event.time - outage.since >= LASTING_S
        if not lasts or outage.calls < CALLS or len(outage.agents) < AGENTS:
            return
        if event.time - self._told.get(model, -QUIET_S) >= QUIET_S:
            _put(self._told, model, event.time)
            self._tell(outage)


def _put(kept: OrderedDict[str, T], model: str, value: T) -> None:
    kept[model] = value
    kept.move_to_end(model)
    if len(kept) > MODELS:
        kept.popitem(last=False)
