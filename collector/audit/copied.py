"""``copied.json``: how many entries of each writer the database has been given, durably."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from fusebox.rundir import write_atomic

_FILE: Final = "copied.json"


def write(root: Path, sizes: Mapping[str, int]) -> None:
    """Remember; called after the rows are in."""
    write_atomic(root / _FILE, json.dumps(dict(sorted(sizes.items()))) + "\n")


def read(root: Path) -> dict[str, int]:
    """What was remembered; nothing when there is no such file, or it is damaged."""
    try:
        return {str(writer): int(size) for writer, size in json.loads((root / _FILE).read_text()).items()}
    except (OSError, ValueError, TypeError, AttributeError, OverflowError):
        return {}
