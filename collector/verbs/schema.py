"""``fusebox schema``: print what a database is built of, build it, and say how it differs."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import Any

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError
from rich.text import Text

from collector import queries, schema, stock
from collector.clickhouse import client_of
from collector.keep.engine import engine_of
from collector.schema import drift
from collector.schema.build import build
from fusebox import terminal
from fusebox.config import Config
from fusebox.errors import ConfigError
from fusebox.rundir import lookup

_VIEWS = ("agent_events", "token_ledger", "token_costs")


class SchemaVerb:
    """Prints, applies, checks."""

    help = "the database's schema: print, apply, check for drift"
    description = """\
The schema is numbered SQL files that are applied once each, in order, and never undone. keep applies them when it
starts; with a ClickHouse server (clickhouse_url) somebody with the rights for DDL can do it first.

  fusebox schema print
  fusebox schema print --step 7
  fusebox schema apply
  fusebox schema check
  fusebox schema check --json

check names what differs: files that are not applied or were changed, tables and views that are missing or altered.
It only reads. It also reads a database that a stock OpenTelemetry Collector fills (its table otel_traces), and so do
"fusebox why", "fusebox tokens explain" and the dashboard when sql_url names it; nothing is written there.

  fusebox schema check --url http://reader:secret@clickhouse:8123/otel
  fusebox schema print --view agent_events

Exit status of check: 0 without a difference, 1 with one."""

    def configure(self, parser: argparse.ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
        show = actions.add_parser("print", help="the SQL of this release")
        part = show.add_mutually_exclusive_group()
        part.add_argument("--step", type=int, metavar="N", help="one file only")
        part.add_argument("--view", choices=_VIEWS, help="the SELECT that makes this of a stock otel_traces")
        actions.add_parser("apply", help="build the database, or bring it to this release")
        check = actions.add_parser("check", help="how the database differs from this release")
        check.add_argument("--url", metavar="URL", help="another ClickHouse (default: the configured one)")
        check.add_argument("--json", action="store_true", help="print one JSON object")

    def run(self, args: argparse.Namespace, config: Config) -> int:
        if args.action == "print":
            return _print(args)
        return _apply(config) if args.action == "apply" else _check(args, config)


def _print(args: argparse.Namespace) -> int:
    if args.view:
        print(stock.view(args.view))
        return 0
    steps = [step for step in schema.steps() if args.step in (None, step.number)]
    if not steps:
        raise ConfigError(f"there is no step {args.step}; there are 1 to {schema.steps()[-1].number}")
    for step in steps:
        print(f"-- {step.name} sha256 {step.sha256}\n{step.text}")
    return 0


def _apply(config: Config) -> int:
    if config.clickhouse_url is None and lookup(config.data_dir, "keep"):
        raise ConfigError("keep runs on the database of this data folder and has applied everything when it started")
    engine = engine_of(config)
    try:
        before = _applied(engine.writer())
        build(engine.writer(), config)
        new = [step.name for step in schema.steps() if step.number not in before]
    except ClickHouseError as error:
        raise ConfigError(f"the schema was not applied: {error}") from error
    finally:
        engine.close()
    print("\n".join(f"applied {name}" for name in new) or "nothing to do: every step is applied")
    return 0


def _applied(client: Client) -> dict[int, str]:
    there = client.command("EXISTS TABLE fusebox_schema")
    return schema.applied(client) if there else {}


def _check(args: argparse.Namespace, config: Config) -> int:
    try:
        found = _examined(args.url, config)
    except ClickHouseError as error:
        raise ConfigError(f"the database cannot be read: {error}") from error
    if args.json:
        print(json.dumps(found))
    else:
        _show(found)
    return 1 if found["drift"] or found["missing_columns"] else 0


def _examined(url: str | None, config: Config) -> dict[str, Any]:
    client = _client(url, config)
    try:
        missing = drift.exporter_columns(client)
        ours = client.command("EXISTS TABLE fusebox_schema") == 1
        found = [] if not ours and not missing else drift.drift(client)
    finally:
        client.close()
    kind = "fusebox" if ours else "stock" if not missing else "neither"
    return {"database": kind, "missing_columns": missing, "drift": [asdict(each) for each in found]}


def _client(url: str | None, config: Config) -> Client:
    url = url or config.secret("clickhouse_url")
    if url:
        return client_of(url, "clickhouse_url")
    if config.sql_url:
        return queries.connect(config)
    if lookup(config.data_dir, "keep"):
        raise ConfigError(
            "keep runs on the embedded database, which one process may open; stop it to check, or look for "
            f"schema_drift in {config.data_dir}/keep.log: it names what differs when it starts"
        )
    if not (config.data_dir / "clickhouse").exists():
        raise ConfigError(
            f"there is no database in {config.data_dir} yet; 'fusebox up' or 'fusebox schema apply' makes it"
        )
    return engine_of(config).reader()


def _show(found: dict[str, Any]) -> None:
    console = terminal.console()
    if found["database"] == "stock":
        console.print(Text("the table otel_traces of an OpenTelemetry Collector: Fusebox reads it, and writes nothing"))
        return
    if found["missing_columns"]:
        console.print(Text(f"otel_traces has no column, or another type of it: {', '.join(found['missing_columns'])}"))
    for each in found["drift"]:
        console.print(Text(terminal.plain(f"{each['kind']:8} {each['name']}: {each['detail']}")))
    if not found["drift"]:
        console.print(Text("no difference"))


verb = SchemaVerb()
