"""Journals to verify, and verifications of them without a database."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from collector.audit.checkpoint import Checkpoint
from collector.audit.entry import Entry
from collector.audit.report import Report
from collector.audit.verify import Copy, Wish, snapshots, verify


def verified(
    root: Path, rows: Mapping[str, Sequence[Entry]] | None = None, *, given: Mapping[str, int] | None = None,
    keys: Mapping[str, str] | None = None, remembered: Sequence[Checkpoint] = (), now: float | None = None,
) -> Report:  # fmt: skip
    """The verdict on the chains below ``root``; ``rows`` are what the copy holds of each writer."""
    copy = None
    if rows is not None:
        sizes = {writer: max(entry.seq for entry in held) + 1 for writer, held in rows.items() if held}
        sorted_rows = {writer: sorted(held, key=lambda entry: entry.seq) for writer, held in rows.items()}
        copy = Copy(
            sizes, sizes if given is None else given,
            lambda writer, below: (entry for entry in sorted_rows.get(writer, ()) if entry.seq < below),
        )  # fmt: skip
    wish = Wish(snapshots(root), copy, time.time() if now is None else now, keys or {}, remembered)
    return verify(wish, lambda _entry: None, lambda _writer, lines, _count: lines).report
