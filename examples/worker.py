"""One agent of the demonstration in a process of its own: ``python -m examples.worker NAME MODELS TICKETS``.

Everything else (broker, data folder, tokens) comes from Fusebox's settings, as for any agent.
"""

from __future__ import annotations

import logging
import os
import sys

from examples.crew import INVENTORY, KEY, Member, World
from fusebox.config import load_config
from fusebox.errors import FuseboxError
from fusebox.lifecycle import Stack, serve
from rabbitmq import Runtime


def main(arguments: list[str]) -> int:
    """Run until SIGTERM."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    name, models, tickets = arguments
    runtime = Runtime.from_config(load_config(), name=name)
    member = Member(name, runtime, World(models, {name: os.environ.get(KEY, "")}, tickets, os.environ[INVENTORY]))
    try:
        serve(Stack([runtime, member]))
    except FuseboxError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
