"""What agents have today against loops, written anew from its documentation, to score beside our detectors.

* ``openhands``: the stuck rules of OpenHands: the same action with the same observation four times running; the same
  action with an error three times running; two actions in turn, three times each; a message three times running.
* ``identical-N``: the same request N times running, whatever it returned.
* ``cap-N``: a step cap: LangGraph's recursion limit is 25 by default, the OpenAI Agents SDK's ``max_turns`` 10,
  CrewAI's ``max_iter`` 20.

Each sees the events of one agent in one run.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from fusebox.records import ActionKind, Event


class Baseline(Protocol):
    """Says of each event whether it would have stopped the agent there."""

    def stops(self, event: Event) -> bool:
        """Take one event in."""


class OpenHands:
    """See the module."""

    def __init__(self) -> None:
        self._steps: deque[tuple[int, int, bool, bool]] = deque(maxlen=6)

    def stops(self, event: Event) -> bool:
        """Take one event in."""
        talk = event.action is ActionKind.PUBLISH
        self._steps.append((event.request_exact, event.result_exact, event.ok, talk))
        steps = list(self._steps)
        return _same(steps, 4) or self._failing(steps) or self._turns(steps) or self._talking(steps)

    def _failing(self, steps: list[tuple[int, int, bool, bool]]) -> bool:
        last = steps[-3:]
        return len(last) == 3 and len({s[0] for s in last}) == 1 and not any(s[2] for s in last)

    def _talking(self, steps: list[tuple[int, int, bool, bool]]) -> bool:
        return _same(steps, 3) and all(step[3] for step in steps[-3:])

    def _turns(self, steps: list[tuple[int, int, bool, bool]]) -> bool:
        return len(steps) == 6 and len(set(steps[::2])) == 1 and len(set(steps[1::2])) == 1


def _same(steps: list[tuple[int, int, bool, bool]], times: int) -> bool:
    return len(steps) >= times and len(set(steps[-times:])) == 1


class Identical:
    """See the module."""

    def __init__(self, times: int) -> None:
        self._last: deque[tuple[str, str, int]] = deque(maxlen=times)
        self._times = times

    def stops(self, event: Event) -> bool:
        """Take one event in."""
        self._last.append((event.operation, event.target, event.request_exact))
        return len(self._last) == self._times and len(set(self._last)) == 1


class Cap:
    """See the module."""

    def __init__(self, steps: int) -> None:
        self._left = steps

    def stops(self, event: Event) -> bool:
        """Take one event in."""
        self._left -= 1
        return self._left < 0


BASELINES: dict[str, Callable[[], Baseline]] = {
    "openhands": OpenHands,
    "identical-3": lambda: Identical(3),
    "identical-4": lambda: Identical(4),
    "cap-10": lambda: Cap(10),
    "cap-20": lambda: Cap(20),
    "cap-25": lambda: Cap(25),
}
