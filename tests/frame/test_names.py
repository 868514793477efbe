"""No file names a package registry's host or the folder of somebody's machine."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tools.layers import ROOT

FORBIDDEN = tuple(
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("files", "pythonhosted", "org"),
        ("registry", "npmjs", "org"),
        ("deb", "debian", "org"),
    )
) + tuple("/".join(["", *parts]) for parts in (("work", "main"), ("work", "shared"), ("tmp", "w", "")))
SKIPPED = {".git", ".venv", "__pycache__", ".mypy_cache", ".ruff_cache", ".pytest_cache", ".hypothesis"}


def files() -> Iterator[Path]:
    """Every file under version control; every file there is where there is no git."""
    if shutil.which("git") and (ROOT / ".git").exists():
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        yield from (ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file())
    else:
        yield from (f for f in ROOT.rglob("*") if f.is_file() and SKIPPED.isdisjoint(f.relative_to(ROOT).parts))


def test_no_forbidden_name_is_in_the_tree() -> None:
    found = [
        (str(file.relative_to(ROOT)), name)
        for file in files()
        for name in FORBIDDEN
        if name.encode() in file.read_bytes()
    ]
    assert not found
