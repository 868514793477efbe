"""``fusebox tokens explain``: the ledger's rows behind a number, and a total that is their sum."""

from __future__ import annotations

import argparse
import json
from decimal import Decimal
from typing import Any, Final

from clickhouse_connect.driver.client import Client
from rich.console import Console
from rich.table import Table
from rich.text import Text

from collector import queries
from collector.verbs.since import FORMS, moment, utc
from fusebox import terminal
from fusebox.config import Config

Rows = list[dict[str, Any]]
_TRIES: Final = 5
_TOKENS: Final = ("input_tokens", "output_tokens", "cache_read_tokens", "cache_creation_tokens", "reasoning_tokens")
_MOST: Final = 100_000
_PLACES: Final = 6
_CHECKS: Final = {
    "ledger_violations": "contradict themselves (more cache than input, more reasoning than output); kept as they came",
    "ledger_not_leaf": "have other rows below them: their instrumentation may count the same tokens twice",
    "ledger_repeated": "responses or spans stand in more than one row: client and gateway may both have counted them",
    "ledger_parents": "spans of agents tell other sums than the rows below them: calls may be missing or "
    "counted twice, or failed ones left out",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the action."""
    parser.add_argument("agent", type=_agent, metavar="AGENT")
    parser.add_argument("--since", type=moment, default="24h", metavar="WHEN", help=f"{FORMS} (default: 24h)")
    parser.add_argument("--limit", type=_limit, default=200, help="rows shown; the total is of all (default: 200)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _agent(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("an agent without a name; an empty variable would explain everybody's rows")
    return text


def _limit(text: str) -> int:
    if not (text.isdecimal() and 1 <= int(text) <= _MOST):
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to {_MOST}")
    return int(text)


def run(args: argparse.Namespace, config: Config) -> int:
    """Print rows, total and doubts; 1 when there is nothing to explain."""
    client = queries.connect(config)
    chosen = {"tenant": config.tenant, "agent": args.agent, "since": args.since}
    rows, totals = rows_and_sum(client, chosen, args.limit)
    found = {
        "rows": rows,
        "totals": totals,
        "doubts": {name: _doubts(client, name, chosen) for name in _CHECKS},
    }
    if args.json:
        print(json.dumps({"agent": args.agent, "since": args.since, **found}, default=str))
    else:
        _show(args.agent, args.since, found)
    return 0 if found["rows"] else 1


def rows_and_sum(client: Client, chosen: dict[str, Any], limit: int) -> tuple[Rows, dict[str, Any]]:
    """Two statements see two moments: the rows are read again while the sum before them is not the sum after them."""
    totals = queries.run(client, "ledger_totals", **chosen)[0]
    for _ in range(_TRIES):
        rows = queries.run(client, "ledger_rows", **chosen, limit=limit)
        before, totals = totals, queries.run(client, "ledger_totals", **chosen)[0]
        if totals == before:
            break
    return rows, totals


def _doubts(client: Client, name: str, chosen: dict[str, Any]) -> Rows | None:
    """What a check found; None where it is too much for the database, or not for who asks, which hides no number."""
    try:
        return queries.run(client, name, **chosen)
    except queries.KeepUnavailable:
        return None


def dollars(usd: Decimal) -> str:
    """US dollars to the last digit, for people: rounded ones would not add up, and a small one would look free."""
    return f"${usd:.{max(_PLACES, -int(usd.normalize().as_tuple().exponent))}f}"


def _money(row: dict[str, Any]) -> str:
    """A cost; what nobody knows is said, not shown as nothing."""
    return dollars(row["cost_usd"]) if row["cost_usd"] is not None else str(row["price"])


def _show(agent: str, since: float, found: dict[str, Any]) -> None:
    console = terminal.console()
    if found["rows"]:
        _show_rows(console, found["rows"], found["totals"])
    else:
        console.print(Text(f"{terminal.plain(agent)} made no model call since {utc(since)} UTC that is in the ledger"))
    for name, sentence in _CHECKS.items():
        doubts = found["doubts"][name]
        if doubts is None:
            console.print(Text(f"not checked, because the database refused or was too slow: whether any {sentence}"))
        elif doubts:
            console.print(Text(f"{len(doubts)} {sentence}"))


def _show_rows(console: Console, rows: Rows, totals: dict[str, Any]) -> None:
    console.print(terminal.legible(console, _table(rows)))
    if len(rows) < totals["attempts"]:
        console.print(Text(f"… and {totals['attempts'] - len(rows)} more; --limit shows more"))
    for line in _summary(totals):
        console.print(Text(line))


def _table(rows: list[dict[str, Any]]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("time (UTC)", "model", "outcome"):
        table.add_column(column)
    for column in ("input", "output", "cache read", "cache write", "reasoning", "cost"):
        table.add_column(column, justify="right")
    for column in ("price list", "span"):
        table.add_column(column, overflow="fold")
    for row in rows:
        outcome = row["outcome"] + (f" ({row['violation']})" if row["violation"] else "")
        cells = [utc(row["time"]), row["model"], outcome, *(str(row[name]) for name in _TOKENS), _money(row)]
        table.add_row(*(Text(terminal.plain(cell)) for cell in (*cells, row["price"], row["span_id"])))
    return table


def _summary(totals: dict[str, Any]) -> list[str]:
    lines = [
        f"{totals['attempts']} attempts: {totals['input_tokens']} input tokens (of them {totals['cache_read_tokens']} "
        f"read from and {totals['cache_creation_tokens']} written to a cache), {totals['output_tokens']} output tokens "
        f"(of them {totals['reasoning_tokens']} reasoning), {dollars(totals['cost_usd'])}"
    ]
    if totals["unpriced_attempts"]:
        lines.append(
            f"not in this sum: {totals['unpriced_attempts']} unpriced attempts, {totals['unpriced_tokens']} tokens; "
            "give their models a price in prices_file, then 'fusebox tokens reprice'"
        )
    if totals["unmetered_attempts"]:
        lines.append(f"not in this sum: {totals['unmetered_attempts']} attempts that reported no tokens")
    if totals["wasted_attempts"]:
        lines.append(
            f"wasted: {totals['wasted_attempts']} failed or cut attempts with {totals['wasted_tokens']} tokens, "
            f"{dollars(totals['wasted_usd'])}"
        )
    return lines
