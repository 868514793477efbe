"""Lock files, entry points and the wheel."""

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from fusebox.version import __version__
from tools.layers import ALLOWED, ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCK, DEV_LOCK = ROOT / "requirements.lock", ROOT / "requirements-dev.lock"


def locked(*files: Path) -> dict[str, str]:
    text = "\n".join(file.read_text() for file in files)
    return dict(re.findall(r"^([a-z0-9][a-z0-9._-]*)==([^ \\;]+)", text, re.MULTILINE))


def wanted() -> list[Requirement]:
    project = PROJECT["project"]
    listed = [*project["dependencies"], *(r for extra in project["optional-dependencies"].values() for r in extra)]
    return [r for r in map(Requirement, listed) if r.name != project["name"]]


@pytest.mark.parametrize("requirement", wanted(), ids=str)
def test_every_dependency_is_locked_within_its_bounds(requirement: Requirement) -> None:
    assert requirement.specifier.contains(locked(LOCK)[canonicalize_name(requirement.name)], prereleases=True)


@pytest.mark.parametrize("requirement", [Requirement(tool) for tool in PROJECT["dependency-groups"]["dev"]], ids=str)
def test_every_tool_is_locked_within_its_bounds(requirement: Requirement) -> None:
    assert requirement.specifier.contains(locked(DEV_LOCK)[canonicalize_name(requirement.name)], prereleases=True)


def test_the_two_lock_files_agree() -> None:
    runtime, dev = locked(LOCK), locked(DEV_LOCK)
    assert {name: dev[name] for name in dev.keys() & runtime.keys()} == {
        name: runtime[name] for name in dev.keys() & runtime.keys()
    }


@pytest.mark.parametrize("file", [LOCK, DEV_LOCK], ids=lambda file: file.name)
def test_a_lock_file_names_hashes_and_no_host(file: Path) -> None:
    text = file.read_text()
    assert "://" not in text
    assert "--index" not in text
    for pin in re.findall(r"^[a-z0-9].*?(?=^[a-z0-9]|\Z)", text, re.MULTILINE | re.DOTALL):
        assert "--hash=sha256:" in pin, pin.splitlines()[0]


@pytest.mark.parametrize("group", ["fusebox.commands", "fusebox.services"])
def test_every_entry_point_can_be_loaded(group: str) -> None:
    listed = PROJECT["project"]["entry-points"][group]
    found = {point.name: point for point in entry_points(group=group)}
    assert listed.keys() <= found.keys()
    for name in listed:
        assert found[name].load() is not None


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, env={**os.environ, "SOURCE_DATE_EPOCH": "1"})
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_every_package_with_its_data_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {*ALLOWED, "policies", f"agent_fusebox-{__version__}.dist-info"}
    files = {
        file.relative_to(ROOT).as_posix()
        for package in (*ALLOWED, "policies")
        for file in (ROOT / package).rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert files <= set(names)
    assert "fusebox/py.typed" in names
    assert {Path(name).suffix for name in files} >= {".sql", ".toml", ".lua", ".css", ".proto", ".rego"}


def test_the_wheel_carries_its_licence(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        info = f"agent_fusebox-{__version__}.dist-info"
        assert archive.read(f"{info}/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
        assert b"License-Expression: Apache-2.0" in archive.read(f"{info}/METADATA")


def test_what_the_wheel_holds_runs_away_from_the_repository(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    script = (
        "import fusebox, rabbitmq, breakers.rules; from fusebox.cli import main;"
        "breakers.rules.load_rules(None); print(fusebox.__file__, flush=True); main(['--version'])"
    )
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-P", "-c", script]
    done = subprocess.run(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout.splitlines() == [str(tmp_path / "fusebox" / "__init__.py"), f"fusebox {__version__}"]
