"""A database with this release's schema, built once in a run; tests use copies, which open in a fifth of the time."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from collector import schema
from collector.keep.engine import Engine

ROOT = Path(__file__).resolve().parents[2]


@cache
def _built() -> tempfile.TemporaryDirectory[str]:
    """In a process of its own: a process opens one folder of chDB at a time, and a test's may be open."""
    folder = tempfile.TemporaryDirectory(prefix="fusebox-schema-")
    subprocess.run([sys.executable, "-m", __name__, folder.name], cwd=ROOT, check=True)
    return folder


def database(folder: Path) -> Path:
    """Make ``folder`` a chDB folder with the schema, unless it is one already; the same path."""
    if not folder.exists():
        shutil.copytree(_built().name, folder, symlinks=True)
    return folder


if __name__ == "__main__":
    engine = Engine(Path(sys.argv[1]))
    schema.apply(engine.writer())
    engine.close()
