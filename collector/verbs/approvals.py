"""``fusebox approvals``: what agents want to do and may not before a person agrees; and that person's word."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any, Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from collector.approvers import Approvers
from collector.setup import prepare
from collector.verbs.since import utc
from fusebox import terminal, webhooks
from fusebox.config import Config
from fusebox.control import ControlClient
from fusebox.errors import ConfigError
from fusebox.spelled import exactly, readable

Json = dict[str, Any]
_COLOURS: Final = {"pending": "bold yellow", "approved": "green", "denied": "red"}
_ANSWERS: Final = ("approve", "deny")


class ApprovalsVerb:
    """Lists, shows and answers approvals; keeps the keys by which webhooks are answered."""

    help = "approvals: what agents want to do and people must agree to; approve, deny"
    description = """What agents want to do and may not before a person agrees.

  fusebox approvals list
  fusebox approvals show apr_1f0c2d3e4f5a6b7c
  fusebox approvals approve apr_1f0c2d3e4f5a6b7c --reason "checked with the supplier"
  fusebox approvals deny apr_1f0c2d3e4f5a6b7c --reason "too many"

'show' prints the exact arguments; an answer counts for them and nothing else, once, until it expires. A 'deny' also
takes back what was agreed to and is not done yet. Programs answer by webhook, each with a key of its own:

  fusebox approvals keys add dana --public-key whpk_…     (Ed25519: the private key stays where it is)
  fusebox approvals keys add flow                         (HMAC: prints the secret, once)
  fusebox approvals keys list
  fusebox approvals keys remove dana

Exit status of 'list': 1 while something waits."""

    def configure(self, parser: argparse.ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
        listing = actions.add_parser("list", help="what waits, and what became of what did")
        showing = actions.add_parser("show", help="one of them, with its exact arguments")
        showing.add_argument("approval", help="its id")
        for name, what in (("approve", "agree to it"), ("deny", "say no")):
            answer = actions.add_parser(name, help=what)
            answer.add_argument("approval", help="its id")
            answer.add_argument("--reason", required=True, help="recorded with your name")
            answer.add_argument("--json", action="store_true", help="print one JSON object")
        for action in (listing, showing):
            action.add_argument("--json", action="store_true", help="print one JSON object")
        _configure_keys(actions.add_parser("keys", help="who may answer by webhook: add, list, remove"))

    def run(self, args: argparse.Namespace, config: Config) -> int:
        if args.action == "keys":
            return _keys(args, config)
        client = ControlClient.local(config)
        if args.action in _ANSWERS:
            return _answer(client, args)
        return _show(client, args) if args.action == "show" else _list(client, args)


def _configure_keys(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="keys", metavar="ACTION", required=True)
    add = actions.add_parser("add", help="believe what a key signs as the word of NAME")
    add.add_argument("name", help="the person or program whose word it is")
    add.add_argument("--public-key", metavar="whpk_…", help="of an Ed25519 pair; left out: makes an HMAC secret")
    listed = actions.add_parser("list", help="who has one")
    listed.add_argument("--json", action="store_true", help="print one JSON array")
    actions.add_parser("remove", help="believe it no longer").add_argument("name")


def _list(client: ControlClient, args: argparse.Namespace) -> int:
    told = client.approvals()
    waiting = [row for row in told["approvals"] if row["stage"] == "pending"]
    if args.json:
        print(json.dumps(told))
        return 1 if waiting else 0
    table = Table(box=None, pad_edge=False)
    for column in ("id", "stage", "agent", "wants to", "expires", "reason"):
        table.add_column(column, overflow="fold")
    for row in told["approvals"]:
        colour = _COLOURS.get(row["stage"], "dim")
        table.add_row(
            row["id"], f"[{colour}]{row['stage']}[/]", escape(row["request"]["agent"]), escape(_wish(row["request"])),
            utc(row["expires_at"]) if row["live"] else "", escape(row["reason"]),
        )  # fmt: skip
    if told["approvals"]:
        terminal.show(table)
    else:
        print("nothing waits for a person")
    return 1 if waiting else 0


def _show(client: ControlClient, args: argparse.Namespace) -> int:
    row = client.approval(args.approval)
    if args.json:
        print(json.dumps(row))
    else:
        _print(terminal.console(), row)
    return 0


def _answer(client: ControlClient, args: argparse.Namespace) -> int:
    row = client.approval(args.approval)
    if not args.json:
        _print(terminal.console(), row)
    told = client.answer(row["id"], row["digest"], args.action == "approve", args.reason)
    print(json.dumps(told) if args.json else f"{told['approval']} is {told['stage']}: {told['reason']}")
    return 0


def _print(console: Console, row: Json) -> None:
    request = row["request"]
    lines = {
        "approval": f"{row['id']} ({row['stage']}: {row['reason']})", "agent": request["agent"],
        "wants to": _wish(request), "because": f"{request['guard']}: {request['reason']}",
        "takes": request["contract"], "workflow": request["workflow"], "trace": request["trace_id"],
        "expires": utc(row["expires_at"]), "digest": row["digest"],
    }  # fmt: skip
    for name, value in lines.items():
        if value:
            console.print(f"[dim]{name:>9}[/]  {escape(exactly(value))}", highlight=False, soft_wrap=True)
    console.print("[dim]arguments[/], all of them:")
    console.print(escape(readable(request["arguments"])), highlight=False, soft_wrap=True)


def _wish(request: Json) -> str:
    return f"{request['kind']} {request['operation']}" + (f" on {request['target']}" if request["target"] else "")


def _keys(args: argparse.Namespace, config: Config) -> int:
    prepare(config)
    approvers = Approvers(config.data_dir)
    if args.keys == "list":
        names = approvers.names()
        print(json.dumps([{"name": name} for name in names]) if args.json else "\n".join(names) or "nobody")
    elif args.keys == "remove":
        if not approvers.remove(args.name):
            raise ConfigError(f"{args.name!r} has no key; there are {', '.join(approvers.names()) or 'none'}")
        print(f"what {args.name}'s key signs is believed no longer")
    else:
        _add_key(approvers, args.name, args.public_key)
    return 0


def _add_key(approvers: Approvers, name: str, public: str | None) -> None:
    key = public or webhooks.new_secret()
    approvers.add(name, key)
    if public:
        print(f"what this key signs is the word of {name} from now on")
    else:
        print(key)
        print(f"shown once; whoever has it answers approvals as {name}", file=sys.stderr)


verb = ApprovalsVerb()
