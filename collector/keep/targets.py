"""The tables that materialized views fill, and how one is completed after an insert that was interrupted.

A view runs within the insert into its source. A kill, or an error in one view, leaves the source with rows and targets
without; within its deduplication window the engine repairs that when the insert is repeated, beyond it nothing does. So
each target carries the batch's id, and what a batch lacks there is selected again through the view's own statement::

    INSERT INTO target (the view's SELECT … FROM (source WHERE batch = B AND key NOT IN (keys of B in the target)) …)

which may be repeated at any time, however far an earlier attempt came. When the engine refuses that, the rows at fault
are found by halving, as in :mod:`collector.keep.insert`; a span that one view cannot take is a dead letter, and stays
in the source and in the other targets. When many rows are refused, or an empty selection too, the view is at fault and
not the data: the batch waits, and nothing is buried.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from clickhouse_connect.driver.client import Client

from collector.keep import rollup
from collector.keep.batch import Batch
from collector.keep.errors import OUT_OF_MEMORY, EngineDown, EngineRefused
from collector.keep.otlp_bytes import Identity, only

T = TypeVar("T")
_MOST_REFUSED: Final = 16
_BEFORE: Final = ("", "")
_BEHIND: Final = ("~", "")
_EVERYBODY: Final = (_BEFORE, _BEHIND)
_NOBODY: Final = (_BEHIND, _BEFORE)
_VIEW: Final = "SELECT as_select FROM system.tables WHERE database = currentDatabase() AND name = {view:String}"
_COLUMNS: Final = """
SELECT arrayStringConcat(groupArray(concat('`', name, '`')), ', ') FROM (SELECT name FROM system.columns
WHERE database = currentDatabase() AND table = {table:String} ORDER BY position)
"""
_ALL: Final = 1 << 40
_TIMES: Final = """
INSERT INTO otel_traces_trace_id_ts (TraceId, Start, End, _received)
SELECT TraceId, min(Timestamp), max(Timestamp), max(_received) FROM otel_traces
WHERE _batch = {batch:String} AND TraceId != '' GROUP BY TraceId
"""
_EMITTERS: Final = "INSERT INTO emitters ({columns}) SELECT {columns} FROM ({select}) WHERE batch = {{batch:String}}"
# A row too many does no harm in either: of a trace the earliest start and the latest end count, numbers are united.


@dataclass(frozen=True, slots=True)
class Rows:
    """A table with rows of spans, and its columns that say of which batch and of which span a row is."""

    table: str
    batch: str = "batch"
    trace: str = "trace_id"
    span: str = "span_id"

    @property
    def key(self) -> str:
        return f"{self.trace}, {self.span}"


SPANS: Final = Rows("otel_traces", "_batch", "TraceId", "SpanId")


@dataclass(frozen=True, slots=True)
class Target:
    """A view's target with one row for each span of the source, or for some of them."""

    rows: Rows
    view: str
    source: Rows = SPANS

    def lacking(self, select: str) -> str:
        """The view's statement over the rows of ``{batch}`` from ``{first}`` to ``{last}`` that the target lacks.

        What narrows the rows comes before the view's own expressions, since one of them may fail on another row; the
        limit is there because the engine moves no condition past one.

        Raises:
            EngineDown: the view reads something else than its source.
        """
        source, target = self.source, self.rows
        stored = f"SELECT {target.key} FROM {target.table} WHERE {target.batch} = {{batch:String}}"
        among = f"concat({source.key}) BETWEEN {{first:String}} AND {{last:String}}"
        lacked = f"{source.batch} = {{batch:String}} AND ({source.key}) NOT IN ({stored})"
        some = f"SELECT * FROM {source.table} WHERE {lacked} AND {among} LIMIT {_ALL}"
        narrowed, found = re.subn(rf"\bFROM (\w+\.)?{source.table}\b", f"FROM ({some}) AS {source.table}", select)
        if found != 1:
            raise EngineDown(f"the view {self.view} does not read {source.table}")
        return narrowed


TARGETS: Final = (
    Target(Rows("agent_events"), "agent_events_mv"),
    Target(Rows("token_ledger"), "token_ledger_mv"),
    Target(Rows("detector_scores"), "detector_scores_mv"),
)
"""Every view of ours whose target has a row for a span, sources before what is made of them. A test holds this list
against the schema."""


