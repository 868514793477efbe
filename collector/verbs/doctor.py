"""``fusebox doctor``: what is wrong here, and what to do about it."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import Final

from rich.markup import escape

from collector.verbs.checks import Check, Result, all_checks
from fusebox import terminal
from fusebox.config import Config

_MARKS: Final = {Result.OK: "[green]✓[/]", Result.NOTE: "[yellow]·[/]", Result.FAIL: "[bold red]✗[/]"}


class DoctorVerb:
    """Runs every check."""

    help = "check this installation and say how to fix it"
    description = """Check packages, Python, the data folder, ports, roles, broker, Redis, alerts, registry, policy
and clocks.

  fusebox doctor
  fusebox doctor --json

Exit status: 1 when something must be fixed (the fix is printed), else 0."""

    def configure(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON array")

    def run(self, args: argparse.Namespace, config: Config) -> int:
        found = all_checks(config)
        if args.json:
            print(json.dumps([asdict(check) for check in found]))
        else:
            _show(found)
        return 1 if any(check.result is Result.FAIL for check in found) else 0


def _show(found: list[Check]) -> None:
    console = terminal.console()
    for check in found:
        console.print(f"{_MARKS[check.result]} {check.name}: {escape(check.detail)}", soft_wrap=True)
        if check.fix:
            console.print(f"    fix: {escape(check.fix)}", soft_wrap=True)


verb = DoctorVerb()
