"""*keep*'s parts in this process: an engine with the schema, and the inserter, without a spool."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from collector import schema
from collector.audit.journal import Journal
from collector.keep.batch import Batch
from collector.keep.deadletters import DeadLetters
from collector.keep.engine import Engine
from collector.keep.insert import Inserter
from collector.keep.replay import Replay
from fusebox.clock import ManualClock
from tests.collector.prebuilt import database


class Bench:
    """One chDB folder (a process has one at a time), or a server."""

    def __init__(self, folder: Path, url: str | None = None) -> None:
        self.engine = Engine(None, url) if url else Engine(database(folder / "clickhouse"))
        self.letters = folder / "dead_letters"
        self.journal = folder / "journal"
        self.inserter = Inserter(self.engine, DeadLetters(self.engine, self.letters, ManualClock()))
        self._number = 0

    def __enter__(self) -> Bench:
        schema.apply(self.engine.writer())
        return self

    def __exit__(self, *_: object) -> None:
        self.engine.close()

    def batch(self, *payloads: bytes, retried: bool = False, id: str = "") -> Batch:
        """A batch with an id of its own."""
        self._number += 1
        return Batch(
            id or f"batch-{self._number}", self._number, self._number, 1_760_000_000 * 10**9, payloads, retried
        )

    def store(self, *payloads: bytes) -> Batch:
        """Write the payloads as one batch."""
        batch = self.batch(*payloads)
        self.inserter.write(batch)
        return batch

    def rows(self, statement: str, **parameters: Any) -> list[tuple[Any, ...]]:
        """Rows, as tuples."""
        return [tuple(row) for row in self.engine.writer().query(statement, parameters or None).result_rows]

    def one(self, statement: str) -> Any:
        """The first column of the first row."""
        return self.rows(statement)[0][0]


def replay_of(bench: Bench) -> Replay:
    """The part that replays dead letters, with a journal beside them."""
    clock = ManualClock()
    return Replay(bench.engine, bench.letters, clock, Journal(bench.journal, clock, "keep"))
