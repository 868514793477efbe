"""Rules: the detectors' knobs as operators write them (``rules.toml``), checked against the detectors themselves.

A section is a detector, a key is a keyword argument of its constructor; beside them stand ``mode`` and ``kill``. A
section or key that is left out keeps the default. So there is no knob that nothing reads. Detectors are the shipped
ones and those that installed packages offer by the entry point group ``fusebox.detectors``. Two sections are no
detectors: ``[circuit]`` and ``[fleet]`` (:mod:`breakers.settings`).
"""

from __future__ import annotations

import difflib
import inspect
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from functools import cache, partial
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Final, TypeVar

from breakers.detectors.base import Detector
from breakers.detectors.burn import Burn
from breakers.detectors.cycle import Cycle
from breakers.detectors.delegation import Delegation
from breakers.detectors.rate import Rate
from breakers.detectors.repetition import Repetition
from breakers.detectors.trouble import Trouble
from breakers.settings import CircuitSettings, FleetSettings
from fusebox.errors import ConfigError

Kind = Callable[..., Detector]

SHIPPED: Final = Path(__file__).with_name("rules.toml")
GROUP: Final = "fusebox.detectors"
DETECTORS: Final[Mapping[str, Kind]] = {c.name: c for c in (Repetition, Cycle, Delegation, Rate, Burn, Trouble)}
FROM_REGISTRY: Final = frozenset({"budget", "usd"})
"""Arguments that come from an agent's registry entry, not from the rules."""


S = TypeVar("S", CircuitSettings, FleetSettings)


class Mode(StrEnum):
    """What a rule's findings do."""

    ENFORCE = "enforce"
    """A finding opens the circuit, or warns below that."""
    WARN = "warn"
    """A finding at most warns: it is recorded and the agent is slowed down."""
    OBSERVE = "observe"
    """A finding is recorded, nothing else."""


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

    @property
    def detectors(self) -> tuple[str, ...]:
        """All detectors there are."""
        return tuple(kinds())

    def rule(self, detector: str) -> Rule:
        """The rule of one detector."""
        return self.by_detector.get(detector) or Rule(_default_mode(detector))

    def maker(self, detector: str, **extra: Any) -> Callable[[], Detector]:
        """What makes fresh detectors with the rule's knobs."""
        return partial(kinds()[detector], **self.rule(detector).knobs, **extra)

    def build(self, detector: str, **extra: Any) -> Detector:
        """A fresh detector with the rule's knobs."""
        return self.maker(detector, **extra)()

    def threshold(self, detector: str) -> float:
        """The score at which the detector opens: its attribute ``threshold``, else 1."""
        return float(getattr(self.build(detector), "threshold", 1.0))

    def changed(self, detector: str) -> dict[str, tuple[float, float]]:
        """The knobs that differ from their defaults: value and default."""
        defaults = knobs_of(detector)
        return {k: (v, defaults[k]) for k, v in self.rule(detector).knobs.items() if v != defaults[k]}


_BESIDE: Final = ("mode", "kill")


def _default_mode(detector: str) -> Mode:
    """What the detector asks for (its attribute ``mode``), else enforce."""
    return Mode(getattr(kinds()[detector], "mode", Mode.ENFORCE))


@cache
def kinds() -> Mapping[str, Kind]:
    """The shipped detectors and those that installed packages offer.

    Raises:
        ConfigError: one of them cannot be loaded, has no name, or another one's.
    """
    found = dict(DETECTORS)
    for point in entry_points(group=GROUP):
        try:
            kind = point.load()
            name = str(kind.name)
        except Exception as error:
            raise ConfigError(f"the detector {point.name} ({point.value}) cannot be loaded: {error}") from error
        if name in found:
            raise ConfigError(f"the detector {point.name} ({point.value}) calls itself {name}, as another one does")
        found[name] = kind
    return found


def watches_fleet(detector: str) -> bool:
    """True for detectors of which one sees the events of all agents."""
    return getattr(kinds()[detector], "scope", "agent") == "fleet"


@cache  # asked for each new agent; reading a signature takes as long as judging several events
def from_registry(detector: str) -> frozenset[str]:
    """What the detector asks to know of its agent, of :data:`FROM_REGISTRY`."""
    return FROM_REGISTRY & inspect.signature(kinds()[detector]).parameters.keys()


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
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigError(f"{file}: {error}") from error
    circuit = _settings(file, "circuit", CircuitSettings, tables.pop("circuit", {}))
    fleet = _settings(file, "fleet", FleetSettings, tables.pop("fleet", {}))
    return Rules({name: _rule(file, name, table) for name, table in tables.items()}, circuit, fleet)


def knobs_of(detector: str) -> dict[str, float]:
    """The knobs of a detector and their defaults, as its constructor declares them."""
    parameters = inspect.signature(kinds()[detector]).parameters
    return {name: p.default for name, p in parameters.items() if name not in FROM_REGISTRY}


def _settings(file: Path, name: str, kind: type[S], table: object) -> S:
    if not isinstance(table, dict):
        raise ConfigError(f"{name} in {file} must be a section: write [{name}]")
    known = {f.name: type(f.default) for f in fields(kind)}
    for key, value in table.items():
        _require_known(key, known, f"{name}.{{}} in {file} is no setting")
        _require_number(f"{name}.{key} in {file}", value, known[key])
    return kind(**table)


def _rule(file: Path, name: str, table: object) -> Rule:
    _require_known(name, kinds(), f"section [{{}}] in {file} is no detector")
    if not isinstance(table, dict):
        raise ConfigError(f"{name} in {file} must be a section: write [{name}]")
    knobs = knobs_of(name)
    for key, value in table.items():
        _require_known(key, (*_BESIDE, *knobs), f"{name}.{{}} in {file} is no knob")
        if key not in _BESIDE:
            _require_number(f"{name}.{key} in {file}", value, type(knobs[key]))
    mode, kill = _mode(file, name, table.get("mode", _default_mode(name))), table.get("kill", False)
    if not isinstance(kill, bool) or (kill and mode is not Mode.ENFORCE):
        raise ConfigError(f'{name}.kill in {file} is true or false, and true only beside mode = "enforce"')
    return Rule(mode, {k: v for k, v in table.items() if k not in _BESIDE}, kill)


def _mode(file: Path, name: str, value: object) -> Mode:
    try:
        return Mode(str(value))
    except ValueError as error:
        known = ", ".join(f'"{mode}"' for mode in Mode)
        raise ConfigError(f"{name}.mode in {file}: {value!r} is neither of {known}") from error


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
