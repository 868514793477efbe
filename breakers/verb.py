"""``fusebox rules``: are these rules sound, and what do they say."""

from __future__ import annotations

import argparse
import inspect
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table

from breakers.rules import SHIPPED, Rules, kinds, knobs_of, load_rules
from breakers.settings import CircuitSettings, FleetSettings
from fusebox import terminal
from fusebox.config import Config
from fusebox.errors import ConfigError


class RulesVerb:
    """Checks and explains detector rules."""

    help = "check or explain the detectors' rules"
    description = """\
Rules are TOML: a section for each detector, a key for each of its knobs, and a mode:
enforce (a finding opens the circuit), warn (it is recorded and the agent is slowed down), observe (it is recorded).
kill = true beside "enforce" kills the agent as well. The sections [circuit] and [fleet] say how circuits behave.
What is left out keeps its default. A section or knob that nothing reads is refused.

  fusebox rules check                    the rules in force
  fusebox rules check strict.toml        a file before it is put in force
  fusebox rules explain                  all detectors: mode, knobs, what they mean
  fusebox rules explain repetition       one of them
"""

    def configure(self, parser: argparse.ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="what", required=True, metavar="check|explain")
        check = verbs.add_parser("check", help="say what is wrong with a rules file, or that nothing is")
        check.add_argument("file", nargs="?", type=Path, help="default: the rules in force")
        explain = verbs.add_parser("explain", help="what each detector looks for and with which numbers")
        explain.add_argument("detector", nargs="?", metavar="DETECTOR", help="default: all")
        explain.add_argument("--rules", type=Path, metavar="FILE", help="default: the rules in force")
        for sub in (check, explain):
            sub.add_argument("--json", action="store_true", help="print one JSON object")

    def run(self, args: argparse.Namespace, config: Config) -> int:
        file = (args.file if args.what == "check" else args.rules) or config.rules_file
        rules = load_rules(file)
        if args.what == "check":
            _check(file or SHIPPED, rules, args.json)
        else:
            _explain(rules, args.detector, args.json)
        return 0


def _check(file: Path, rules: Rules, as_json: bool) -> None:
    changed = {name: found for name in rules.detectors if (found := rules.changed(name))} | _settings(rules)
    kills = [name for name in rules.detectors if rules.rule(name).kill]
    if as_json:
        print(json.dumps({"file": str(file), "modes": _modes(rules), "kills": kills, "changed": changed}))
        return
    console = terminal.console()
    console.print(f"{file}: sound", markup=False)
    for name in (*rules.detectors, *_settings(rules)):
        says = f"{rules.rule(name).mode}{' and kill' if name in kills else ''}" if name in rules.detectors else "set"
        knobs = ", ".join(
            f"{knob} = {value} (default {plain})" for knob, (value, plain) in changed.get(name, {}).items()
        )
        console.print(f"  {name}: {says}{'; ' + knobs if knobs else ''}", markup=False)


def _settings(rules: Rules) -> dict[str, dict[str, tuple[float, float]]]:
    """What differs from its default of how circuits behave."""
    found = {
        "circuit": (asdict(rules.circuit), asdict(CircuitSettings())),
        "fleet": (asdict(rules.fleet), asdict(FleetSettings())),
    }
    changed = {
        name: {k: (v, plain[k]) for k, v in mine.items() if v != plain[k]} for name, (mine, plain) in found.items()
    }
    return {name: different for name, different in changed.items() if different}


def _modes(rules: Rules) -> dict[str, str]:
    return {name: rules.rule(name).mode.value for name in rules.detectors}


def _explain(rules: Rules, wanted: str | None, as_json: bool) -> None:
    if wanted and wanted not in kinds():
        raise ConfigError(f"{wanted} is no detector; there are {', '.join(kinds())}")
    told = {name: explanation(rules, name) for name in rules.detectors if wanted in (None, name)}
    if as_json:
        print(json.dumps(told))
        return
    console = terminal.console()
    for name, what in told.items():
        console.print(f"[bold]{name}[/] ({what['mode']})")
        console.print(what["about"], markup=False)
        table = Table("knob", "value", "default", box=None, pad_edge=False)
        for knob, (value, default) in what["knobs"].items():
            table.add_row(f"  {knob}", str(value), str(default))
        console.print(table)


def explanation(rules: Rules, name: str) -> dict[str, Any]:
    """What a detector looks for (its module's or class's own words), its mode and its knobs with their defaults."""
    kind = kinds()[name]
    module = inspect.getmodule(kind)
    about = inspect.getdoc(module) if module else None
    knobs = {knob: (rules.rule(name).knobs.get(knob, default), default) for knob, default in knobs_of(name).items()}
    return {"mode": rules.rule(name).mode.value, "about": about or inspect.getdoc(kind) or "", "knobs": knobs}


verb = RulesVerb()
