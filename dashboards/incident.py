"""One trip as a story: what repeated, the loop as a graph, what was spared. Values only; nothing here draws.

What was spared is an estimate, and says how it was made: the actions, tokens and dollars of the last minutes before the
trip, a minute, times the minutes the circuit has been open since.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from dashboards.text import visible
from dashboards.view import Trip

Row = Mapping[str, Any]
BEFORE_S: Final = 300.0
AFTER_S: Final = 600.0
NODES: Final = 12
_LABEL: Final = 40


@dataclass(frozen=True, slots=True)
class Spared:
    """What would have happened in ``minutes`` at the pace of before; US dollars."""

    minutes: float
    actions: float
    tokens: float
    usd: float


def spared(before: Sequence[Row], trip: Trip, until: float) -> Spared:
    """The estimate from the actions ``before`` the trip.

    Args:
        before: rows of ``agent_between``, all older than the trip.
        until: when the circuit closed again, or now (Unix seconds).
    """
    minutes = max(0.0, until - trip.time) / 60
    if not before:
        return Spared(minutes, 0.0, 0.0, 0.0)
    measured = max(trip.time - float(before[0]["at"]), 1.0) / 60
    pace = minutes / measured
    usd = float(sum(row["cost_usd"] for row in before))
    return Spared(minutes, len(before) * pace, sum(int(row["tokens"]) for row in before) * pace, usd * pace)


def loop_graph(rows: Sequence[Row], trip: Trip) -> str:
    """The steps as Graphviz DOT: a node for each operation on a target, an edge for what followed."""
    steps = [_step(row) for row in rows]
    kept = {step for step, _ in Counter(steps).most_common(NODES)}
    steps = [step for step in steps if step in kept]
    edges = Counter(pairwise(steps))
    names = {step: f"n{place}" for place, step in enumerate(dict.fromkeys(steps))}
    most = max(edges.values(), default=1)
    lines = [f'{names[step]} [label="{_quoted(step)}"];' for step in names]
    lines += [
        f'{names[a]} -> {names[b]} [label="{times}", penwidth={1 + 4 * times / most:.1f}];'
        for (a, b), times in edges.items()
    ]
    title = _quoted(visible(trip.agent, _LABEL))
    head = f'label="{title}"; labelloc=t; rankdir=LR; bgcolor="transparent"; node [shape=box, style="rounded,filled"];'
    return f"digraph loop {{ {head} {' '.join(lines)} }}"


def _step(row: Row) -> str:
    said = f"{row['action']} {row['operation']}"
    return visible(f"{said} · {row['target']}" if row["target"] else said, _LABEL)


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
