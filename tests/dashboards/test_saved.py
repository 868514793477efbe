"""Statements that a person keeps outlive damage: what cannot be read is set aside, not written over."""

from pathlib import Path

import pytest

from dashboards.oidc import Role
from dashboards.people import Person
from dashboards.saved import save, saved
from fusebox import happenings
from fusebox.config import Config


@pytest.mark.parametrize("damage", [b"{", b"[]", b"\xff"])
def test_a_damaged_file_is_told_and_set_aside_by_the_next_edit(tmp_path: Path, damage: bytes) -> None:
    config, person = Config(data_dir=tmp_path), Person("operator:jo", "jo", Role.OPERATOR)
    save(config, person, "mine", "SELECT 1")
    (file,) = (tmp_path / "dashboard" / "queries").glob("*.json")
    file.write_bytes(damage)
    before = happenings.counts()["saved_queries_damaged"]
    assert saved(config, person) == {}
    assert file.read_bytes() == damage, "reading changes nothing"
    save(config, person, "new", "SELECT 2")
    assert saved(config, person) == {"new": "SELECT 2"}
    assert file.with_name(f"{file.name}.damaged").read_bytes() == damage
    assert happenings.counts()["saved_queries_damaged"] == before + 2
