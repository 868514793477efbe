"""``fusebox backtest``: what the rules would have done."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from itertools import chain
from pathlib import Path
from typing import IO, Any, Final

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from breakers.rules import load_rules
from collector.backtest.common import Happened, read
from collector.backtest.history import history
from collector.backtest.picture import page
from collector.backtest.replay import Replay
from collector.backtest.show import report
from collector.backtest.window import moment
from collector.queries import connect
from fusebox import terminal
from fusebox.clock import system_clock
from fusebox.config import Config
from fusebox.errors import ConfigError
from governance.registry import load_registry

_STEP: Final = 1_000


class BacktestVerb:
    """Tries rules on what already happened."""

    help = "try rules on history: what they would have stopped, saved and cut"
    description = """\
Replay events through the detectors, as live detection would have seen them, and show when each rule would have
tripped, what that would have saved, and which good work it would have cut. Reads only; nothing is tripped.

  fusebox backtest --since 24h                            what the rules in force would have done since yesterday
  fusebox backtest --since 7d --agent ticket-helper       to one agent
  fusebox backtest --since 7d --rules strict.toml         other rules ...
  fusebox backtest --since 7d --compare strict.toml       ... beside the ones in force
  fusebox backtest --since 7d --html trips.html           a picture for each agent
  fusebox backtest --events run.jsonl.gz --trips out.jsonl

Files hold one event a line (JSON Lines, gzip or not): ts, agent, operation, target, payload, result_head,
result_sha, status, input_tokens, output_tokens, cost_usd, latency_ms, and stream, session, trace, seq where known.
Each (stream, session) is a run of its own. The trips file has one line for each trip: stream, session, agent, trace,
seq, detector, action (warn or open), reason. Once an agent is opened, its later events in that run count as denied.
"""

    def configure(self, parser: argparse.ArgumentParser) -> None:
        source = parser.add_argument_group("what happened (files, or ClickHouse between two times)")
        source.add_argument("--events", nargs="+", type=Path, metavar="FILE", help="events in the common form")
        source.add_argument("--since", metavar="TIME", help="from then on: 24h, 7d, 2026-03-01 (default: 24h)")
        source.add_argument("--until", metavar="TIME", help="up to then (default: now)")
        source.add_argument("--agent", default="", help="only this agent")
        what = parser.add_argument_group("what is tried")
        what.add_argument("--rules", type=Path, metavar="FILE", help="rules (default: those in force)")
        what.add_argument("--compare", type=Path, metavar="FILE", help="other rules beside them")
        what.add_argument(
            "--agents", type=Path, metavar="FILE", help="agents.toml with budgets and periodic operations"
        )
        out = parser.add_argument_group("what is written")
        out.add_argument("--trips", type=Path, metavar="FILE", help="write one JSON line for each trip")
        out.add_argument("--html", type=Path, metavar="FILE", help="write a page with a picture for each agent")
        out.add_argument("--json", action="store_true", help="print one JSON object")

    def run(self, args: argparse.Namespace, config: Config) -> int:
        if args.events and (args.since or args.until):
            raise ConfigError("--events reads files, --since and --until read ClickHouse; give one or the other")
        registry = load_registry(args.agents or config.agents_file)
        named = {str(args.rules or config.rules_file or "shipped rules"): load_rules(args.rules or config.rules_file)}
        if args.compare:
            named[str(args.compare)] = load_rules(args.compare)
        replays = {name: Replay(rules, registry) for name, rules in named.items()}
        with ExitStack() as stack:
            trips = stack.enter_context(args.trips.open("w", encoding="utf-8")) if args.trips else None
            _replay(_events(args, config, stack), list(replays.values()), trips)
        if args.html:
            args.html.write_text(page(replays), encoding="utf-8")
        if args.json:
            print(json.dumps({name: replay.summary() for name, replay in replays.items()}))
        else:
            terminal.console().print(report(replays))
        return 0


def _events(args: argparse.Namespace, config: Config, stack: ExitStack) -> Iterable[Happened]:
    if args.events:
        rows = chain.from_iterable(read(path) for path in args.events)
        return (row for row in rows if not args.agent or row.event.agent == args.agent)
    now = system_clock().now()
    since, until = moment(args.since or "24h", now), moment(args.until, now) if args.until else now
    if since >= until:
        raise ConfigError("--since must be before --until")
    return history(stack.enter_context(closing(connect(config))), since=since, until=until, agent=args.agent)


def _replay(events: Iterable[Happened], replays: list[Replay], trips: IO[str] | None) -> None:
    for happened in _counted(events):
        for number, replay in enumerate(replays):
            trip = replay.observe(happened)
            if trip and trips and number == 0:
                trips.write(json.dumps(trip.line()) + "\n")


def _counted(events: Iterable[Happened]) -> Iterator[Happened]:
    """Shows how far it has come; silent where nobody watches."""
    columns: list[Any] = [TextColumn("replaying"), BarColumn(), TextColumn("{task.completed:,.0f} events")]
    console = terminal.console(stderr=True)
    with Progress(
        *columns, TimeElapsedColumn(), console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        task = bar.add_task("", total=None)
        for number, happened in enumerate(events, 1):
            if number % _STEP == 0:
                bar.update(task, completed=number)
            yield happened


verb = BacktestVerb()
