"""Retention: which files of a chain may go. Whole files only, signed ones only, and nothing that is still in force."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Final

from collector.audit.entry import BadLine, decode
from collector.audit.files import DAMAGED, chain_files, first_seq, lines
from collector.audit.state import State
from fusebox import happenings

_ALL: Final = 1 << 62


def prunable(folder: Path, older_than: float, signed: int) -> int:
    """The number below which every entry may be deleted; 0 when none may.

    Args:
        older_than: Unix seconds.
        signed: entries that a checkpoint vouches for.
    """
    files = chain_files(folder)
    limit = min(signed, in_force(folder)) if len(files) > 1 else 0
    below = 0
    for path, after in itertools.pairwise(files):
        if first_seq(after) > limit or _newest(path) >= older_than:
            break
        below = first_seq(after)
    return below


def delete(folder: Path, below: int) -> None:
    """Delete the files that hold nothing but entries before that number."""
    files = chain_files(folder)
    for path, after in itertools.pairwise(files):
        if first_seq(after) <= below:
            path.unlink()


def in_force(folder: Path) -> int:
    """The first entry that something in force comes from: a kill that nobody lifted, a circuit that is not closed.

    Of a damaged chain that is 0: what cannot be read may be the kill.
    """
    state = State()
    for text in lines(folder):
        try:
            state.learn(decode(text))
        except BadLine as error:
            happenings.emit(DAMAGED, folder=str(folder), bytes=len(text), error=str(error)[:200])
            return 0
    return min(state.standing(), default=_ALL)


def _newest(path: Path) -> float:
    """When the file was last written to; entries are older, or as old."""
    return path.stat().st_mtime
