"""What ``kill`` and ``resume`` share: naming whom, and watching Receipts arrive."""

from __future__ import annotations

import argparse
import difflib
import json
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from fusebox import terminal
from fusebox.command import ALL, KINDS, agent_scope
from fusebox.control import ControlClient
from fusebox.errors import ConfigError, FuseboxError

Json = dict[str, Any]
_POLL_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class Target:
    """Whom an order is for, why, and how long to wait for Receipts (seconds)."""

    scope: str
    reason: str
    timeout: float
    as_json: bool

    @property
    def words(self) -> str:
        """For people."""
        return "every agent" if self.scope == ALL else self.scope.removeprefix(agent_scope("")).replace(":", " ", 1)


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of an order."""
    parser.add_argument("agent", nargs="?", help="agent id")
    parser.add_argument("--all", action="store_true", help="every agent")
    parser.add_argument("--tenant", metavar="NAME", help="every agent of a tenant")
    parser.add_argument("--workflow", metavar="ID", help="everything that belongs to one workflow")
    parser.add_argument("--tool", metavar="NAME", help="every call of one tool, whoever makes it")
    parser.add_argument("--reason", required=True, help="recorded with your name")
    parser.add_argument("--timeout", type=float, default=10.0, metavar="SECONDS", help="wait for receipts (10)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def target_of(args: argparse.Namespace) -> Target:
    """Read the arguments.

    Raises:
        ConfigError: it is not exactly one that they name.
    """
    scopes = [f"{kind}:{getattr(args, kind)}" for kind in KINDS if getattr(args, kind)] + [ALL] * args.all
    if len(scopes) != 1:
        raise ConfigError("name one agent, or say --all, --tenant, --workflow or --tool")
    return Target(scopes[0], args.reason, args.timeout, args.json)


def follow(client: ControlClient, answer: Json, target: Target, done: str) -> int:
    """Wait for the Receipts of ``answer`` and show them; 0 when all arrived, 1 when one is missing.

    The order was taken: a *watch* that goes away meanwhile keeps Receipts from being seen, and undoes nothing.
    """
    started = time.monotonic()
    console = terminal.console(stderr=target.as_json)
    receipts = _watch(client, answer, target, console)
    if target.as_json:
        missing = sorted(set(receipts["expected"]) - receipts["received"].keys())
        print(json.dumps(answer | receipts | {"missing": missing, "seconds": round(time.monotonic() - started, 3)}))
    else:
        _conclude(console, receipts, target, done)
        if not receipts["expected"]:
            _doubt(console, client, target)
    return 0 if receipts["complete"] else 1


def _watch(client: ControlClient, answer: Json, target: Target, console: Console) -> Json:
    deadline = time.monotonic() + target.timeout
    receipts: Json = {"expected": answer["expected"], "received": {}, "complete": not answer["expected"]}
    with Live(console=console, refresh_per_second=20, transient=target.as_json) as live:
        while True:
            with suppress(FuseboxError):
                receipts = client.receipts(answer["command"])
            live.update(_table(receipts))
            if receipts["complete"] or time.monotonic() >= deadline:
                break
            time.sleep(_POLL_S)
    if receipts["expected"] and not console.is_terminal and not target.as_json:
        console.line()  # Live ends its last line on terminals only
    return receipts


def _table(receipts: Json) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    for process in receipts["expected"]:
        arrived = process in receipts["received"]
        table.add_row(
            "[green]✓[/]" if arrived else "[yellow]…[/]", escape(process), "applied" if arrived else "waiting"
        )
    return table


def _conclude(console: Console, receipts: Json, target: Target, done: str) -> None:
    expected, missing = receipts["expected"], set(receipts["expected"]) - receipts["received"].keys()
    if missing:
        late = escape(", ".join(sorted(missing)))
        console.print(f"[bold red]no receipt within {target.timeout:g} s from {late}[/]: the order stands; check it")
    elif expected:
        console.print(f"{escape(target.words)} {done}: {len(expected)} of {len(expected)} processes confirmed")
    else:
        console.print(f"{escape(target.words)} {done}; no process runs it now, and whoever starts will be told")


def _doubt(console: Console, client: ControlClient, target: Target) -> None:
    """An agent that nobody runs nor registered may be mistyped: name those that are called almost so."""
    try:
        tiles = client.board()["circuits"]
    except FuseboxError:
        return  # the order stands; this is a hint
    agents = {tile["agent"]: tile["registered"] for tile in tiles}
    if not agents.pop(target.words, True) and (alike := difflib.get_close_matches(target.words, agents)):
        console.print(f"nobody registered {escape(target.words)}; did you mean {escape(', '.join(alike))}?")
