"""Rules: what operators may write."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from breakers.detectors.base import Detector
from breakers.panel import Panel
from breakers.rules import DETECTORS, SHIPPED, Mode, knobs_of, load_rules
from fusebox.errors import ConfigError
from tests.breakers.traffic import START, event


def written(folder: Path, text: str) -> Path:
    path = folder / "rules.toml"
    path.write_text(text)
    return path


def state(detector: Detector) -> dict[str, Any]:
    """Its attributes, with slots or without."""
    held: Any = detector.__getstate__()  # a dict, or beside it one of what is in slots
    of_dict, of_slots = held if isinstance(held, tuple) else (held, None)
    return {**(of_dict or {}), **(of_slots or {})}


def test_the_shipped_file_names_every_knob_with_its_default() -> None:
    tables = tomllib.loads(SHIPPED.read_text())
    assert set(tables) == {*DETECTORS, "circuit", "fleet"}
    for name in DETECTORS:
        assert set(tables[name]) == {"mode", *knobs_of(name)}


@pytest.mark.parametrize("name", DETECTORS)
def test_shipped_values_are_the_constructors_defaults(name: str) -> None:
    shipped, default = state(load_rules().build(name)), state(DETECTORS[name]())
    scalars = {k: v for k, v in default.items() if isinstance(v, int | float)}
    assert scalars
    assert {k: shipped[k] for k in scalars} == scalars
    assert shipped.keys() == default.keys()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[repetitoin]\n", "did you mean repetition"),
        ("[repetition]\nopne = 3\n", "did you mean open"),
        ("[repetition]\nopen = 0\n", "above 0"),
        ("[repetition]\nopen = true\n", "above 0"),
        ("[repetition]\nnear_distance = 2.5\n", "whole number"),
        ("[burn]\nbudget = 5\n", "no knob"),
        ('[cycle]\nmode = "maybe"\n', "neither"),
        ("cycle = 3\n", r"\[cycle\]"),
        ("[cycle\n", "rules.toml"),
    ],
)
def test_mistakes_are_refused_and_named(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        load_rules(written(tmp_path, text))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml does not exist"):
        load_rules(tmp_path / "nowhere.toml")


def test_what_is_left_out_keeps_its_default(tmp_path: Path) -> None:
    rules = load_rules(written(tmp_path, "[rate]\nper_minute = 5\n"))
    assert rules.rule("repetition").mode is Mode.ENFORCE
    rate = rules.build("rate")
    found = [rate.observe(event(START, f"o{n}", "t", n, n)) for n in range(6)]
    assert [f.action if f else "" for f in found] == ["", "", "warn", "", "", "open"]


@pytest.mark.parametrize(("mode", "actions"), [
    ("enforce", ["warn", "open"]), ("warn", ["warn", "warn"]), ("observe", ["observe", "observe"]),
])  # fmt: skip
def test_a_mode_says_what_findings_do(tmp_path: Path, mode: str, actions: list[str]) -> None:
    panel = Panel(load_rules(written(tmp_path, f'[repetition]\nmode = "{mode}"\n')))
    found = [panel.observe(event(START + n * 1.3 + n * n, "op", "t", "same", "same")) for n in range(4)]
    assert [f.action for f in found if f] == actions
