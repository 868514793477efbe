"""Rounds: how often a chain of causes has come back to the same step with nothing new.

The step that a hop names is in its lower half: what was sent, without its numbers and ids. The upper half is the same
with small numbers in it, or 0 where a chain has the step for the first time: then nobody asks for it.

An agent that asks for page after page comes back to one step each time, and so does one that answers whatever it is
told with one sentence. The first is given something new each time and asks by another number. So a round counts unless
both is true: the numbers have moved, and somebody in between has said what had not been said before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from fusebox.records import Hop, Lineage

_HALF: Final = 32
_LOWER: Final = (1 << _HALF) - 1


def next_hop(agent: str, request: int, lineage: Lineage, numbered: Callable[[], int]) -> Hop:
    """The hop of what ``agent`` is about to send.

    Args:
        request: hash of it without numbers and ids.
        numbered: hashes it with its small numbers; called where the step has been made before.
    """
    step = request & _LOWER
    if (agent, step) not in map(_step, lineage):
        return Hop(agent, step)
    return Hop(agent, (numbered() & _LOWER or 1) << _HALF | step)


def rounds(chain: Lineage) -> int:
    """How often the last step of a chain was made with nothing new since the time before; the first time counts."""
    step, count = _step(chain[-1]), 0
    before: Hop | None = None
    said: set[tuple[str, int]] = set()
    between: set[tuple[str, int]] = set()
    for hop in chain:
        if _step(hop) != step:
            between.add(_step(hop))
            continue
        if before is None or _same_numbers(before, hop) or between <= said:
            count += 1
        said |= between
        before, between = hop, set()
    return count


def _step(hop: Hop) -> tuple[str, int]:
    return hop.agent, hop.request & _LOWER


def _same_numbers(one: Hop, other: Hop) -> bool:
    """True also where one of them is not known."""
    a, b = one.request >> _HALF, other.request >> _HALF
    return a == b or not (a and b)
