"""``fusebox rules``: are these rules sound, and what do they say."""

from __future__ import annotations

import argparse
import inspect
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from rich.table import Table

from breakers.rules import SHIPPED, Rules, kinds, knobs_of, load_rules
from breakers.settings import CircuitSettings, FleetSettings
from fusebox import terminal
from fusebox.config import Config
from fusebox.errors import ConfigError

_ABOUT: Final = {"circuit": CircuitSettings, "fleet": FleetSettings}


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
  fusebox rules explain                  all detectors (mode, knobs, what they mean) and how circuits behave
  fusebox rules explain repetition       one of them; or circuit, or fleet
"""

    def configure(self, parser: argparse.ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="what", required=True, metavar="check|explain")
        check = verbs.add_parser("check", help="say what is wrong with a rules file, or that nothing is")
        check.add_argument("file", nargs="?", type=Path, help="default: the rules in force")
        explain = verbs.add_parser("explain", help="what each detector looks for and with which numbers")
        explain.add_argument("section", nargs="?", metavar="SECTION", help="a detector, circuit or fleet; default: all")
        explain.add_argument("--rules", type=Path, metavar="FILE", help="default: the rules in force")
        for sub in (check, explain):
            sub.add_argument("--json", action="store_true", help="print one JSON object")

    def run(self, args: argparse.Namespace, config: Config) -> int:
        file = (args.file if args.what == "check" else args.rules) or config.rules_file
        rules = load_rules(file)
        if args.what == "check":
            _check(file or SHIPPED, rules, args.json)
        else:
            _explain(rules, args.section, args.json)
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
    changed = {name: {k: v for k, v in pairs.items() if v[0] != v[1]} for name, pairs in _circuits(rules).items()}
    return {name: different for name, different in changed.items() if different}


def _circuits(rules: Rules) -> dict[str, dict[str, tuple[float, float]]]:
    """Every setting of how circuits behave: value and default."""
    plain = Rules()
    return {
        name: {key: (value, defaults[key]) for key, value in asdict(mine).items()}
        for name, mine, defaults in (
            ("circuit", rules.circuit, asdict(plain.circuit)), ("fleet", rules.fleet, asdict(plain.fleet)),
        )
    }  # fmt: skip


def _modes(rules: Rules) -> dict[str, str]:
    return {name: rules.rule(name).mode.value for name in rules.detectors}


def _explain(rules: Rules, wanted: str | None, as_json: bool) -> None:
    known = (*kinds(), *_circuits(rules))
    if wanted and wanted not in known:
        raise ConfigError(f"{wanted} is no detector; there are {', '.join(known)}")
    told = {name: explanation(rules, name) for name in known if wanted in (None, name)}
    if as_json:
        print(json.dumps(told))
        return
    console = terminal.console()
    for name, what in told.items():
        console.print(f"[bold]{name}[/] ({what['mode']}{', and kills' if what.get('kill') else ''})")
        console.print(what["about"], markup=False)
        table = Table("knob", "value", "default", box=None, pad_edge=False)
        for knob, (value, default) in what["knobs"].items():
            table.add_row(f"  {knob}", str(value), str(default))
        console.print(table)


def explanation(rules: Rules, name: str) -> dict[str, Any]:
    """What a section of the rules is about, in the code's own words; of a detector its mode too, and whether it kills.

    ``knobs`` holds each number and its default.
    """
    if name in _ABOUT:
        return {"mode": "settings", "about": inspect.getdoc(_ABOUT[name]) or "", "knobs": _circuits(rules)[name]}
    kind = kinds()[name]
    module = inspect.getmodule(kind)
    about = inspect.getdoc(module) if module else None
    knobs = {knob: (rules.rule(name).knobs.get(knob, default), default) for knob, default in knobs_of(name).items()}
    rule = rules.rule(name)
    return {
        "mode": rule.mode.value, "kill": rule.kill, "about": about or inspect.getdoc(kind) or "", "knobs": knobs,
    }  # fmt: skip


verb = RulesVerb()
