"""``fusebox gateway``: serve, and hand out virtual keys."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TypedDict

from rich.table import Table

from fusebox import terminal
from fusebox.config import Config
from fusebox.errors import ConfigError
from gateway.keys import ANY, FILE, Keys
from governance.registry import load_registry


class GatewayVerb:
    """Runs the gateway, checks its settings, and manages keys."""

    help = "the governed door to models and internal systems: run, check, keys"
    description = """Serve models and internal systems to agents, each with a key of its own.

  fusebox gateway check
  fusebox gateway run
  fusebox gateway keys add ticket-helper --model gpt-5-mini --tool tickets
  fusebox gateway keys list
  fusebox gateway keys revoke 1f0c9a2b

What it serves stands in gateway.toml (FUSEBOX_GATEWAY_FILE). 'fusebox up' runs it when that file is there.
To rotate a key: add a second one, hand it out, revoke the first."""

    def configure(self, parser: argparse.ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
        actions.add_parser("run", help="serve until SIGTERM or Ctrl-C")
        actions.add_parser("check", help="read the settings and send a denied request through every guard")
        keys = actions.add_parser("keys", help="virtual keys: add, list, revoke")
        _configure_keys(keys)

    def run(self, args: argparse.Namespace, config: Config) -> int:
        if args.action == "keys":
            return _keys(args, Keys(config.data_dir / FILE, config.tenant), config)
        from gateway.app import check, main  # what serves is heavy; keys are handed out on small machines too

        if args.action == "check":
            print(check(config))
        else:
            main(config)
        return 0


def _configure_keys(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="key_action", metavar="ACTION", required=True)
    add = actions.add_parser("add", help="make a key for an agent; it is shown once")
    add.add_argument("agent", help="agent id")
    add.add_argument("--model", action="append", metavar="NAME", help=f"a model it may use ({ANY}, the default: any)")
    add.add_argument("--tool", action="append", default=[], metavar="NAME", help=f"a tool it may use ({ANY}: any)")
    add.add_argument("--certificate", type=Path, metavar="FILE", help="its client certificate (PEM), instead of a key")
    add.add_argument("--team", help="the team it belongs to (default: that of agents.toml)")
    listed = actions.add_parser("list", help="who has one; the keys themselves are not kept")
    listed.add_argument("--json", action="store_true", help="one JSON object")
    actions.add_parser("revoke", help="make one worthless, within a tenth of a second").add_argument(
        "id", help="as 'list' shows it"
    )


def _keys(args: argparse.Namespace, keys: Keys, config: Config) -> int:
    if args.key_action == "list":
        _list(keys, as_json=args.json)
    elif args.key_action == "revoke":
        if not keys.revoke(args.id):
            raise ConfigError(f"there is no key {args.id!r}; 'fusebox gateway keys list' shows them")
        print(f"key {args.id} is worth nothing from now on")
    else:
        entry = load_registry(config.agents_file).agents.get(args.agent)
        team = args.team if args.team is not None else (entry.team if entry else "")
        may: _May = {"team": team, "models": tuple(args.model or (ANY,)), "tools": tuple(args.tool)}
        if args.certificate is not None:
            print(f"key {keys.add_certificate(args.agent, _pem(args.certificate), **may)}: {args.agent} by certificate")
            return 0
        key_id, key = keys.add(args.agent, **may)
        print(key)
        print(f"key {key_id}, shown once; {args.agent} sends it as its API key", file=sys.stderr)
    return 0


class _May(TypedDict):
    team: str
    models: tuple[str, ...]
    tools: tuple[str, ...]


def _pem(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} cannot be read as PEM: {error}") from error


def _list(keys: Keys, *, as_json: bool) -> None:
    entries = keys.entries()
    if as_json:
        print(json.dumps({i: {k: v for k, v in asdict(e).items() if k != "sha256"} for i, e in entries.items()}))
        return
    table = Table(box=None, pad_edge=False)
    for column in ("id", "agent", "team", "models", "tools", "made"):
        table.add_column(column, overflow="fold")
    for key_id, entry in entries.items():
        table.add_row(key_id, entry.agent, entry.team, ", ".join(entry.models), ", ".join(entry.tools), entry.made)
    if entries:
        terminal.show(table, markup=False)
    else:
        print("nobody")


verb = GatewayVerb()
