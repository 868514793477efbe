"""``fusebox resume``: let an agent, or all, run again."""

from __future__ import annotations

import argparse

from collector.verbs import targets
from fusebox.config import Config
from fusebox.control import ControlClient


class ResumeVerb:
    """Orders a resume and waits for its Receipts."""

    help = "let a killed or tripped agent run again"
    description = """Lift the kills of an agent and let its circuit probe: one held message first, the rest at a pace.

  fusebox resume ticket-helper --reason "prompt fixed"
  fusebox resume --all --reason "incident 42 is over"

An agent that loops again is stopped again. Exit status: 0 when every process that runs the agent confirmed, 1 when
one did not within --timeout, 2 when there was nothing to resume."""

    def configure(self, parser: argparse.ArgumentParser) -> None:
        targets.configure(parser)

    def run(self, args: argparse.Namespace, config: Config) -> int:
        target = targets.target_of(args)
        client = ControlClient.local(config)
        return targets.follow(client, client.resume(target.scope, target.reason), target, "resumed")


verb = ResumeVerb()