class Letters(Protocol):
    """Where what cannot be stored goes."""

    def add(self, batch: str, raw: bytes, reason: str) -> None:
        """Put ``raw`` aside."""


class Do(Protocol):
    """Runs something on the engine's client and raises our errors."""

    def __call__(self, call: Callable[[Client], T], /) -> T: ...


class Completion:
    """Completes the targets of a batch."""

    def __init__(self, do: Do, letters: Letters) -> None:
        self._do, self._letters = do, letters

    def complete(self, batch: Batch) -> None:
        """Write what is lacking in each target.

        Raises:
            EngineDown, EngineRefused: not now; it may be called again.
        """
        for target in TARGETS:
            _Run(self._do, self._letters, batch, target).complete()
        for statement in (_TIMES, self._emitters(), self._minutes()):
            self._do(lambda client: client.command(statement, parameters={"batch": batch.id}))  # noqa: B023

    def _emitters(self) -> str:
        columns, select = text_of(self._do, _COLUMNS, table="emitters"), text_of(self._do, _VIEW, view="emitters_mv")
        return _EMITTERS.format(columns=columns, select=select)

    def _minutes(self) -> str:
        return rollup.correction(text_of(self._do, _VIEW, view=rollup.VIEW))


class _Run:
    """One target of one batch."""

    def __init__(self, do: Do, letters: Letters, batch: Batch, target: Target) -> None:
        self._do, self._letters, self._batch, self._target = do, letters, batch, target
        self._refused: list[tuple[Identity, EngineRefused]] = []
        columns = text_of(do, _COLUMNS, table=target.rows.table)
        select = text_of(do, _VIEW, view=target.view)
        if not (columns and select):
            raise EngineDown(f"{target.view} or {target.rows.table} is missing in the database")
        self._statement = (
            f"INSERT INTO {target.rows.table} ({columns}) SELECT {columns} FROM ({target.lacking(select)})"
        )

    def complete(self) -> None:
        try:
            self._write(*_EVERYBODY)
        except EngineRefused as error:
            if not self._accepts_nothing():
                raise EngineDown(str(error)) from error
            self._divide(self._ids(), error)
            self._bury()

    def _write(self, first: Identity, last: Identity) -> None:
        """Write what the spans from ``first`` to ``last`` lack (a list of them would be too long for a URL)."""
        parameters = {"batch": self._batch.id, "first": "".join(first), "last": "".join(last)}
        self._do(lambda client: client.command(self._statement, parameters=parameters))

    def _write_some(self, ids: Sequence[Identity]) -> None:
        try:
            self._write(ids[0], ids[-1])
        except EngineRefused as error:
            self._divide(ids, error)

    def _divide(self, ids: Sequence[Identity], error: EngineRefused) -> None:
        if len(ids) > 1:
            middle = len(ids) // 2
            self._write_some(ids[:middle])
            self._write_some(ids[middle:])
        elif error.code == OUT_OF_MEMORY:
            raise EngineDown(str(error)) from error
        else:
            self._refused.append((ids[0], error))
            if len(self._refused) > _MOST_REFUSED:
                raise EngineDown(f"{self._target.view} refuses too many spans of a batch: {error}") from error

    def _bury(self) -> None:
        for span, error in self._refused:
            for payload in self._batch.payloads:
                raw = only(payload, frozenset({span}))
                if raw:
                    self._letters.add(self._batch.id, raw, f"{self._target.view}: {error}")

    def _ids(self) -> list[Identity]:
        """Every span of the batch in the source, in order."""
        source = self._target.source
        statement = f"SELECT DISTINCT {source.key} FROM {source.table} WHERE {source.batch} = {{batch:String}}"
        rows = self._do(lambda client: client.query(statement, {"batch": self._batch.id}).result_rows)
        return sorted((str(trace), str(span)) for trace, span in rows)

    def _accepts_nothing(self) -> bool:
        """True when no row at all passes: table and view are in order, so the refused rows are at fault."""
        try:
            self._write(*_NOBODY)
        except EngineRefused:
            return False
        return True


def text_of(do: Do, statement: str, **parameters: object) -> str:
    """The first column of the first row, as text; "" when there is none."""
    return str(do(lambda client: next(iter(client.query(statement, parameters).result_rows), ("",))[0]))
