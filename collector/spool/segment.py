"""Segments: names, order, and the quarantine."""

from __future__ import annotations

import math
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from collector.spool.errors import QUARANTINED
from fusebox import happenings

_NAME: Final = re.compile(r"(\d{20})-([0-9a-f]{8})(?:-[0-9a-f]{4})?\.seg")
_QUARANTINE: Final = "quarantine"
_KEPT_DAMAGED: Final = 8


@dataclass(frozen=True, slots=True, order=True)
class Segment:
    """A segment file. ``base`` is at most the number of its first record and above all of the segment before."""

    base: int
    path: Path
    salt: int

    def size(self) -> int:
        """Bytes on disk; 0 when it was deleted."""
        try:
            return self.path.stat().st_size
        except FileNotFoundError:
            return 0

    def written(self) -> float:
        """Unix seconds of its last write; infinite when it was deleted."""
        try:
            return self.path.stat().st_mtime
        except FileNotFoundError:
            return math.inf


def new_segment(folder: Path, base: int, salt: int, *, repaired: bool = False) -> Segment:
    """A segment that does not exist yet; ``repaired`` ones get a name that cannot collide with any other."""
    suffix = f"-{secrets.token_hex(2)}" if repaired else ""
    return Segment(base, folder / f"{base:020d}-{salt:08x}{suffix}.seg", salt)


def segments(folder: Path) -> list[Segment]:
    """All segments, oldest first; foreign files are not looked at."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    matches = filter(None, map(_NAME.fullmatch, names))
    return sorted(Segment(int(m[1]), folder / m[0], int(m[2], 16)) for m in matches)


def keep_evidence(segment: Segment) -> None:
    """Link a damaged segment into quarantine, so that it outlives its deletion. The first few are kept, no more."""
    folder = segment.path.parent / _QUARANTINE
    folder.mkdir(exist_ok=True, mode=0o700)
    if (folder / segment.path.name).exists():
        return
    kept = len(quarantined(segment.path.parent)) < _KEPT_DAMAGED and _linked(segment.path, folder)
    happenings.emit(QUARANTINED, segment=segment.path.name, kept=kept)


def _linked(path: Path, folder: Path) -> bool:
    try:
        os.link(path, folder / path.name)
    except FileNotFoundError:
        return False
    except FileExistsError:
        return True
    return True


def quarantined(folder: Path) -> list[Path]:
    """The damaged segments of a spool that wait for a person to look at them and delete them."""
    try:
        return sorted((folder / _QUARANTINE).iterdir())
    except FileNotFoundError:
        return []


def set_aside(segment: Segment) -> None:
    """Take a segment out of the spool, into quarantine while there is room."""
    keep_evidence(segment)
    segment.path.unlink(missing_ok=True)
