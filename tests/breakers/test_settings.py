"""How circuits behave, as operators write it; and that what they write is read."""

import tomllib
from dataclasses import asdict
from pathlib import Path

import pytest

from breakers.board import Board
from breakers.circuit import Circuits
from breakers.rules import SHIPPED, load_rules
from breakers.settings import CircuitSettings, FleetSettings
from fusebox.clock import ManualClock
from fusebox.errors import AgentTripped, ConfigError
from fusebox.store import MemoryStore


def written(folder: Path, text: str) -> Path:
    path = folder / "rules.toml"
    path.write_text(text)
    return path


def test_the_shipped_file_names_every_setting_with_its_default() -> None:
    tables = tomllib.loads(SHIPPED.read_text())
    assert tables["circuit"] == asdict(CircuitSettings())
    assert tables["fleet"] == asdict(FleetSettings())


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[circuit]\nprobe = 3\n", "did you mean probes"),
        ("[circuit]\nprobes = 1.5\n", "whole number"),
        ("[circuit]\nopen_s = 0\n", "above 0"),
        ("[circuit]\ngrowth = 0.5\n", "growth"),
        ("[circuit]\nopen_s = 4000\n", "max_open_s"),
        ("[fleet]\nmax_share = 1.5\n", "at most 1"),
        ("[fleet]\nmode = 1\n", "no setting"),
        ('[rate]\nkill = "yes"\n', "true or false"),
        ('[rate]\nkill = true\nmode = "observe"\n', "beside mode"),
        ("fleet = 3\n", r"\[fleet\]"),
    ],
)
def test_mistakes_are_refused_and_named(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        load_rules(written(tmp_path, text))


def test_two_probes_are_admitted_and_two_must_succeed(tmp_path: Path, clock: ManualClock) -> None:
    rules = load_rules(written(tmp_path, "[circuit]\nprobes = 2\nopen_s = 5\n"))
    circuits = Circuits(Board(MemoryStore(), clock), clock, rules.circuit)
    circuits.trip("a", reason="loops", actor="detector:x")
    clock.advance(5)
    with circuits.calling("a"):
        assert not circuits.probing("a")
        with circuits.calling("a"):
            assert circuits.probing("a")
            with pytest.raises(AgentTripped), circuits.calling("a"):
                pass
        assert circuits.circuit("a").state == "half_open"
    assert circuits.circuit("a").state == "closed"


def test_a_rule_may_kill(tmp_path: Path) -> None:
    rules = load_rules(written(tmp_path, "[rate]\nkill = true\n"))
    assert rules.rule("rate").kill
    assert not rules.rule("cycle").kill
