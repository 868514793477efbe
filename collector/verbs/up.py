"""``fusebox up``: the collector's roles and the dashboard, supervised, until Ctrl-C."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import threading
from collections.abc import Mapping
from typing import Final

from rich.console import Console
from rich.markup import escape

from collector import redis_twin
from collector.setup import owned, prepare
from fusebox.config import CONFIG_ENV, PREFIX, Config
from fusebox.rundir import lookup
from fusebox.supervisor import Supervisor

_ROLES: Final = ("keep", "watch", "receive")
"""Sinks before sources; stopped the other way round."""
_WHAT: Final = {
    "receive": "OTLP from agents",
    "keep": "SQL, read only",
    "watch": "control API",
    "redis": "shared state",
    "gateway": "models and tools",
    "dashboard": "the dashboard",
}


class UpVerb:
    """Runs everything."""

    help = "run the collector, the database, the gateway and the dashboard on this machine"
    description = """Run the collector's roles, the dashboard and, where gateway.toml is, the gateway, as supervised
processes until Ctrl-C.

  fusebox up
  fusebox up --no-dashboard

Agents started in the same folder find it by themselves; for others it prints an 'export' line."""

    def configure(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--no-dashboard", action="store_true", help="leave the dashboard out")

    def run(self, args: argparse.Namespace, config: Config) -> int:
        console = Console(emoji=False)
        prepare(config)
        with owned(config.data_dir / "up.lock", "fusebox up"):
            environment = _environment(args, config)
            supervisor = Supervisor(config, _services(args, config, console), environment)
            signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends the start as Ctrl-C does, and every role
            supervisor.start()
            stop = _stop_signal()
            try:
                _introduce(config, console)
                stop.wait()
                console.print("stopping …")
            finally:
                supervisor.stop()
        return 0


def _services(args: argparse.Namespace, config: Config, console: Console) -> list[str]:
    services = [*_ROLES, *(["gateway"] if config.gateway_file.exists() else [])]
    services += [] if args.no_dashboard else ["dashboard"]
    if config.redis_url:
        return services
    if redis_twin.executable() is None:
        console.print(
            "No Redis: pip install 'agent-fusebox\\[embedded]' or set FUSEBOX_REDIS_URL. Without it each process has "
            "circuits of its own, and watch tells them about each other's trips."
        )
        return services
    return ["redis", *services]


def _environment(args: argparse.Namespace, config: Config) -> Mapping[str, str]:
    """What the roles must be told beside this process's own environment."""
    environment = {} if args.config is None else {CONFIG_ENV: str(args.config)}
    if config.redis_url is None and redis_twin.executable() is not None:
        environment[f"{PREFIX}REDIS_URL"] = redis_twin.url(redis_twin.socket_path(config))
    return environment


def _stop_signal() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _introduce(config: Config, console: Console) -> None:
    folder = config.data_dir.absolute()
    for role, what in _WHAT.items():
        info = lookup(config.data_dir, role)
        if info:
            console.print(f"{what:>18}  [bold]{escape(str(info.get('url', '')))}[/]", soft_wrap=True)
    console.print(f"\ntokens: {escape(str(folder))}/agent.token (agents), operator.token (you)", soft_wrap=True)
    console.print("agents in other folders need:", soft_wrap=True)
    console.print(f"  export {PREFIX}DATA_DIR={shlex.quote(os.fspath(folder))}", markup=False, soft_wrap=True)
    if config.amqp_url is None:
        console.print(
            "\nNo RabbitMQ (FUSEBOX_AMQP_URL is not set): agents use the in-process broker, which serves one process "
            "only. Telemetry, trips, kill and resume work across processes all the same."
        )
    console.print("\nCtrl-C stops everything in order.")


verb = UpVerb()
