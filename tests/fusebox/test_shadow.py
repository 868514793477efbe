"""A file with the name of one of our packages is named, not met as an ImportError."""

import sys
from pathlib import Path

import pytest

from fusebox.errors import Shadowed
from fusebox.shadow import PACKAGES, check_packages, shadows


def test_our_own_packages_hide_nothing() -> None:
    check_packages()


@pytest.mark.parametrize("name", PACKAGES)
def test_a_module_in_front_is_named(tmp_path: Path, name: str) -> None:
    file = tmp_path / f"{name}.py"
    file.write_text("")
    with pytest.raises(Shadowed, match=rf"{name}\.py hides .* rename it"):
        check_packages([str(tmp_path), *sys.path])


def test_a_package_in_front_is_named_and_one_behind_is_not(tmp_path: Path) -> None:
    (tmp_path / "rabbitmq").mkdir()
    (tmp_path / "rabbitmq" / "__init__.py").write_text("")
    assert list(shadows([str(tmp_path), *sys.path])) == ["rabbitmq"]
    assert not shadows([*sys.path, str(tmp_path)])


def test_a_folder_without_code_hides_nothing(tmp_path: Path) -> None:
    (tmp_path / "dashboards").mkdir()
    check_packages([str(tmp_path), *sys.path])
