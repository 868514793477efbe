"""A database of tens of millions of spans, for ``benchmarks.query`` and ``benchmarks.scale``.

A first lot is stored as *keep* stores it: bodies of ``benchmarks.corpus``, stamped, through the door and the views. The
engine then copies it over itself, each copy with ids of its own (trace, span, parent, message, conversation,
fingerprints: hashed with the copy's number) and at a time of its own, spread over :data:`DAYS` days; all views fire.
What a copy does not change are names and texts, so disk sizes here flatter, and are not reported.

A folder that is kept (``--data DIR``) goes on growing from where it was, after an interruption, too; both benchmarks
may use it, one after the other. Of copies that were being written when somebody interrupted, a part is there.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from rich.progress import Progress

from benchmarks.corpus import SPANS, Corpus
from collector import schema
from collector.keep.batch import Batch
from collector.keep.deadletters import DeadLetters
from collector.keep.engine import Engine
from collector.keep.insert import Inserter
from collector.receive.decode import Encoding
from collector.receive.intake import Intake
from collector.receive.repeats import Repeats
from collector.receive.signals import TRACES
from collector.tokens import Principal
from fusebox.clock import system_clock

DAYS: Final = 3.0
_BODIES: Final = 128
_REQUESTS: Final = 16
_LOT: Final = [f"lot-{first}" for first in range(0, _BODIES, _REQUESTS)]
"""The batches of the first lot; a copy's are these with its number behind."""
_SETTLE_S: Final = 300.0
_IDS: Final = (
    "messaging.message.id", "gen_ai.conversation.id", "gen_ai.response.id", "gen_ai.tool.call.id", "fusebox.workflow",
    "fusebox.request.hash", "fusebox.request.simhash", "fusebox.result.hash",
)  # fmt: skip
_COLUMNS: Final = """
SELECT arrayStringConcat(groupArray(concat('`', name, '`')), ', ') FROM (
    SELECT name FROM system.columns WHERE database = currentDatabase() AND table = 'otel_traces' ORDER BY position)
"""
_OF_LOT: Final = "SELECT count(), toFloat64(max(Timestamp)) FROM otel_traces WHERE _batch IN {lot:Array(String)}"
_COPIES: Final = """
SELECT max(toUInt64OrZero(splitByChar('-', _batch)[3])) FROM otel_traces WHERE startsWith(_batch, 'lot-0-')
"""
_COPY: Final = """
INSERT INTO otel_traces ({columns})
WITH
    arrayJoin(range({{first:UInt64}}, {{last:UInt64}})) AS copy,
    toIntervalMillisecond(copy * {{step:UInt64}}) AS back,
    id -> if(id = '', '', lower(hex(sipHash64(id, copy)))) AS fresh
SELECT * REPLACE (
    Timestamp - back AS Timestamp, _received - back AS _received,
    concat(fresh(TraceId), fresh(concat(TraceId, '-'))) AS TraceId, fresh(SpanId) AS SpanId,
    fresh(ParentSpanId) AS ParentSpanId, concat(_batch, '-', toString(copy)) AS _batch,
    mapApply((k, v) -> (k, if(k IN {{ids:Array(String)}}, fresh(v), v)), SpanAttributes) AS SpanAttributes)
FROM (SELECT * FROM otel_traces WHERE _batch IN {{lot:Array(String)}})
SETTINGS prefer_column_name_to_alias = 1
"""


class _List:
    """The part of a spool's writer that an intake needs."""

    def __init__(self) -> None:
        self.records: list[bytes] = []

    def append(self, payload: bytes) -> int:
        self.records.append(payload)
        return len(self.records)


def records(count: int, seed: int) -> list[bytes]:
    """So many records, as *receive* puts them into the spool."""
    spool, clock = _List(), system_clock()
    intake, corpus = Intake(spool, clock, Repeats(clock)), Corpus(seed, clock.now())
    sender = Principal("local", "default", frozenset({"*"}))
    for _ in range(count):
        intake.take(corpus.body(), Encoding.PROTOBUF, sender, TRACES)
    return spool.records


class Warehouse:
    """One chDB folder that grows; a process has one at a time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "clickhouse"
        self.engine = Engine(self.folder)
        self._clock = system_clock()
        schema.apply(self.engine.writer())
        self._inserter = Inserter(self.engine, DeadLetters(self.engine, folder / "dead_letters", self._clock))
        self._copies = int(self.ask(_COPIES)[0][0])

    def rows(self) -> int:
        """Spans stored."""
        return int(self.ask("SELECT count() FROM otel_traces")[0][0])

    def ask(self, statement: str, **parameters: Any) -> list[Any]:
        """Rows of a statement, without the limits of the port."""
        return list(self.engine.writer().query(statement, parameters or None).result_rows)

    def store(self, id: str, payloads: list[bytes]) -> None:
        """Write one batch as *keep* does."""
        self._inserter.write(Batch(id, 1, len(payloads), int(self._clock.now() * 1e9), tuple(payloads)))

    def grow(self, rows: int) -> None:
        """Copy the first lot until there are at least so many spans, then let merges settle.

        Raises:
            SystemExit: the folder's first lot was interrupted.
        """
        if not self.rows():
            self._first_lot()
        if self.ask(_OF_LOT, lot=_LOT)[0][0] != _BODIES * SPANS:
            raise SystemExit(f"{self.folder} was interrupted before its first lot was in; delete it")
        columns = self.ask(_COLUMNS)[0][0]
        lot = _BODIES * SPANS
        with Progress() as progress:
            task = progress.add_task(f"to {rows / 1e6:.0f} million spans", total=rows, completed=self.rows())
            while (there := self.rows()) < rows:
                more = max(1, min(8, (rows - there) // lot))
                self._copy(columns, more)
                assert self.rows() == there + more * lot
                progress.update(task, completed=there + more * lot)
        self.settle()

    def newest(self) -> float:
        """Unix seconds at which the first lot ends: the copies lie before."""
        return float(self.ask(_OF_LOT, lot=_LOT)[0][1])

    def settle(self) -> None:
        """Wait until no merge runs."""
        deadline = time.monotonic() + _SETTLE_S
        while self.ask("SELECT count() FROM system.merges")[0][0] and time.monotonic() < deadline:
            time.sleep(0.2)

    def _first_lot(self) -> None:
        made = records(_BODIES, seed=4)
        for id, first in zip(_LOT, range(0, _BODIES, _REQUESTS), strict=True):
            self.store(id, made[first : first + _REQUESTS])

    def _copy(self, columns: str, more: int) -> None:
        step = int(DAYS * 86_400_000 / 512)
        parameters = {
            "first": self._copies + 1, "last": self._copies + 1 + more, "step": step, "ids": list(_IDS),
            "lot": _LOT,
        }  # fmt: skip
        self.engine.writer().command(
            _COPY.format(columns=columns),
            parameters=parameters,
            settings={"max_partitions_per_insert_block": 0, "max_insert_threads": 2},
        )
        self._copies += more


@contextmanager
def warehouse(kept: Path | None = None) -> Iterator[Warehouse]:
    """Opened in the folder that is kept, or in one that goes when it is closed in the end."""
    with tempfile.TemporaryDirectory(prefix="fusebox-bench-") as passing:
        folder = kept or Path(passing)
        folder.mkdir(parents=True, exist_ok=True)
        opened = Warehouse(folder)
        try:
            yield opened
        finally:
            opened.engine.close()
