"""``fusebox kill``: cut an agent, or all, now."""

from __future__ import annotations

import argparse

from collector.verbs import targets
from fusebox.config import Config
from fusebox.control import ControlClient


class KillVerb:
    """Orders a kill and waits for its Receipts."""

    help = "cut an agent, a workflow, a tool, or everything, at once"
    description = """Cut an agent at once: nothing more goes out, and its messages are held.

  fusebox kill ticket-helper --reason "writes nonsense"
  fusebox kill --all --reason "incident 42"
  fusebox kill --workflow wf_1a2b --reason "goes in circles"
  fusebox kill --tool jira.comment --reason "floods the tickets"

A killed workflow or tool stops only what belongs to it: its agents go on with the rest, and messages that cannot be
handled for it go to the dead letters ('fusebox dlq replay' brings them back after a resume).

It stays killed through restarts until 'fusebox resume'. Exit status: 0 when every process that runs the agent
confirmed, 1 when one did not within --timeout (the order stands nevertheless)."""

    def configure(self, parser: argparse.ArgumentParser) -> None:
        targets.configure(parser)

    def run(self, args: argparse.Namespace, config: Config) -> int:
        target = targets.target_of(args)
        client = ControlClient.local(config)
        return targets.follow(client, client.kill(target.scope, target.reason), target, "killed")


verb = KillVerb()
