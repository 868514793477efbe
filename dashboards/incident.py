"""One trip as a story: what repeated, the loop as a graph, what was spared. Values only; nothing here draws.

What was spared is an estimate, and says how it was made: the pace of the last minutes before the trip (actions stored,
tokens and dollars of the ledger), for as long as the circuit stayed open.
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
JUST_S: Final = 0.001
"""Times go through the database as microseconds; a stretch that ends with the trip ends this much later."""
NODES: Final = 12
_LABEL: Final = 40
_LOOK: Final = (
    'labelloc=t; rankdir=LR; bgcolor="transparent"; fontname="Helvetica"; fontsize=14; fontcolor="#7c7c7c"; '
    'node [shape=box, style="rounded,filled", fillcolor="#f0eeea", fontcolor="#23211f", color="#7c7c7c", '
    'fontname="Helvetica", fontsize=12]; '
    'edge [color="#7c7c7c", fontcolor="#7c7c7c", fontname="Helvetica", fontsize=14];'
)
"""Read on a light and on a dark page."""
_MOVES: Final = frozenset({"resume", "reset", "transition"})


@dataclass(frozen=True, slots=True)
class Spared:
    """What would have happened in ``minutes`` at the pace of before; US dollars."""

    minutes: float
    actions: float
    tokens: float
    usd: float
    unpriced: int
    """Tokens before the trip whose price nobody knows: ``usd`` leaves them out."""


def spared(actions: int, spent: Row, since: float, trip: Trip, until: float) -> Spared:
    """The estimate.

    Args:
        actions: what the agent did from ``since`` (Unix seconds) to the trip.
        spent: the row of ``ledger_totals`` for the same stretch.
        until: when the circuit moved on, or now.
    """
    minutes = max(0.0, until - trip.time) / 60
    pace = minutes * 60 / max(trip.time - since, 1.0)
    tokens = int(spent["input_tokens"]) + int(spent["output_tokens"])
    return Spared(
        minutes, actions * pace, tokens * pace, float(spent["cost_usd"]) * pace, int(spent["unpriced_tokens"])
    )


def ended(deeds: Sequence[Row], trip: Trip, now: float) -> float:
    """When the circuit moved on after the trip (somebody resumed it, or a probe was let through), else now."""
    return min((float(d["at"]) for d in deeds if d["kind"] in _MOVES and float(d["at"]) > trip.time), default=now)


def side(row: Row, trip: Trip) -> str:
    """On which side of the trip an action lies."""
    return "before" if float(row["at"]) < trip.time + JUST_S else "after"


def followed(rows: Sequence[Row]) -> list[tuple[str, str, int]]:
    """What followed what, and how often, among the :data:`NODES` steps that were made most."""
    steps = [_step(row) for row in rows]
    kept = {step for step, _ in Counter(steps).most_common(NODES)}
    return [(a, b, times) for (a, b), times in Counter(pairwise(step for step in steps if step in kept)).items()]


def loop_graph(rows: Sequence[Row], trip: Trip) -> str:
    """The steps as Graphviz DOT: a node for each operation on a target, an edge for what followed."""
    edges = followed(rows)
    names = {
        step: f"n{place}" for place, step in enumerate(dict.fromkeys(step for a, b, _ in edges for step in (a, b)))
    }
    most = max((times for _, _, times in edges), default=1)
    lines = [f'{names[step]} [label="{_quoted(step)}"];' for step in names]
    lines += [
        f'{names[a]} -> {names[b]} [label="{times}", penwidth={1 + 4 * times / most:.1f}];' for a, b, times in edges
    ]
    title = _quoted(visible(trip.agent, _LABEL))
    return f'digraph loop {{ label="{title}"; {_LOOK} {" ".join(lines)} }}'


def what(row: Row) -> str:
    """The kind of an entry of the audit log; of an alert, which is by the sink, also how it ended there."""
    return visible(f"{row['kind']} {row['fate']}".rstrip(), 60)


def _step(row: Row) -> str:
    said = f"{row['action']} {row['operation']}"
    return visible(f"{said} · {row['target']}" if row["target"] else said, _LABEL)


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
