"""``fusebox readers``: who may read the database through the SQL port."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from typing import Final

from collector.readers import ROLES, Reader, Readers
from collector.setup import prepare
from fusebox import terminal
from fusebox.config import Config
from fusebox.errors import ConfigError

_DEFAULTS: Final = Reader("")


class ReadersVerb:
    """Adds, lists and removes readers."""

    help = "who may read through the SQL port: add, list, remove"
    description = """\
Readers of the SQL port. Until there is one, the port asks for no password (it is on loopback); from the first on,
everybody needs one: readers their token, people here their operator token, which 'fusebox sql' shows by itself.

  fusebox readers add grafana --role viewer
  fusebox readers add jo --in-flight 4 --rows-per-minute 500000000
  fusebox readers list --json
  fusebox readers remove grafana

An auditor reads everything; a viewer what agents did and cost, but no prompts, spans, dead letters or audit entries.
The user name is the reader's, the password the token:

  curl -u grafana:$TOKEN http://127.0.0.1:8123/ -d 'SELECT count() FROM agent_events'
"""

    def configure(self, parser: argparse.ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
        add = actions.add_parser("add", help="make a token; it is shown once")
        add.add_argument("name")
        add.add_argument(
            "--role", choices=ROLES, default=_DEFAULTS.role, help="what it may read (default: %(default)s)"
        )
        add.add_argument(
            "--in-flight", type=_positive, default=_DEFAULTS.in_flight, metavar="N",
            help="statements that may run or wait at once (default: %(default)s)",
        )  # fmt: skip
        add.add_argument(
            "--rows-per-minute", type=_positive, default=_DEFAULTS.rows_per_minute, metavar="N",
            help="rows that may be read in a minute (default: %(default)s)",
        )  # fmt: skip
        actions.add_parser("list", help="who there is").add_argument("--json", action="store_true", help="print JSON")
        actions.add_parser("remove", help="revoke at once").add_argument("name")

    def run(self, args: argparse.Namespace, config: Config) -> int:
        prepare(config)
        readers = Readers(config.data_dir)
        if args.action == "add":
            print(readers.add(Reader(args.name, args.role, args.in_flight, args.rows_per_minute)))
            print(f"shown once; it is the password of {args.name} on the SQL port", file=sys.stderr)
        elif args.action == "remove":
            _remove(readers, args.name)
        else:
            _show(readers.all(), as_json=args.json)
        return 0


def _remove(readers: Readers, name: str) -> None:
    if not readers.remove(name):
        known = ", ".join(reader.name for reader in readers.all()) or "none"
        raise ConfigError(f"{name!r} is no reader; there are {known}")
    print(f"{name}'s token is worth nothing from now on")


def _show(readers: tuple[Reader, ...], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps([asdict(reader) for reader in readers], indent=2))
    elif not readers:
        print("nobody: the port asks for no password")
    else:
        for reader in readers:
            terminal.console().print(
                f"{reader.name}  {reader.role}  {reader.in_flight} in flight  {reader.rows_per_minute} rows a minute",
                markup=False, highlight=False, soft_wrap=True,
            )  # fmt: skip


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return number


verb = ReadersVerb()
