"""The public loop data: real agent runs and fleet streams, from a folder outside the project."""

from __future__ import annotations

import gzip
import json
import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from collector.backtest.common import Happened, happened

ENV: Final = "FUSEBOX_LOOPS_DATA"
_DEFAULT: Final = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "loops"

Place = tuple[str, int]
"""A run (stream or trajectory) and the number of an event in it."""


@dataclass
class Public:
    """Events as a detector may see them, and beside them what only the scorer may see."""

    real: list[Happened] = field(default_factory=list)
    labels: dict[str, dict[str, Any]] = field(default_factory=dict)
    streams: list[Happened] = field(default_factory=list)
    marks: dict[Place, tuple[str, str, str]] = field(default_factory=dict)
    """Label, kind and incident of each event of a stream."""


def folder() -> Path | None:
    """Where the data is, or None: the environment says it, else it lies beside the project."""
    found = Path(os.environ.get(ENV) or _DEFAULT)
    return found if (found / "real_events.jsonl.gz").exists() else None


def load(where: Path) -> Public:
    """Read it all; each trajectory is a session of its own."""
    data = Public()
    data.labels = {row["trajectory"]: row for row in rows(where / "real_labels.jsonl.gz")}
    for row in rows(where / "real_events.jsonl.gz"):
        data.real.append(happened({**row, "session": row["trajectory"]}))
    for row in rows(where / "streams.jsonl.gz"):
        data.marks[row["stream"], row["seq"]] = (row["label"], row["kind"] or "", row["incident"] or "")
        data.streams.append(happened(row))
    return data


def rows(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a gzipped JSON Lines file."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def incidents(data: Public) -> dict[tuple[str, str, str], list[Happened]]:
    """The events of each incident and burst, by label, kind and name."""
    found: dict[tuple[str, str, str], list[Happened]] = defaultdict(list)
    for one in data.streams:
        label, kind, incident = data.marks[str(one.stream), int(one.seq or 0)]
        if incident:
            found[label, kind, incident].append(one)
    return found
