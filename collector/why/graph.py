"""An answer as a graph in Graphviz's DOT language, for whatever draws it.

Names, prompts and reasons are other people's: each becomes the text of one label, quoted, without control characters
and markup (Graphviz's HTML-like labels are not used, and its entities and escapes are taken apart).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from collector.why.model import Direction, Ruling, Step, Why

MAX_NODES: Final = 60
_LONGEST: Final = 60
_HEAD: Final = """digraph why {
  rankdir=LR;
  bgcolor=transparent;
  node [shape=box, style="rounded,filled", fillcolor=white, color=gray50, fontname="Helvetica", fontsize=11];
  edge [color=gray50, fontcolor=gray50, fontname="Helvetica", fontsize=9];"""
_CALL: Final = "style=filled, fillcolor=lightyellow"
_RULING: Final = "style=filled, fillcolor=lavender, shape=note"


def dot(why: Why) -> str:
    """The graph: causes on the left, effects on the right, :data:`MAX_NODES` steps at most."""
    return "\n".join([_HEAD, *_lines(why), "}"])


def _lines(why: Why) -> Iterator[str]:
    shown = why.steps[:MAX_NODES]
    numbers = {step.place: number for number, step in enumerate(shown)}
    if why.entry:
        yield f"  entry [{_label(*_said(why.entry))}, {_RULING}];"
        yield from ("  entry -> n0 [style=dashed, dir=none];" for _ in shown[:1])
    for step in shown:
        number = numbers[step.place]
        yield f"  n{number} [{_label(step.agent, step.name, step.detail or step.target)}{_marks(step, number)}];"
        if step.next_to in numbers:
            yield _edge(number, numbers[step.next_to], why.direction)
        yield from _aside(step, number)
    if len(why.steps) > MAX_NODES or why.gaps:
        yield f"  more [{_label(f'{len(why.steps) - len(shown)} more steps', *why.gaps)}, shape=plaintext];"


def _edge(number: int, next_to: int, direction: Direction) -> str:
    """From cause to effect."""
    back = direction is Direction.BACK
    return f"  n{number} -> n{next_to};" if back else f"  n{next_to} -> n{number};"


def _aside(step: Step, number: int) -> Iterator[str]:
    """What stands beside a step: what its agent was told, and what was ruled."""
    for place, call in enumerate(step.model_calls):
        yield f"  m{number}_{place} [{_label(call.model, call.prompt)}, {_CALL}];"
        yield f'  m{number}_{place} -> n{number} [style=dashed, label="because"];'
    for place, ruling in enumerate(step.rulings):
        yield f"  r{number}_{place} [{_label(*_said(ruling))}, {_RULING}];"
        yield f"  r{number}_{place} -> n{number} [style=dashed];"


def _said(ruling: Ruling) -> tuple[str, ...]:
    return f"{ruling.kind} by {ruling.actor}", ruling.reason


def _marks(step: Step, number: int) -> str:
    return (", penwidth=2" if number == 0 else "") + (", color=firebrick" if step.failed else "")


def _label(*lines: str) -> str:
    text = "\\n".join(_plain(line) for line in lines if line)
    return f'label="{text}"'


def _plain(text: str) -> str:
    clean = "".join(char if char.isprintable() else "·" for char in text)
    short = clean if len(clean) <= _LONGEST else clean[: _LONGEST - 1] + "…"
    return short.replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;")
