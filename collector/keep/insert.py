"""Writing a batch so that each span is once in ``otel_traces`` and once in each view's target, each log record once in
``otel_logs``.

First attempt: all members in one insert, with the batch's id as deduplication token. The engine parses the Protobuf
and the materialized views fill their targets within the same insert; a partial failure leaves rows behind.

::

    inserted ◄──────────── ok ────────────── first attempt
       ▲                                          │ error, or killed: the outcome is unknown
       │ targets completed                        ▼
    completing ◄── nothing missing ────────── probing  (count what carries this _batch)
       ▲                                          │ some or all missing
       └────── ok ──── inserting what is missing ◄┘
                              │ refused although the engine accepts an empty batch: the data is at fault
                              ▼
                         bisecting ── one span or log record (or unreadable bytes) left ──► dead letter

A retry of everything uses the batch's token, which the engine also remembers; a retry of a part uses the hash of that
part. Probing covers what the token does not: a deduplication window that was overrun or lost in a power cut, and one
that holds a token whose rows never came to be (the engine remembers it before the part has its name, and a disk may
fail between): what is still missing after a retry is inserted under a token of its own.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError

from collector import schema
from collector.keep.batch import Batch
from collector.keep.counting import RowCount
from collector.keep.engine import Engine
from collector.keep.errors import OUT_OF_MEMORY, EngineDown, EngineRefused, sorted_out
from collector.keep.otlp_bytes import LOG, Identity, fixed64_field, framed, halves, holds_logs, without
from collector.keep.strays import undo
from collector.keep.targets import Completion, Letters
from fusebox import happenings
from fusebox.protobuf import bytes_field

T = TypeVar("T")
_BATCH_FIELD: Final = 1000
_FORMED_FIELD: Final = 1001
_DOORS: Final = {False: "otlp_ingest", True: "otlp_ingest_logs"}
"""By whether a batch holds logs."""
STORED: Final = happenings.declare("records_stored", logging.DEBUG, "records of the spool written to the database")
COMPLETED: Final = happenings.declare(
    "batch_completed", logging.WARNING, "an interrupted batch was found half-written and completed"
)

_PRESENT: Final = """
SELECT DISTINCT TraceId, SpanId FROM otel_traces WHERE _batch = {batch:String}
UNION ALL SELECT {log:String}, _id FROM otel_logs WHERE _batch = {batch:String}
"""
_RUNNING: Final = "SELECT count() FROM system.processes WHERE startsWith(query_id, {prefix:String})"


class Inserter:
    """Writes batches; use it from one thread.

    Args:
        letters: where what the database cannot take goes.
        counts: count what is written; one of several inserters does, since it counts what all have written.
    """

    def __init__(self, engine: Engine, letters: Letters, *, counts: bool = True) -> None:
        self._engine = engine
        self._count = RowCount(self._do) if counts else None
        self._letters = letters
        self._completion = Completion(self._do, letters)
        self._attempt = 0
        self._settings: dict[str, object] = {
            **engine.schema_settings(schema.proto(), schema.MESSAGE),
            **engine.speed_settings,
            "deduplicate_blocks_in_dependent_materialized_views": 1,
            "max_partitions_per_insert_block": 0,
            "async_insert": 0,
        }

    @property
    def rows(self) -> dict[str, int]:
        """How many rows each table had after the last batch; empty before the first."""
        return self._count.rows if self._count is not None else {}

    def write(self, batch: Batch) -> None:
        """Make every readable span and log record stored exactly once; what is unreadable becomes a dead letter.

        Raises:
            EngineDown, EngineRefused: not now; call again with the batch marked as ``retried``.
        """
        if self._count is not None:
            self._count.begin()
        payloads = [payload for payload in batch.payloads if self._sound(batch, payload)]
        if batch.retried:
            self._settle(batch, payloads)
        elif payloads:
            self._write_all(batch, payloads)
        happenings.emit(STORED, count=len(batch.payloads))
        if self._count is not None:
            self._count.count()

    def _write_all(self, batch: Batch, payloads: list[bytes]) -> None:
        try:
            self._insert(batch, payloads)
        except EngineRefused as error:
            if not self._accepts_nothing(batch):
                raise EngineDown(str(error)) from error
            self._settle(batch, payloads)

    def _settle(self, batch: Batch, payloads: list[bytes]) -> None:
        """Find out what an attempt left behind and write the rest."""
        self._await_silence(batch)
        undo(self._do, batch)
        self._write_missing(batch, payloads)
        self._completion.complete(batch)

    def _write_missing(self, batch: Batch, payloads: list[bytes]) -> None:
        missing = self._missing(batch, payloads)
        if not missing:
            return
        try:
            self._insert(batch, missing)
        except EngineRefused as error:
            self._divide(batch, missing, error)
        else:
            self._insist(batch, missing)

    def _insist(self, batch: Batch, payloads: list[bytes]) -> None:
        """Write what the engine wrongly takes for a repetition."""
        left = _without(payloads, self._present(batch))
        if left:
            undo(self._do, batch)
            self._insert(batch, left, secrets.token_hex(16))

    def _divide(self, batch: Batch, payloads: list[bytes], error: EngineRefused) -> None:
        if not self._accepts_nothing(batch):
            raise EngineDown(str(error)) from error
        parts = halves(payloads)
        if parts:
            for part in parts:
                self._write_missing(batch, part)
        elif error.code == OUT_OF_MEMORY:
            raise EngineDown(str(error)) from error
        else:
            for left in self._missing(batch, payloads):  # its row may be in: then a view refused it, see completion
                self._letters.add(batch.id, left, str(error))

    def _missing(self, batch: Batch, payloads: list[bytes]) -> list[bytes]:
        present = self._present(batch)
        if present:
            happenings.emit(COMPLETED, batch=batch.id, present=len(present))
        return _without(payloads, present)

    def _present(self, batch: Batch) -> frozenset[Identity]:
        rows = self._do(lambda client: client.query(_PRESENT, {"batch": batch.id, "log": LOG}).result_rows)
        return frozenset((first, second) for first, second in rows)

    def _insert(self, batch: Batch, payloads: Sequence[bytes], token: str = "") -> None:
        tail = bytes_field(_BATCH_FIELD, batch.id.encode()) + fixed64_field(_FORMED_FIELD, batch.formed)
        whole = batch.whole and tuple(payloads) == batch.payloads
        token = token or (batch.id if whole else _digest(payloads))
        self._attempt += 1
        settings = self._settings | {
            "insert_deduplication_token": token, "query_id": f"{_query_prefix(batch)}-{self._attempt}"
        }  # fmt: skip
        door = _DOORS[any(map(holds_logs, batch.payloads))]
        block = self._engine.block((*payloads, tail))
        self._do(lambda client: client.raw_insert(door, insert_block=block, fmt="ProtobufSingle", settings=settings))

    def _accepts_nothing(self, batch: Batch) -> bool:
        """True when an empty batch passes: tables, views and rights are in order, so the refused data is at fault."""
        try:
            self._insert(batch, ())
        except EngineRefused:
            return False
        return True

    def _await_silence(self, batch: Batch) -> None:
        """A server may still be busy with an attempt whose answer was lost; its rows cannot be counted yet."""
        if self._engine.embedded:
            return
        running = self._do(lambda client: client.command(_RUNNING, parameters={"prefix": _query_prefix(batch)}))
        if running:
            raise EngineDown("an earlier insert of this batch is still running")

    def _sound(self, batch: Batch, payload: bytes) -> bool:
        if framed(payload):
            return True
        self._letters.add(batch.id, payload, "the record is neither spans nor logs")
        return False

    def _do(self, call: Callable[[Client], T]) -> T:
        try:
            return call(self._engine.writer())
        except ClickHouseError as error:
            self._engine.discard()
            raise sorted_out(error) from error


def _digest(payloads: Sequence[bytes]) -> str:
    digest = hashlib.sha256()
    for payload in payloads:
        digest.update(payload)
    return digest.hexdigest()


def _query_prefix(batch: Batch) -> str:
    return f"fusebox-keep-{batch.id[:32]}"


def _without(payloads: list[bytes], present: frozenset[Identity]) -> list[bytes]:
    return [rest for payload in payloads if (rest := _rest(payload, present))] if present else payloads


def _rest(payload: bytes, present: frozenset[Identity]) -> bytes:
    try:
        return without(payload, present)
    except ValueError:
        return payload  # the engine will refuse it and say why
