"""Rules: the detectors' knobs as operators write them (``rules.toml``), checked against the detectors themselves.

A section is a detector, a key is a keyword argument of its constructor; beside them stand ``mode`` and ``kill``. A
section or key that is left out keeps the default. So there is no knob that nothing reads. Two sections are no
detectors: ``[circuit]`` and ``[fleet]`` (:mod:`breakers.settings`).
"""

from __future__ import annotations

import difflib
import inspect
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, TypeVar

from breakers.detectors.base import Detector
from breakers.detectors.burn import Burn
from breakers.detectors.cycle import Cycle
from breakers.detectors.rate import Rate
from breakers.detectors.repetition import Repetition
from breakers.settings import CircuitSettings, FleetSettings
from fusebox.errors import ConfigError

SHIPPED: Final = Path(__file__).with_name("rules.toml")
DETECTORS: Final[Mapping[str, Callable[..., Detector]]] = {c.name: c for c in (Repetition, Cycle, Rate, Burn)}
FROM_REGISTRY: Final = frozenset({"budget"})
"""Arguments that come from an agent's registry entry, not from the rules."""


S = TypeVar("S", CircuitSettings, FleetSettings)


class Mode(StrEnum):
    """What a rule's findings do."""

    ENFORCE = "enforce"
    OBSERVE = "observe"


@dataclass(frozen=True, slots=True)
class Rule:
    """One detector's mode and knobs; with ``kill``, *watch* kills the agent whose circuit it finds reason to open."""

    mode: Mode = Mode.ENFORCE
    knobs: Mapping[str, float] = field(default_factory=dict)
    kill: bool = False


@dataclass(frozen=True, slots=True)
class Rules:
    """A rule for each detector, and how circuits behave."""

    by_detector: Mapping[str, Rule] = field(default_factory=dict)
    circuit: CircuitSettings = field(default_factory=CircuitSettings)
    fleet: FleetSettings = field(default_factory=FleetSettings)

    def rule(self, detector: str) -> Rule:
        """The rule of one detector."""
        return self.by_detector.get(detector, _DEFAULT)

    def build(self, detector: str, **extra: Any) -> Detector:
        """A fresh detector with the rule's knobs."""
        return DETECTORS[detector](**self.rule(detector).knobs, **extra)


_DEFAULT: Final = Rule()
_BESIDE: Final = ("mode", "kill")


def load_rules(path: Path | None = None) -> Rules:
    """Read a rules file; the shipped one without ``path``.

    Raises:
        ConfigError: the file is missing or no TOML, or a section, key or value does not fit.
    """
    file = path or SHIPPED
    try:
        tables = tomllib.loads(file.read_text())
    except FileNotFoundError as error:
        raise ConfigError(f"rules_file: {file} does not exist; copy {SHIPPED} there or unset it") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: {error}") from error
    circuit = _settings(file, "circuit", CircuitSettings, tables.pop("circuit", {}))
    fleet = _settings(file, "fleet", FleetSettings, tables.pop("fleet", {}))
    return Rules({name: _rule(file, name, table) for name, table in tables.items()}, circuit, fleet)


def knobs_of(detector: str) -> dict[str, type]:
    """The knobs of a detector and their types, as its constructor declares them."""
    parameters = inspect.signature(DETECTORS[detector]).parameters
    return {name: type(p.default) for name, p in parameters.items() if name not in FROM_REGISTRY}


def _settings(file: Path, name: str, kind: type[S], table: object) -> S:
    if not isinstance(table, dict):
        raise ConfigError(f"{name} in {file} must be a section: write [{name}]")
    known = {f.name: type(f.default) for f in fields(kind)}
    for key, value in table.items():
        _require_known(key, known, f"{name}.{{}} in {file} is no setting")
        _require_number(f"{name}.{key} in {file}", value, known[key])
    return kind(**table)


def _rule(file: Path, name: str, table: object) -> Rule:
    _require_known(name, DETECTORS, f"section [{{}}] in {file} is no detector")
    if not isinstance(table, dict):
        raise ConfigError(f"{name} in {file} must be a section: write [{name}]")
    knobs = knobs_of(name)
    for key, value in table.items():
        _require_known(key, (*_BESIDE, *knobs), f"{name}.{{}} in {file} is no knob")
        if key not in _BESIDE:
            _require_number(f"{name}.{key} in {file}", value, knobs[key])
    mode, kill = _mode(file, name, table.get("mode", Mode.ENFORCE)), table.get("kill", False)
    if not isinstance(kill, bool) or (kill and mode is not Mode.ENFORCE):
        raise ConfigError(f'{name}.kill in {file} is true or false, and true only beside mode = "enforce"')
    return Rule(mode, {k: v for k, v in table.items() if k not in _BESIDE}, kill)


def _mode(file: Path, name: str, value: object) -> Mode:
    try:
        return Mode(str(value))
    except ValueError as error:
        raise ConfigError(f'{name}.mode in {file}: {value!r} is neither "enforce" nor "observe"') from error


def _require_known(key: str, known: Iterable[str], complaint: str) -> None:
    names = list(known)
    if key not in names:
        near = difflib.get_close_matches(key, names, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"
        raise ConfigError(f"{complaint.format(key)}; {hint}")


def _require_number(where: str, value: object, kind: type) -> None:
    allowed = (int,) if kind is int else (int, float)
    if isinstance(value, bool) or not isinstance(value, allowed) or not value > 0:
        raise ConfigError(f"{where}: {value!r} must be a {'whole ' if kind is int else ''}number above 0")
