"""What watch makes at its first start, and finds at the next."""

from __future__ import annotations

from pathlib import Path

import pytest

from collector.watch.parts import approvals_key
from fusebox.errors import ConfigError


def test_the_key_of_approvals_is_made_once(tmp_path: Path) -> None:
    key = approvals_key(tmp_path)
    assert len(key) == 32
    assert approvals_key(tmp_path) == key
    assert (tmp_path / "approvals.key").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("damaged", [b"", b"\n", b"\xff\xfe", b"12ab", b"no key at all"])
def test_a_damaged_key_of_approvals_seals_nothing_and_the_error_names_the_file(tmp_path: Path, damaged: bytes) -> None:
    (tmp_path / "approvals.key").write_bytes(damaged)
    with pytest.raises(ConfigError, match=r"approvals\.key is damaged"):
        approvals_key(tmp_path)
