"""``fusebox dlq``: messages an agent could not handle."""

from __future__ import annotations

import argparse

from fusebox import names
from fusebox.config import Config
from rabbitmq.verbs import messages


class DlqVerb:
    """Looks into dead-letter queues and replays from them."""

    help = "dead letters of an agent: list, show, replay, purge"
    description = """Messages an agent could not handle, with the reason, the stack and the trace.

  fusebox dlq list ticket-helper
  fusebox dlq show ticket-helper MESSAGE
  fusebox dlq replay ticket-helper --reason "KeyError: 'price'"
  fusebox dlq purge ticket-helper --all

A replayed message keeps its id, its lineage and its trace, and starts again at its first attempt. Replays and purges
are recorded in the audit log with your name, before and after; without a running watch they are refused."""

    def configure(self, parser: argparse.ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
        listing = actions.add_parser("list", help="what is there, oldest first")
        listing.add_argument("agent", help="whose messages")
        listing.add_argument("--json", action="store_true", help="one JSON object a line")
        show = actions.add_parser("show", help="one message whole: headers, body, stack")
        show.add_argument("agent", help="whose message")
        show.add_argument("message", help="its id, as 'list' shows it")
        show.add_argument("--json", action="store_true", help="print one JSON object and nothing after it")
        messages.add_filters(actions.add_parser("replay", help="send messages to the agent again"), "replay")
        messages.add_filters(actions.add_parser("purge", help="throw messages away"), "throw away")

    def run(self, args: argparse.Namespace, config: Config) -> int:
        with messages.open_shelf(config, args.agent, names.dead_queue(args.agent)) as shelf:
            if args.action == "list":
                messages.print_list(shelf.look(), args.json)
            elif args.action == "show":
                return messages.print_one(shelf.look(), args.message, args.json)
            elif args.action == "replay":
                print(f"{messages.replay(config, shelf, args, 'dead')} replayed")
            else:
                print(f"{messages.discard(config, shelf, args, 'dead')} thrown away")
        return 0


verb = DlqVerb()
