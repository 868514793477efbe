"""``fusebox policy``: what agents may do, why, and what another policy would change."""

from __future__ import annotations

import argparse
from typing import Final, Protocol

from collector.verbs import policy_asked, policy_files
from fusebox.config import Config


class Action(Protocol):
    """One word after ``fusebox policy``."""

    help: str

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Declare arguments."""

    def run(self, args: argparse.Namespace, config: Config, /) -> int:
        """Do it; return the exit status."""


_ACTIONS: Final[dict[str, Action]] = {
    "test": policy_files.test,
    "explain": policy_asked.explain,
    "diff": policy_asked.diff,
    "init": policy_files.init,
    "sign": policy_files.sign,
}


class PolicyVerb:
    """Dispatches to the actions."""

    help = "what agents may do: test, explain, diff, init, sign"
    description = """Policy rules on every message, model call and tool call, once the setting policy names one.

  fusebox policy test                                     the tests of the policy in force
  fusebox policy test policies/mine                       of a folder, before it is put in force
  fusebox policy explain analyst tool_call warehouse --target 'GET /stock'
                                                          what is decided, by which rule, from which input
  fusebox policy explain analyst --since 30d              its grants, and those that nothing on record used
  fusebox policy diff --to policies/mine --since 7d       which recorded decisions another policy would flip
  fusebox policy diff --agents new-agents.toml            which ones other grants would flip
  fusebox policy init policies/mine                       a copy of the shipped policy, to begin with
  fusebox policy sign policies/mine                       sign the folder with data_dir/policy.key

Exit status: 0 when all is well; 1 when a test fails, the action is not allowed, or a decision would flip."""

    def configure(self, parser: argparse.ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
        for name, action in _ACTIONS.items():
            action.configure(actions.add_parser(name, help=action.help))

    def run(self, args: argparse.Namespace, config: Config) -> int:
        return _ACTIONS[args.action].run(args, config)


verb = PolicyVerb()
