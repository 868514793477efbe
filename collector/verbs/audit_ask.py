"""``fusebox audit ask``: what auditors ask, answered from the journal's copy."""

from __future__ import annotations

import argparse
import json
from contextlib import closing
from decimal import Decimal
from typing import Any, Final

from rich.table import Table
from rich.text import Text

from collector import queries
from collector.questions import END, PREFIX, QUESTIONS
from collector.verbs.since import FORMS, moment, utc
from fusebox import terminal
from fusebox.config import Config

_TIMES: Final = frozenset({"time", "since", "until", "first", "last", "lifted", "acted", "stopped", "written"})
_LONGEST: Final = 200


class Ask:
    """Lists the questions, or asks one."""

    help = "ready-made questions: who let it, on what evidence, what an operator did …"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Arguments of the action."""
        parser.formatter_class = argparse.RawDescriptionHelpFormatter
        parser.description = "Without a NAME the questions are listed. There are:\n\n" + "\n".join(
            f"  {name:14}{query.about}" for name, query in QUESTIONS.items()
        )
        parser.set_defaults(refuse=parser.error)
        parser.add_argument("name", nargs="?", choices=tuple(QUESTIONS), metavar="NAME", help="the question")
        parser.add_argument("--since", type=moment, metavar="WHEN", help=f"only what is newer: {FORMS}")
        parser.add_argument("--agent", metavar="ID", help="only what concerns this agent")
        parser.add_argument("--who", metavar="NAME", help="only what this operator, reader or user did")
        parser.add_argument("--limit", type=int, metavar="N", help="rows at most (default: 1000)")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def run(self, args: argparse.Namespace, config: Config) -> int:
        """Answer; exit status 0 also when there is nothing to show."""
        if args.name is None:
            _list(args.json)
            return 0
        chosen = _chosen(args)
        with closing(queries.connect(config)) as client:
            rows = queries.run(client, PREFIX + args.name, **chosen)
        question = QUESTIONS[args.name]
        cut = len(rows) >= chosen.get("limit", question.defaults["limit"])
        if args.json:
            answer = {"question": args.name, "about": question.about, "rows": rows, "cut": cut}
            print(json.dumps(answer, default=str, ensure_ascii=False))
        else:
            _show(question.about, rows, cut=cut)
        return 0


def _chosen(args: argparse.Namespace) -> dict[str, Any]:
    """The parameters that were given; one that the question does not take is wrong usage."""
    given = {name: getattr(args, name) for name in ("since", "agent", "who", "limit")}
    given = {name: value for name, value in given.items() if value is not None}
    unknown = given.keys() - QUESTIONS[args.name].parameters
    if unknown:
        takes = ", ".join(f"--{name}" for name in sorted(QUESTIONS[args.name].parameters))
        args.refuse(f"{args.name!r} takes no --{min(unknown)}; it takes {takes}")
    return given


def _list(as_json: bool) -> None:
    if as_json:
        print(json.dumps({name: query.about for name, query in QUESTIONS.items()}))
        return
    table = Table(box=None, show_header=False, pad_edge=False)
    for name, query in QUESTIONS.items():
        table.add_row(Text(name, "bold"), Text(query.about))
    terminal.console().print(table)


def _show(about: str, rows: list[dict[str, Any]], *, cut: bool) -> None:
    console = terminal.console()
    console.print(Text(about, "dim"))
    if not rows:
        console.print(Text("nothing on record"))
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column, value in rows[0].items():
        table.add_column(column, justify="right" if _is_number(column, value) else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(_cell(column, value)) for column, value in row.items()))
    console.print(terminal.legible(console, table))
    if cut:
        console.print(Text(f"only the first {len(rows)}; there may be more: --limit N, or --since WHEN", "yellow"))


def _is_number(column: str, value: object) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool) and column not in _TIMES


def _cell(column: str, value: object) -> str:
    if value is None:
        return "–"
    if column in _TIMES and isinstance(value, int | float):
        return "not yet" if value >= END else utc(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float | Decimal):
        return f"{value:.6f}".rstrip("0").rstrip(".")
    text = terminal.plain(str(value))
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


action = Ask()
