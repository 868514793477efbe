"""Log files that do not grow for ever: at :data:`MAX_BYTES` one is put aside as ``<name>.1``; the one before it goes.

Nothing of the audit is in them: that is in the journal.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

from fusebox import happenings

MAX_BYTES: Final = 64 << 20
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC

ROTATED: Final = happenings.declare("log_rotated", logging.INFO, "a log file was full and put aside; an older one went")
UNROTATED: Final = happenings.declare(
    "log_unrotated", logging.ERROR, "a full log file could not be put aside; it grows"
)


def aside(path: Path) -> Path:
    """Where a full one goes."""
    return path.with_name(f"{path.name}.1")


def rename_full(path: Path) -> None:
    """Put a full log aside that nobody has open."""
    _put_aside(path, lambda path: os.replace(path, aside(path)))


def copy_full(path: Path) -> None:
    """Put a full log aside that another process writes at its end: copied, then emptied.

    A line that is written in between is lost; the two follow each other at once.
    """
    _put_aside(path, _copy_and_empty)


def _put_aside(path: Path, way: Callable[[Path], None]) -> None:
    """Or let it grow, and say so: whoever asks has more to do than that."""
    try:
        if not _is_full(path):
            return
        way(path)
    except OSError as error:
        happenings.emit(UNROTATED, file=str(path), error=str(error))
    else:
        happenings.emit(ROTATED, file=str(path))


def _copy_and_empty(path: Path) -> None:
    """Only what is whole takes the place of the one before."""
    half = path.with_name(f".{path.name}.half")
    try:
        with path.open("rb") as source, os.fdopen(os.open(half, _NEW, 0o600), "wb") as copy:
            shutil.copyfileobj(source, copy)
        os.replace(half, aside(path))
        os.truncate(path, 0)
    except OSError:
        with contextlib.suppress(OSError):
            half.unlink(missing_ok=True)
        raise


def _is_full(path: Path) -> bool:
    try:
        return path.stat().st_size >= MAX_BYTES
    except FileNotFoundError:
        return False
