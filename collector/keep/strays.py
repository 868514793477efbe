"""Strays: rows of a view's target whose span its source lacks, because the insert failed when only the target had it.

They go before the source gets the span again, which would write them once more.

The ledger outlives the spans: when a dead letter is replayed late, the other spans of its batch may be gone from the
source, and their rows are none. So for a part of a batch only its own spans' rows are.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from collector.keep.batch import Batch
from collector.keep.errors import EngineDown, EngineRefused
from collector.keep.otlp_bytes import identities
from collector.keep.targets import TARGETS, Do, Target, text_of


def undo(do: Do, batch: Batch) -> None:
    """Take a batch's strays out of the targets.

    Raises:
        EngineDown: not now; it may be called again.
    """
    try:
        for target in TARGETS:
            _undo(do, batch, target)
    except EngineRefused as error:
        raise EngineDown(str(error)) from error


def _undo(do: Do, batch: Batch, target: Target) -> None:
    table, source, rows = target.rows.table, target.source, target.rows
    stored = f"SELECT {source.key} FROM {source.table} WHERE {source.batch} = {{batch:String}}"
    strays = f"{rows.batch} = {{batch:String}} AND ({rows.key}) NOT IN ({stored})"
    asked: dict[str, Any] = {"batch": batch.id}
    if not batch.whole:
        strays += f" AND concat({rows.key}) IN {{spans:Array(String)}}"
        asked["spans"] = _spans(batch)
    if text_of(do, f"SELECT count() FROM {table} WHERE {strays}", **asked) != "0":
        statement = f"ALTER TABLE {table} DELETE WHERE {strays} SETTINGS mutations_sync = 1"
        do(lambda client: client.command(statement, asked))


def _spans(batch: Batch) -> list[str]:
    found: list[str] = []
    for payload in batch.payloads:
        with suppress(ValueError):  # no record, so no view has made anything of it
            found += map("".join, identities(payload))
    return found
