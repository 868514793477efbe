"""*keep* alone, from spool to visible, beside the Python route: ``python -m benchmarks.keep_alone ROUNDS REQUESTS``.

A real spool holds stamped records. Both routes read it, promise a batch, insert it into the same tables of one chDB
folder and move the cursor; they take turns, batch by batch, so that merges hinder both alike. Prints, as JSON, the
seconds of each batch.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Final, Protocol

from benchmarks.corpus import Corpus
from benchmarks.python_route import PythonRoute
from collector import schema
from collector.keep.batch import Batch, Batches, BatchSettings, Promises
from collector.keep.deadletters import DeadLetters
from collector.keep.engine import Engine
from collector.keep.insert import Inserter
from collector.receive.decode import Encoding
from collector.receive.intake import Intake
from collector.receive.repeats import Repeats
from collector.receive.signals import TRACES
from collector.spool import Reader, Writer
from collector.tokens import Principal
from fusebox.clock import system_clock

_SPOOL_BYTES: Final = 8 << 30
_BATCH_BYTES: Final = 1 << 30


class Route(Protocol):
    """A way into the tables."""

    def write(self, batch: Batch) -> None: ...


def fill(folder: Path, count: int) -> None:
    """Receive so many bodies."""
    clock = system_clock()
    writer = Writer(folder, _SPOOL_BYTES)
    intake = Intake(writer, clock, Repeats(clock))
    corpus, sender = Corpus(2, clock.now()), Principal("local", "default", frozenset({"*"}))
    for _ in range(count):
        intake.take(corpus.body(), Encoding.PROTOBUF, sender, TRACES)
    writer.close()


def take_turns(folder: Path, rounds: int, requests: int) -> dict[str, list[float]]:
    """Seconds of each batch; the first of each route warms up and is dropped."""
    clock, engine = system_clock(), Engine(folder / "clickhouse")
    schema.apply(engine.writer())
    routes: dict[str, Route] = {
        "engine": Inserter(engine, DeadLetters(engine, folder / "dead_letters", clock)),
        "python": PythonRoute(engine),
    }
    promises = folder / "batches"
    promises.mkdir()
    settings = BatchSettings(max_records=requests, max_bytes=_BATCH_BYTES)
    batches = Batches(Reader(folder / "spool", "keep"), Promises(promises), settings, clock)
    taken: dict[str, list[float]] = {name: [] for name in routes}
    for _ in range(rounds + 1):
        for name, route in routes.items():
            started = time.perf_counter()
            batch = batches.next()
            assert batch is not None
            assert len(batch.payloads) == requests
            route.write(batch)
            batches.done(batch)
            taken[name].append(time.perf_counter() - started)
    engine.close()
    return {name: seconds[1:] for name, seconds in taken.items()}


def run() -> None:
    rounds, requests = int(sys.argv[1]), int(sys.argv[2])
    with tempfile.TemporaryDirectory(prefix="fusebox-bench-") as folder:
        fill(Path(folder) / "spool", 2 * (rounds + 1) * requests)
        print(json.dumps(take_turns(Path(folder), rounds, requests)))


if __name__ == "__main__":
    run()
