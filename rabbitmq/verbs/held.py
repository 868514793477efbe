"""``fusebox held``: messages that wait because their agent was stopped."""

from __future__ import annotations

import argparse

from fusebox import names
from fusebox.command import agent_scope
from fusebox.config import Config
from fusebox.control import ControlClient
from rabbitmq.verbs import messages


class HeldVerb:
    """Looks at held messages, lets them go, or drops what a loop produced."""

    help = "messages of a stopped agent: list, release, discard"
    description = """Messages that wait because their agent was stopped.

  fusebox held list ticket-helper
  fusebox held discard ticket-helper --like fnd_1f0c2a…     what the loop produced
  fusebox held release ticket-helper --reason "prompt fixed"

A stopped agent takes no more messages: those stay in its work queue. How many is said; they follow those listed here.

Release resumes the agent: one message is the probe, the rest follow oldest first and paced; an agent that loops again
is stopped again and the rest stays held."""

    def configure(self, parser: argparse.ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
        listing = actions.add_parser("list", help="what is there, oldest first")
        listing.add_argument("agent", help="whose messages")
        listing.add_argument("--json", action="store_true", help="one JSON object a line")
        release = actions.add_parser("release", help="resume the agent and let them go, paced")
        release.add_argument("agent", help="whose messages")
        release.add_argument("--reason", required=True, help="recorded with your name")
        messages.add_filters(actions.add_parser("discard", help="throw messages away"), "throw away")

    def run(self, args: argparse.Namespace, config: Config) -> int:
        if args.action == "release":
            ControlClient.local(config).resume(agent_scope(args.agent), args.reason)
            print(f"{args.agent} is resumed; its messages follow one after the other")
            return 0
        with messages.open_shelf(config, args.agent, names.held_queue(args.agent)) as shelf:
            if args.action == "list":
                messages.print_list(shelf.look(), args.json)
            else:
                print(f"{messages.discard(config, shelf, args, 'held')} thrown away")
            messages.print_behind(shelf)
        return 0


verb = HeldVerb()
