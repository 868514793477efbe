"""``fusebox operators`` and ``fusebox tokens``: who may order, and who may speak for which agents."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Final

from collector.setup import prepare
from collector.tokens import ANY, Tokens
from fusebox.config import Config
from fusebox.errors import ConfigError

if TYPE_CHECKING:
    Actions = argparse._SubParsersAction[argparse.ArgumentParser]


class TokensVerb:
    """Adds, lists and removes tokens in one file of the data folder."""

    def __init__(self, file: str, whose: str, variable: str, *, bound: bool) -> None:
        self._file, self._whose, self._variable, self._bound = file, whose, variable, bound
        self.help = f"tokens of {whose}: add, list, remove"
        self.description = _DESCRIPTIONS[file]

    def configure(self, parser: argparse.ArgumentParser) -> None:
        self.actions(parser)

    def actions(self, parser: argparse.ArgumentParser) -> Actions:
        """Declare the actions; a verb that has more adds them to what comes back."""
        actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
        add = actions.add_parser("add", help="make a token; it is shown once")
        add.add_argument("name")
        if self._bound:
            add.add_argument(
                "--agent", action="append", required=True, metavar="ID", help=f"may speak for it ({ANY}: for any)"
            )
        listed = actions.add_parser("list", help="who has one" + (", and for which agents" if self._bound else ""))
        listed.add_argument("--json", action="store_true", help="print one JSON array")
        actions.add_parser("remove", help="revoke at once").add_argument("name")
        return actions

    def run(self, args: argparse.Namespace, config: Config) -> int:
        prepare(config)
        tokens = Tokens(config.data_dir / self._file, config.tenant)
        if args.action == "list":
            self._list(tokens, as_json=args.json)
        elif args.action == "remove":
            self._remove(tokens, args.name)
        else:
            print(tokens.add(args.name, args.agent if self._bound else (ANY,)))
            print(f"shown once; give it to {args.name} as {self._variable}", file=sys.stderr)
        return 0

    def _list(self, tokens: Tokens, *, as_json: bool) -> None:
        bound = {who.name: sorted(who.agents) for who in tokens.principals()}
        if as_json:
            print(
                json.dumps([{"name": name} | ({"agents": may} if self._bound else {}) for name, may in bound.items()])
            )
        elif self._bound:
            print("\n".join(f"{name}  {', '.join(may)}" for name, may in bound.items()) or "nobody")
        else:
            print("\n".join(bound) or "nobody")

    def _remove(self, tokens: Tokens, name: str) -> None:
        if not tokens.remove(name):
            raise ConfigError(f"{name!r} has no token in {self._file}; there are {', '.join(tokens.names()) or 'none'}")
        print(f"{name}'s token is worth nothing from now on")


_DESCRIPTIONS: Final = {
    "operators.json": """Tokens of people who may kill and resume. What they order is recorded under their name.

  fusebox operators add jo
  fusebox operators list
  fusebox operators remove jo""",
    "principals.json": """Tokens of agent processes, each bound to the agents it may speak for.

  fusebox tokens add support-host --agent ticket-helper --agent label-bot
  fusebox tokens list
  fusebox tokens remove support-host

And the tokens that models used: the ledger's rows behind a number, and what other prices would make of them.

  fusebox tokens explain ticket-helper --since 1h
  fusebox tokens reprice --since 7d
  fusebox tokens reprice --since 7d --apply --reason "contract of May"

A row is one attempt of an inference; failed and cut ones are marked wasted. A cost nobody knows is shown as unpriced
(no known price) or unmetered (no tokens reported) and is never counted as free.""",
}
