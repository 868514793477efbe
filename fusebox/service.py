"""The hidden verb ``fusebox service NAME``: what the supervisor runs in a child process."""

from __future__ import annotations

import argparse
from importlib.metadata import entry_points

from fusebox.config import Config
from fusebox.errors import ConfigError
from fusebox.supervisor import SERVICES


class ServiceVerb:
    """Runs one service in the foreground."""

    help = "run one service in the foreground (what fusebox up starts)"
    description = "Run one service in the foreground, for supervisors such as systemd or Compose."

    def configure(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("name", help="receive, keep, watch, gateway, dashboard or redis")

    def run(self, args: argparse.Namespace, config: Config) -> int:
        points = {p.name: p for p in entry_points(group=SERVICES)}
        if args.name not in points:
            raise ConfigError(f"no service {args.name!r}; there are {', '.join(sorted(points))}")
        points[args.name].load()(config)
        return 0


verb = ServiceVerb()
