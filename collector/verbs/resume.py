"""``fusebox resume``: let an agent, or all, run again."""

from __future__ import annotations

import argparse
from pathlib import Path

from collector.verbs import targets
from fusebox.config import Config
from fusebox.control import ControlClient
from fusebox.errors import ConfigError


class ResumeVerb:
    """Orders a resume and waits for its Receipts."""

    help = "let a killed or tripped agent run again; lift the kill of a workflow or tool"
    description = """Lift the kills of an agent and let its circuit probe: one held message first, the rest at a pace.

  fusebox resume ticket-helper --reason "prompt fixed"
  fusebox resume --all --reason "incident 42 is over"
  fusebox resume --tool jira.comment --reason "the tool limits itself now"

An agent that agents.toml marks as high-risk takes a second operator, whose token is read from --second-token-file; the
first shows a token of their own in FUSEBOX_OPERATOR_TOKEN, as the machine's own is nobody's.
An agent that loops again is stopped again. Exit status: 0 when every process that runs the agent confirmed, 1 when
one did not within --timeout, 2 when there was nothing to resume."""

    def configure(self, parser: argparse.ArgumentParser) -> None:
        targets.configure(parser)
        parser.add_argument("--second-token-file", type=Path, metavar="FILE", help="token of an operator who agrees")

    def run(self, args: argparse.Namespace, config: Config) -> int:
        target = targets.target_of(args)
        client = ControlClient.local(config)
        second = _read(args.second_token_file) if args.second_token_file else None
        return targets.follow(
            client, client.resume(target.scope, target.reason, second_token=second), target, "resumed"
        )


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError as error:
        raise ConfigError(f"--second-token-file: {error}") from error


verb = ResumeVerb()
