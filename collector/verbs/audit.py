"""``fusebox audit``: is the record what was written, and how is that shown to somebody else."""

from __future__ import annotations

import argparse
import sys
from typing import Any, Final, NoReturn, Protocol

from collector.audit.report import USAGE
from collector.verbs import audit_ask, audit_export, audit_keys, audit_proofs, audit_verify
from fusebox.config import Config


class Action(Protocol):
    """One word after ``fusebox audit``."""

    help: str

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Declare arguments."""

    def run(self, args: argparse.Namespace, config: Config, /) -> int:
        """Do it; return the exit status."""


_ACTIONS: Final[dict[str, Action]] = {
    "ask": audit_ask.action,
    "verify": audit_verify.action,
    "prove": audit_proofs.prove,
    "consistency": audit_proofs.consistency,
    "export": audit_export.action,
    "keys": audit_keys.show,
    "change-key": audit_keys.change,
    "erase": audit_keys.erase,
}


class _Parser(argparse.ArgumentParser):
    """Wrong usage may have another exit status than 2, which is a verdict of ``verify``."""

    wrong = 2

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        found, rest = super().parse_known_args(args, namespace)
        if rest:
            self.error(f"unrecognized arguments: {' '.join(rest)}")
        return found, rest

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(self.wrong, f"{self.prog}: error: {message}\n")


class AuditVerb:
    """Dispatches to the actions."""

    help = "the audit log: ask, verify, prove, export, keys, erase"
    description = """The record of every decision: hash-chained, signed, copied into the table audit_log.

  fusebox audit ask                                  ready-made questions: who cut whom, on what evidence …
  fusebox audit ask kills --since 7d
  fusebox audit verify                               everything this machine has, live state included
  fusebox audit verify --pubkey audit.pub --witness seen.jsonl --json
  fusebox audit verify --trusted old-checkpoint.json  nothing before it may have changed
  fusebox audit prove 1234                           proof that entry 1234 is in the signed log
  fusebox audit consistency 1000 5000                proof that the log of 5000 begins with that of 1000
  fusebox audit export --format csv > audit.csv
  fusebox audit keys > audit.pub                     the public keys, for the auditor to keep
  fusebox audit change-key --reason "yearly"
  fusebox audit erase 1234 --reason "request 77"     remove an entry's payload; its hash stays

Exit status of verify: 0 when at least one entry is there and all of it was verified, 1 for tampering, 2 when something
could not be verified, 3 for wrong usage. docs/guide/audit.md explains what is proved."""

    def configure(self, parser: argparse.ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True, parser_class=_Parser)
        for name, action in _ACTIONS.items():
            made = actions.add_parser(name, help=action.help)
            made.wrong = USAGE if name == "verify" else made.wrong
            action.configure(made)

    def run(self, args: argparse.Namespace, config: Config) -> int:
        return _ACTIONS[args.action].run(args, config)


verb = AuditVerb()
