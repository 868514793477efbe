"""``fusebox rules``, and detectors that other packages bring."""

from __future__ import annotations

import argparse
import json
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from breakers import rules
from breakers.rules import DETECTORS, Mode, load_rules
from breakers.verb import verb
from fusebox.config import Config
from fusebox.errors import ConfigError
from fusebox.records import Event, Finding


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    parser = argparse.ArgumentParser()
    verb.configure(parser)
    assert verb.run(parser.parse_args(list(arguments)), Config()) == 0
    return capsys.readouterr().out


def test_check_says_what_is_changed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('[rate]\nmode = "warn"\nper_minute = 60\n')
    assert "rate: warn; per_minute = 60 (default 1000.0)" in said(capsys, "check", str(file))
    told = json.loads(said(capsys, "check", str(file), "--json"))
    assert told["changed"] == {"rate": {"per_minute": [60, 1000.0]}}
    assert told["modes"]["trouble"] == "warn"


def test_check_says_which_rules_kill_and_how_circuits_behave(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("[rate]\nkill = true\n[circuit]\nprobes = 3\n")
    text = said(capsys, "check", str(file))
    assert "rate: enforce and kill" in text
    assert "circuit: set; probes = 3 (default 1)" in text
    told = json.loads(said(capsys, "check", str(file), "--json"))
    assert (told["kills"], told["changed"]) == (["rate"], {"circuit": {"probes": [3, 1]}})


def test_check_refuses_a_knob_that_nothing_reads(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("[rate]\nper_hour = 60\n")
    with pytest.raises(ConfigError, match="per_hour"):
        verb.run(argparse.Namespace(what="check", file=file, json=False), Config())


def test_explain_tells_of_every_detector_in_its_own_words(capsys: pytest.CaptureFixture[str]) -> None:
    told = json.loads(said(capsys, "explain", "--json"))
    assert set(told) == {*DETECTORS, "circuit", "fleet"}
    assert all(len(each["about"]) > 60 and each["knobs"] for each in told.values())
    assert "memory_s" in said(capsys, "explain", "cycle")
    with pytest.raises(ConfigError, match="is no detector; there are"):
        said(capsys, "explain", "cycel")


def test_explain_tells_which_rules_kill_and_how_circuits_behave(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("[rate]\nkill = true\n[circuit]\nprobes = 3\n")
    text = said(capsys, "explain", "--rules", str(file))
    assert "rate (enforce, and kills)" in text
    assert "repetition (enforce)" in text
    assert "half-open admits" in text
    told = json.loads(said(capsys, "explain", "--rules", str(file), "--json"))
    assert (told["rate"]["kill"], told["cycle"]["kill"]) == (True, False)
    assert told["circuit"]["knobs"]["probes"] == [3, 1]
    assert told["fleet"]["knobs"]["max_share"] == [0.5, 0.5]
    assert "max_share" in said(capsys, "explain", "fleet")


class Quiet:
    """A detector of somebody else's."""

    name = "quiet"
    mode = "observe"

    def __init__(self, *, limit: float = 3.0) -> None:
        self.score, self._limit = 0.0, limit

    def observe(self, event: Event) -> Finding | None:
        return None


def test_a_package_may_bring_a_detector(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    point = EntryPoint("quiet", f"{__name__}:Quiet", rules.GROUP)
    monkeypatch.setattr(rules, "entry_points", lambda group: [point])
    rules.kinds.cache_clear()
    try:
        file = tmp_path / "mine.toml"
        file.write_text("[quiet]\nlimit = 5\n")
        loaded = load_rules(file)
        assert "quiet" in loaded.detectors
        assert loaded.rule("quiet").mode is Mode.OBSERVE
        assert isinstance(loaded.build("quiet"), Quiet)
        file.write_text("[quiet]\nlimits = 5\n")
        with pytest.raises(ConfigError, match="did you mean limit"):
            load_rules(file)
    finally:
        rules.kinds.cache_clear()


@pytest.mark.parametrize("value", ["nowhere:Nothing", "breakers.detectors.rate:Rate"])
def test_one_that_cannot_be_loaded_or_takes_anothers_name_is_refused(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setattr(rules, "entry_points", lambda group: [EntryPoint("theirs", value, rules.GROUP)])
    rules.kinds.cache_clear()
    try:
        with pytest.raises(ConfigError, match="theirs"):
            load_rules()
    finally:
        rules.kinds.cache_clear()
