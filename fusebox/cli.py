"""``fusebox``: the shell. Verbs come from the entry points ``fusebox.commands``, so each part brings its own.

An entry point names a :class:`Verb`. Only the verb that is called is imported.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Final, Protocol

from fusebox.config import Config, load_config
from fusebox.errors import FuseboxError
from fusebox.version import __version__

GROUP: Final = "fusebox.commands"


class Verb(Protocol):
    """One ``fusebox`` sub-command."""

    help: str
    """One line for ``fusebox --help``."""
    description: str
    """What ``fusebox VERB --help`` teaches, with examples."""

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Declare arguments."""

    def run(self, args: argparse.Namespace, config: Config) -> int:
        """Do it; return the exit status."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; errors of the tree in :mod:`fusebox.errors` become one line and exit status 2."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    points = {p.name: p for p in entry_points(group=GROUP)}
    wanted = next((a for a in arguments if a in points), None)
    parser = _parser(points if wanted is None else {wanted: points[wanted]})
    args = parser.parse_args(arguments)
    logging.basicConfig(level=args.log_level.upper(), format="%(message)s", stream=sys.stderr)
    try:
        return int(args.verb.run(args, load_config(args.config)))
    except FuseboxError as error:
        print(f"fusebox: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130


def _parser(points: dict[str, EntryPoint]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("fusebox", description="The fuse box for AI agents.")
    parser.add_argument("--version", action="version", version=f"fusebox {__version__}")
    parser.add_argument("--config", type=Path, metavar="FILE", help="configuration file (default: fusebox.toml)")
    parser.add_argument("--log-level", default="warning", choices=("debug", "info", "warning", "error"))
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in sorted(points):
        verb: Verb = points[name].load()
        sub = verbs.add_parser(
            name, help=verb.help, description=verb.description, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        verb.configure(sub)
        sub.set_defaults(verb=verb)
    return parser
