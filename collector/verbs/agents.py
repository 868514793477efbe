"""``fusebox agents``: the board in the terminal."""

from __future__ import annotations

import argparse
import json
from typing import Any, Final

from rich.markup import escape
from rich.table import Table

from fusebox import terminal
from fusebox.config import Config
from fusebox.control import ControlClient

_COLOURS: Final = {"closed": "green", "half_open": "yellow", "open": "red", "forced_open": "bold red"}
_COLUMNS: Final = ("agent", "state", "mode", "actions/min", "tokens/min", "$/min", "held", "owner", "reason")


class AgentsVerb:
    """Lists agents with their circuits and figures."""

    help = "all agents: circuit, figures, owner"
    description = """List every agent watch knows: the state of its circuit, what it does a minute, whose it is.

  fusebox agents
  fusebox agents --unregistered     agents that speak without being in agents.toml ("shadow AI")"""

    def configure(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--unregistered", action="store_true", help="only agents that nobody registered")
        parser.add_argument("--json", action="store_true", help="print one JSON array")

    def run(self, args: argparse.Namespace, config: Config) -> int:
        tiles = ControlClient.local(config).board()["circuits"]
        if args.unregistered:
            tiles = [tile for tile in tiles if not tile["registered"]]
        if args.json:
            print(json.dumps(tiles))
        elif tiles:
            terminal.show(_table(tiles))
        else:
            print("no such agents")
        return 0


def _table(tiles: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in _COLUMNS:
        figure = "/min" in column or column == "held"
        table.add_column(column, justify="right" if figure else "left", overflow="fold", no_wrap=column == "agent")
    for tile in tiles:
        table.add_row(*_row(tile))
    return table


def _row(tile: dict[str, Any]) -> tuple[str, ...]:
    colour = _COLOURS.get(tile["state"], "white")
    return (
        escape(tile["agent"]), f"[{colour}]{tile['state']}[/]", tile["mode"], str(tile["actions_per_minute"]),
        _of(tile["tokens_per_minute"], tile["budget_tokens_per_minute"]),
        _of(_cost(tile), tile["budget_usd_per_minute"]), str(tile["held"]),
        escape(tile["owner"]) if tile["registered"] else "[yellow]unregistered[/]", escape(tile["reason"]),
    )  # fmt: skip


def _cost(tile: dict[str, Any]) -> str:
    """What is known of it: some calls may have no price."""
    return f"{'≥ ' if tile['unpriced_per_minute'] else ''}{tile['cost_per_minute']:.4f}"


def _of(used: object, budget: object) -> str:
    return f"{used}/{budget}" if budget else str(used)


verb = AgentsVerb()
