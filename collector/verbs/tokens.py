"""``fusebox tokens``: bearer tokens of agent processes, and the tokens that models used."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from collector.verbs import explain, reprice
from collector.verbs.people import TokensVerb
from fusebox.config import Config

if TYPE_CHECKING:
    from collector.verbs.people import Actions


class AgentTokensVerb(TokensVerb):
    """The actions on bearer tokens, and two on the ledger."""

    def actions(self, parser: argparse.ArgumentParser) -> Actions:
        actions = super().actions(parser)
        explain.configure(actions.add_parser("explain", help="the ledger's rows behind an agent's tokens and cost"))
        reprice.configure(actions.add_parser("reprice", help="what today's prices make of the ledger, as a diff"))
        return actions

    def run(self, args: argparse.Namespace, config: Config) -> int:
        if args.action == "explain":
            return explain.run(args, config)
        if args.action == "reprice":
            return reprice.run(args, config)
        return super().run(args, config)


verb = AgentTokensVerb("principals.json", "agent processes", "FUSEBOX_AGENT_TOKEN", bound=True)
verb.help += "; explain and reprice what models used"
