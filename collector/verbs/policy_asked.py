"""``fusebox policy explain`` and ``diff``: a policy is asked, about one action or about all on record."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from collector import queries
from collector.verbs.since import FORMS, moment
from fusebox import terminal
from fusebox.clock import system_clock
from fusebox.config import Config
from fusebox.errors import ConfigError
from fusebox.records import Action, ActionKind, Decision
from governance.policy.policy import Policy
from governance.policy.ruling import Ruling
from governance.policy.source import SHIPPED, open_policy
from governance.policy.whatif import Flip, Recorded, flips, unused
from governance.registry import load_registry

_KINDS = [kind.value for kind in ActionKind]


class Explain:
    """Says what is decided about an action, or what an agent is granted."""

    help = "which rule decides about an action, or an agent's grants and which of them nothing used"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Arguments of the action."""
        parser.add_argument("agent", help="the agent's id")
        parser.add_argument("kind", nargs="?", choices=_KINDS, metavar="KIND", help=", ".join(_KINDS))
        parser.add_argument("resource", nargs="?", help="routing key, model or tool")
        parser.add_argument("--target", default="", help="what it works on; in the gateway: 'GET /path'")
        parser.add_argument("--workflow", default="", help="the workflow it belongs to")
        parser.add_argument("--arguments", type=json.loads, default=None, metavar="JSON", help="its arguments")
        parser.add_argument("--since", type=moment, metavar="WHEN", help=f"records that count as use: {FORMS}")
        _common(parser)

    def run(self, args: argparse.Namespace, config: Config) -> int:
        """Exit status 1 when the action is not allowed."""
        policy = _policy(config, args.to, args.agents)
        if args.kind is None:
            return _grants(policy, args, config)
        if args.resource is None:
            raise ConfigError("name the resource, too: a routing key, model or tool")
        action = Action(
            ActionKind(args.kind), args.agent, args.resource, args.target, config.tenant, args.workflow,
            arguments=args.arguments,
        )  # fmt: skip
        ruling, asked = policy.ruling(action), policy.question(action)
        if args.json:
            print(json.dumps({**asdict(ruling), "input": asked}, default=str))
        else:
            _show_ruling(ruling, dict(asked))
        return 0 if ruling.decision is Decision.ALLOW else 1


class Diff:
    """Asks another policy about what is on record."""

    help = "which recorded decisions another policy, or other grants, would flip"

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Arguments of the action."""
        parser.add_argument("--agent", default="", metavar="ID", help="only this agent's")
        parser.add_argument("--since", type=moment, metavar="WHEN", help=f"only what is newer: {FORMS}")
        _common(parser)

    def run(self, args: argparse.Namespace, config: Config) -> int:
        """Exit status 1 when a decision would flip."""
        policy = _policy(config, args.to, args.agents)
        recorded, untold = _recorded(config, args.since, args.agent)
        found = list(flips(policy, recorded, config.tenant))
        asked = sum(each.count for each in recorded)
        if args.json:
            told = [{**asdict(flip), "recorded": asdict(flip.recorded)} for flip in found]
            print(json.dumps({"asked": asked, "untold": untold, "flips": told}))
        else:
            _show_flips(found, asked, untold)
        return 1 if any(flip.after is not flip.recorded.decision for flip in found) else 0


def _common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--to", metavar="POLICY", help="'default', a folder or an OPA server (default: the one in force)"
    )
    parser.add_argument("--agents", type=Path, metavar="FILE", help="grants (default: the agents.toml in force)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _policy(config: Config, to: str | None, agents: Path | None) -> Policy:
    """The policy that is asked.

    Raises:
        ConfigError: it, or the grants, cannot be loaded.
    """
    update: dict[str, Any] = {"policy": to or config.policy or SHIPPED, "agents_file": agents or config.agents_file}
    if to is not None:  # a draft need not be signed
        update["policy_keys"] = None
    chosen = config.model_copy(update=update)
    policy = open_policy(chosen, load_registry(chosen.agents_file), system_clock())
    if policy is None or policy.problem:
        raise ConfigError(f"the policy cannot be loaded: {policy.problem if policy else 'there is none'}")
    return policy


def _recorded(config: Config, since: float | None, agent: str) -> tuple[list[Recorded], int]:
    """Decisions on record; and how many there are of which it is not known what they were about."""
    with closing(queries.connect(config)) as client:
        rows = queries.run(client, "policy_decisions", since=since or 0.0, agent=agent)
    known = [row for row in rows if row["resource"]]
    return list(_records(known)), sum(int(row["count"]) for row in rows if not row["resource"])


def _records(rows: list[dict[str, Any]]) -> Iterator[Recorded]:
    for row in rows:
        yield Recorded(
            row["agent"], ActionKind(row["action"]), row["resource"], row["target"], row["workflow"],
            Decision(row["decision"]), int(row["count"]),
        )  # fmt: skip


def _grants(policy: Policy, args: argparse.Namespace, config: Config) -> int:
    standing = policy.grants.of(args.agent)
    recorded, _ = _recorded(config, args.since, args.agent)
    idle = unused(policy, recorded, config.tenant).get(args.agent, [])
    denies = [str(entry["name"]) for listed in standing.denies.values() for entry in listed]
    told = {"agent": args.agent, "roles": standing.roles, "grants": standing.names(), "denies": denies, "unused": idle}
    if args.json:
        print(json.dumps(told))
        return 0
    console = terminal.console()
    console.print(Text(f"{args.agent}: roles {', '.join(standing.roles) or 'none'}", "bold"))
    for name in standing.names():
        console.print(Text(f"  grant  {name}").append("   never used" if name in idle else "", "yellow"))
    for name in denies:
        console.print(Text(f"  deny   {name}"))
    if not (standing.names() or denies):
        console.print(Text("  nothing is granted; agents.toml can", "yellow"))
    return 0


def _show_ruling(ruling: Ruling, asked: dict[str, Any]) -> None:
    console = terminal.console()
    style = {Decision.ALLOW: "bold green", Decision.HOLD: "bold yellow", Decision.DENY: "bold red"}[ruling.decision]
    console.print(Text(ruling.decision.value, style).append(f"  {ruling.reason}", "default"))
    for name in ruling.matched:
        console.print(Text(f"  matched   {name}"))
    console.print(Text(f"  revision  {ruling.revision}"))
    console.print(
        Text("  input     ").append(json.dumps(asked, default=str, ensure_ascii=False), "dim"), soft_wrap=True
    )


def _show_flips(found: list[Flip], asked: int, untold: int) -> None:
    console = terminal.console()
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("agent", "action", "resource", "target", "was", "would be", "times", "because"):
        table.add_column(column, justify="right" if column == "times" else "left", overflow="fold")
    for flip in found:
        was = flip.recorded
        after = flip.after.value if flip.sure else f"{flip.after.value}?"
        cells = (was.agent, was.action.value, was.resource, was.target, was.decision.value, after, str(was.count))
        table.add_row(*map(terminal.plain, (*cells, flip.reason)))
    if found:
        console.print(terminal.legible(console, table), markup=False)
    flipped = sum(flip.recorded.count for flip in found if flip.after is not flip.recorded.decision)
    console.print(f"{flipped} of {asked} decisions would flip")
    if any(not flip.sure for flip in found):
        console.print(Text("? it depends on arguments or the workflow, which are not on record", "yellow"))
    if untold:
        console.print(Text(f"{untold} more were counted without saying what they were about", "yellow"))


explain, diff = Explain(), Diff()
