"""``fusebox why``: which prompt caused this."""

from __future__ import annotations

import argparse
import json
from contextlib import closing
from datetime import UTC, datetime
from typing import Final

from rich.text import Text
from rich.tree import Tree

from collector.queries import connect
from collector.why import ModelCall, Step, Why, explain
from fusebox import terminal
from fusebox.config import Config

_LONGEST: Final = 600


class WhyVerb:
    """Explains an effect."""

    help = "which prompt and which messages led to a tool call or message"
    description = """\
Walk back from an effect to what caused it: the handler, the model call and its prompt,
the message that started the handler, the agent that published it, and so on.

  fusebox why 00f067aa0ba902b7                   a span (of a tool call, for example)
  fusebox why 4bf92f3577b34da6a3ce929d0e0e4736   a trace: its last tool call
  fusebox why 0192f7a2-…                         a message, by its message id
  fusebox why ID --json                          plain data

Prompts are stored only with capture_content = true.
"""

    def configure(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("id", metavar="SPAN_ID|TRACE_ID|MESSAGE_ID")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def run(self, args: argparse.Namespace, config: Config) -> int:
        with closing(connect(config)) as client:
            why = explain(client, args.id)
        if args.json:
            print(json.dumps(why.json(), ensure_ascii=False))
        else:
            terminal.console().print(render(why))
        return 0


def render(why: Why) -> Tree:
    """The walk as a tree: the effect on top, below each step what led to it."""
    root = branch = Tree(_title(why.steps[0]))
    _hang_calls(branch, why.steps[0])
    for step in why.steps[1:]:
        branch = branch.add(_title(step))
        _hang_calls(branch, step)
    if not why.complete:
        branch.add(Text("… what came before is not stored", "dim"))
    return root


def _title(step: Step) -> Text:
    moment = datetime.fromtimestamp(step.start, UTC).strftime("%H:%M:%S.%f")[:-3]
    text = Text(f"{moment}  ", "dim").append(step.agent, "bold cyan").append(f"  {step.name}", "default")
    if step.failed:
        text.append("  failed", "red")
    if step.detail:
        text.append(f"  {_short(step.detail)}", "dim")
    return text.append(f"  {step.span_id}", "dim")


def _hang_calls(branch: Tree, step: Step) -> None:
    for call in step.model_calls:
        branch.add(_call(call))


def _call(call: ModelCall) -> Text:
    text = Text("because ", "yellow").append(call.model or "a model", "bold yellow")
    if not call.prompt:
        return text.append(" was asked (the prompt was not captured: capture_content is off)", "dim")
    return text.append(f" was asked:\n{_short(call.prompt)}").append(
        f"\n→ {_short(call.answer)}" if call.answer else ""
    )


def _short(text: str) -> str:
    clean = "".join(char if char.isprintable() or char == "\n" else "·" for char in text)
    return clean if len(clean) <= _LONGEST else clean[: _LONGEST - 1] + "…"


verb = WhyVerb()
