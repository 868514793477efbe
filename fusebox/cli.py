"""``fusebox``: the shell. Verbs come from the entry points ``fusebox.commands``, so each part brings its own.

An entry point names a :class:`Verb`. Only the verb that is called is imported.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import os
import sys
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Final, Protocol

from fusebox.config import Config, load_config
from fusebox.errors import ConfigError, FuseboxError
from fusebox.shadow import PACKAGES
from fusebox.version import __version__

GROUP: Final = "fusebox.commands"
_SIGPIPE: Final = 141
_SIGINT: Final = 130


class MissingExtra(ConfigError):
    """A verb's optional dependency is not installed; the text names the fix."""


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
    _print_on_any_terminal()
    try:
        args = _parser(arguments).parse_args(arguments)
        logging.basicConfig(level=args.log_level.upper(), format="%(message)s", stream=sys.stderr)
        status = _run(args)
        sys.stdout.flush()
        return status
    except FuseboxError as error:
        print(f"fusebox: {error}", file=sys.stderr)
        return 2
    except (PermissionError, NotADirectoryError) as error:
        print(f"fusebox: {error.filename}: {error.strerror}; run as its owner, or name another", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of our output has seen enough (``fusebox sql … | head``)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _SIGPIPE
    except KeyboardInterrupt:
        return _SIGINT


def _run(args: argparse.Namespace) -> int:
    try:
        return int(args.verb.run(args, load_config(args.config)))
    except ModuleNotFoundError as error:  # of a part that the verb starts
        raise _missing(args.command, error) from error


def _print_on_any_terminal() -> None:
    """A terminal shows a character that it lacks by its number: an order that was carried out ends in no traceback.

    What goes into a file or a pipe is data, and UTF-8 whatever the locale says.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding=None if stream.isatty() else "utf-8", errors="backslashreplace")


def _parser(arguments: list[str]) -> argparse.ArgumentParser:
    shared = _shared_options()
    parser = argparse.ArgumentParser("fusebox", description="The fuse box for AI agents.", parents=[shared])
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    rest = shared.parse_known_args(arguments)[1]
    for name, verb in _verbs(rest[0] if rest else "").items():
        sub = verbs.add_parser(
            name, help=verb.help, description=verb.description, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        verb.configure(sub)
        sub.set_defaults(verb=verb, command=name)
    return parser


def _shared_options() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser("fusebox", add_help=False, allow_abbrev=False)
    shared.add_argument("--version", action="version", version=f"fusebox {__version__}")
    shared.add_argument("--config", type=Path, metavar="FILE", help="configuration file (default: fusebox.toml)")
    shared.add_argument(
        "--log-level", default="warning", choices=("debug", "info", "warning", "error"),
        help="what is logged to standard error, from that on (default: warning)",
    )  # fmt: skip
    return shared


def _verbs(wanted: str) -> dict[str, Verb]:
    """The wanted verb alone, or all that can be imported here when none of them is wanted."""
    points = {p.name: p for p in entry_points(group=GROUP)}
    if wanted in points:
        return {wanted: _load(points[wanted])}
    found = {}
    for name in sorted(points):
        with contextlib.suppress(MissingExtra):
            found[name] = _load(points[name])
    return found


def _load(point: EntryPoint) -> Verb:
    try:
        verb: Verb = point.load()
    except ModuleNotFoundError as error:
        raise _missing(point.name, error) from error
    return verb


def _missing(command: str, error: ModuleNotFoundError) -> MissingExtra:
    """What to install.

    Raises:
        ModuleNotFoundError: the module is our own, so this is a bug.
    """
    if error.name is None or error.name.partition(".")[0] in PACKAGES:
        raise error
    return MissingExtra(
        f"'fusebox {command}' needs {error.name}, which is not installed; pip install 'agent-fusebox[all]'"
    )
