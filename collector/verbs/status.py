"""``fusebox status``: is everything up, and what do the circuits say."""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from dataclasses import asdict
from typing import Any, Final

from rich.markup import escape
from rich.table import Table

from collector.verbs.roles import Standing, lag, standings
from fusebox import terminal
from fusebox.config import Config
from fusebox.control import ControlClient
from fusebox.errors import FuseboxError

_COLOURS: Final = {"up": "green", "failing": "red", "down": "red", "absent": "dim"}


class StatusVerb:
    """Shows roles, lag and circuits."""

    help = "which roles run, how far they are, which circuits are open"
    description = """Show the collector's roles, how far behind they are, and a summary of the circuits.

  fusebox status
  fusebox status --json

Exit status: 0 when every needed role is up and says it is well, else 1."""

    def configure(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def run(self, args: argparse.Namespace, config: Config) -> int:
        found = standings(config)
        summary = _summary(config)
        if args.json:
            print(json.dumps({"roles": [asdict(standing) for standing in found], **summary}))
        else:
            _show(found, summary)
        return 1 if any(standing.bad for standing in found) else 0


def _summary(config: Config) -> dict[str, Any]:
    """Figures; those of *watch* are missing when it does not answer."""
    summary: dict[str, Any] = {"unstored_records": lag(config)}
    try:
        board = ControlClient.local(config).board()
    except FuseboxError as error:
        return summary | {"watch": str(error)}
    age = round(max(0.0, board["time"] - board["watermark"]), 1) if board["watermark"] else None
    stored = board["freshness"]["stored"]
    return summary | {
        "judged_seconds_ago": age,
        "stored_seconds_ago": round(max(0.0, board["time"] - stored), 1) if stored else None,
        "incomplete": board["freshness"]["incomplete"],
        "circuits": dict(Counter(tile["state"] for tile in board["circuits"])),
        "latches": [latch["scope"] for latch in board["latches"]],
        "kills_unknown_to_watch": [line for each in board.get("reported", ()) for line in _held_in(each)],
        "processes": len(board["processes"]),
        "alerts": board["alerts"],
    }


def _held_in(reported: dict[str, Any]) -> list[str]:
    """The kills that hold in a process by orders that *watch* does not know."""
    named = [f"{kill['scope']} in {reported['process']} ({kill['id']})" for kill in reported["kills"]]
    return named + ([f"{reported['more']} more in {reported['process']}"] if reported["more"] else [])


def _show(found: list[Standing], summary: dict[str, Any]) -> None:
    console = terminal.console()
    table = Table(box=None, pad_edge=False)
    for column in ("role", "state", "address", ""):
        table.add_column(column, overflow="fold")
    for standing in found:
        colour = _COLOURS[standing.state]
        state = f"[{colour}]{standing.state}[/]"
        table.add_row(standing.role, state, escape(standing.url), escape(standing.detail))
    console.print(table)
    console.print()
    for name, value in summary.items():
        console.print(f"{name.replace('_', ' ')}: {escape(_words(value))}")
    console.print(f"asked at {time.strftime('%H:%M:%S')}", style="dim")


def _words(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{number} {name}" for name, number in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return "nothing yet" if value is None else str(value)


verb = StatusVerb()
