"""``fusebox audit``: the record of every decision."""

from __future__ import annotations

import argparse
from typing import Final, Protocol

from collector.verbs import audit_ask
from fusebox.config import Config


class Action(Protocol):
    """One word after ``fusebox audit``."""

    help: str

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Declare arguments."""

    def run(self, args: argparse.Namespace, config: Config, /) -> int:
        """Do it; return the exit status."""


_ACTIONS: Final[dict[str, Action]] = {"ask": audit_ask.action}


class AuditVerb:
    """Dispatches to the actions."""

    help = "the audit log: ready-made questions"
    description = """The record of every decision, copied into the table audit_log.

  fusebox audit ask                                  the questions there are
  fusebox audit ask kills --since 7d                 who cut whom, and why
  fusebox audit ask did --who jo --json              everything an operator did"""

    def configure(self, parser: argparse.ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
        for name, action in _ACTIONS.items():
            action.configure(actions.add_parser(name, help=action.help))

    def run(self, args: argparse.Namespace, config: Config) -> int:
        return _ACTIONS[args.action].run(args, config)


verb = AuditVerb()
