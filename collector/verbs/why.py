"""``fusebox why``: which prompt caused this, and what came of it."""

from __future__ import annotations

import argparse
import json
from contextlib import closing
from datetime import UTC, datetime
from typing import Final

from rich.text import Text
from rich.tree import Tree

from collector.queries import connect
from collector.why import Direction, ModelCall, Ruling, Step, Why, explain
from fusebox import terminal
from fusebox.config import Config

_LONGEST: Final = 600
_TOUCHED: Final = 50


class WhyVerb:
    """Explains an effect, or follows a cause."""

    help = "which prompt, verdict and person led to something, or what came of it"
    description = """\
Walk back from an effect to what caused it: the handler, the model call and its prompt,
the message that started the handler, the agent that published it, and so on; beside
each step what guards and detectors said, and who last let the agent act.

  fusebox why 00f067aa0ba902b7                   a span (of a tool call, for example)
  fusebox why 4bf92f3577b34da6a3ce929d0e0e4736   a trace: its last tool call
  fusebox why 0192f7a2-…                         a message, by its message id
  fusebox why watch:12                           an entry of the audit log, by writer and number
  fusebox why TICK-12                            a row, ticket or file that a tool call named: its newest call
  fusebox why ID --forward                       the other way: everything that followed from it
  fusebox why ID --json                          plain data

Prompts are stored only with capture_content = true. What is not stored is said.
"""

    def configure(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("id", metavar="SPAN|TRACE|MESSAGE|ROW")
        parser.add_argument("--forward", action="store_true", help="what came of it, instead of what led to it")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def run(self, args: argparse.Namespace, config: Config) -> int:
        direction = Direction.FORWARD if args.forward else Direction.BACK
        with closing(connect(config)) as client:
            why = explain(client, args.id, direction)
        if args.json:
            print(json.dumps(why.json(), ensure_ascii=False))
        else:
            terminal.console().print(render(why))
        return 0


def render(why: Why) -> Tree:
    """The walk as a tree: what was asked about on top, below each step what led to it (or followed from it)."""
    root = Tree(_ruling(why.entry)) if why.entry else None
    branches: dict[str, Tree] = {}
    for step in why.steps:
        above = branches.get(step.next_to, root)
        branch = above.add(_title(step)) if above else Tree(_title(step))
        root, branches[step.place] = root or branch, branch
        for call in step.model_calls:
            branch.add(_call(call))
        for ruling in step.rulings:
            branch.add(_ruling(ruling))
    assert root is not None, "an answer has an entry or a step"
    for gap in why.gaps:
        root.add(Text(f"… {gap}", "dim"))
    if why.direction is Direction.FORWARD:
        _hang_touched(root, why)
    return root


def _hang_touched(root: Tree, why: Why) -> None:
    touched = why.touched()
    branch = root.add(Text(f"touched: {len(touched)} kinds of things", "bold"))
    for agent, did, target, times in touched[:_TOUCHED]:
        on = f" on {_short(target)}" if target else ""
        branch.add(Text(_short(agent), "cyan").append(f"  {_short(did)}{on} × {times}", "default"))
    if len(touched) > _TOUCHED:
        branch.add(Text(f"… and {len(touched) - _TOUCHED} more; --json has all", "dim"))


def _title(step: Step) -> Text:
    text = Text(f"{_moment(step.start)}  ", "dim").append(_short(step.agent), "bold cyan")
    text.append(f"  {_short(step.name)}", "default")
    if step.failed:
        text.append("  failed", "red")
    if detail := step.detail or step.target:
        text.append(f"  {_short(detail)}", "dim")
    return text.append(f"  {step.span_id}", "dim")


def _ruling(ruling: Ruling) -> Text:
    text = Text(f"{ruling.kind} ", "magenta").append(f"by {_short(ruling.actor)}", "bold magenta")
    text.append(f" about {_short(ruling.subject)}: {_short(ruling.reason)}", "default")
    return text.append(f"  {_moment(ruling.time)}  {ruling.writer}:{ruling.seq}", "dim")


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%H:%M:%S.%f")[:-3]


def _call(call: ModelCall) -> Text:
    text = Text("because ", "yellow").append(_short(call.model) or "a model", "bold yellow")
    if not call.prompt:
        return text.append(
            " was asked (no prompt is stored: capture_content was off, or the agent did not say it)", "dim"
        )
    return text.append(f" was asked:\n{_short(call.prompt)}").append(
        f"\n→ {_short(call.answer)}" if call.answer else ""
    )


def _short(text: str) -> str:
    clean = "".join(char if char.isprintable() or char == "\n" else "·" for char in text)
    return clean if len(clean) <= _LONGEST else clean[: _LONGEST - 1] + "…"


verb = WhyVerb()
