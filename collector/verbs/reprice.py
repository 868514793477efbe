"""``fusebox tokens reprice``: what the prices of today make of the ledger. A diff; ``--apply`` has it journaled."""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final

from clickhouse_connect.driver.client import Client
from rich.progress import track
from rich.table import Table
from rich.text import Text

from collector import queries
from collector.repricing import Change, changes
from collector.verbs.explain import dollars
from collector.verbs.since import FORMS, moment
from fusebox import terminal
from fusebox.clock import system_clock
from fusebox.config import Config
from fusebox.control import ControlClient
from fusebox.errors import ConfigError
from fusebox.prices import PriceBook

_PAGE: Final = 10_000
_ENTRY: Final = 1_000  # rows in one entry of the journal


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the action."""
    parser.add_argument("--since", type=moment, default="30d", metavar="WHEN", help=f"{FORMS} (default: 30d)")
    parser.add_argument("--agent", default="", metavar="ID", help="only this one's rows")
    parser.add_argument("--apply", action="store_true", help="record the diff in the journal; the ledger follows it")
    parser.add_argument("--reason", default="", help="why, for the journal (needed with --apply)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace, config: Config) -> int:
    """Show the diff and, when asked to, have it recorded."""
    if args.apply and not args.reason.strip():
        raise ConfigError("--apply needs --reason: a repricing is recorded with your name and why")
    book = PriceBook.load(config.prices_file)
    chosen = {"tenant": config.tenant, "agent": args.agent, "since": args.since, "until": system_clock().now()}
    found = list(changes(_rows(queries.connect(config), chosen), book))
    if args.apply and found:
        _apply(config, args.agent or "all", args.reason, found)
    if args.json:
        print(json.dumps({"applied": bool(args.apply and found), "changes": [change.body() for change in found]}))
    else:
        _show(found, applied=args.apply)
    return 0


def _rows(client: Client, chosen: dict[str, Any]) -> Iterator[dict[str, Any]]:
    total = queries.run(client, "ledger_totals", **chosen)[0]["attempts"]
    for offset in track(range(0, total, _PAGE), "reading", console=terminal.console(stderr=True), transient=True):
        yield from queries.run(client, "ledger_rows", **chosen, limit=_PAGE, offset=offset)


def _apply(config: Config, subject: str, reason: str, found: list[Change]) -> None:
    control = ControlClient.local(config)
    starts = range(0, len(found), _ENTRY)
    for start in track(starts, "recording", console=terminal.console(stderr=True), transient=True):
        control.reprice(subject, reason, [change.body() for change in found[start : start + _ENTRY]])


def _show(found: list[Change], *, applied: bool) -> None:
    console = terminal.console()
    if not found:
        console.print(Text("nothing changes: every row already costs what these prices say"))
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("agent", "model", "price list"):
        table.add_column(column, overflow="fold")
    for column in ("rows", "before", "of them unpriced", "now"):
        table.add_column(column, justify="right")
    for (agent, model, price), group in sorted(_groups(found).items()):
        before = sum((change.before or Decimal() for change in group), Decimal())
        unpriced, now = sum(change.before is None for change in group), sum((c.now for c in group), Decimal())
        cells = (agent, model, price, str(len(group)), dollars(before), str(unpriced), dollars(now))
        table.add_row(*(Text(terminal.plain(cell)) for cell in cells))
    console.print(terminal.legible(console, table))
    end = "recorded in the journal; the table token_costs follows within seconds" if applied else (
        'nothing was changed; --apply --reason "…" records it'
    )  # fmt: skip
    console.print(Text(f"{len(found)} rows; {end}"))


def _groups(found: list[Change]) -> dict[tuple[str, str, str], list[Change]]:
    groups: dict[tuple[str, str, str], list[Change]] = defaultdict(list)
    for change in found:
        groups[change.agent, change.model, change.price].append(change)
    return groups
