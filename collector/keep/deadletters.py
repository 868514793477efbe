"""What the database cannot read is put aside with its reason and its bytes, never dropped.

It goes to the table ``dead_letters``; when the database refuses even that, to a file in ``dead_letters/`` (JSON with
``batch``, ``reason``, ``time`` and ``raw`` in base64). Both are idempotent: a letter is known by the hash of its bytes.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import secrets
from pathlib import Path
from typing import Final

from clickhouse_connect.driver.exceptions import ClickHouseError

from collector.keep.engine import Engine
from collector.keep.errors import EngineDown, sorted_out
from fusebox import happenings
from fusebox.clock import Clock
from fusebox.rundir import write_atomic

BURIED: Final = happenings.declare("dead_letters", logging.ERROR, "a record the database cannot read was put aside")
_MAX_REASON: Final = 2000
_KNOWN: Final = """
SELECT 1 FROM dead_letters
WHERE batch = {batch:String} AND lower(hex(SHA256(concat(batch, raw)))) = {letter:String} LIMIT 1
"""


class DeadLetters:
    """The table, and the folder behind it."""

    def __init__(self, engine: Engine, folder: Path, clock: Clock) -> None:
        self._engine, self._folder, self._clock = engine, folder, clock

    def add(self, batch: str, raw: bytes, reason: str) -> None:
        """Put ``raw`` aside.

        Raises:
            EngineDown: the database cannot work now.
        """
        name = hashlib.sha256(batch.encode() + raw).hexdigest()
        happenings.emit(BURIED, batch=batch, bytes=len(raw), reason=reason[:_MAX_REASON])
        try:
            self._to_table(name, batch, raw, reason[:_MAX_REASON])
        except ClickHouseError as error:
            self._engine.discard()
            if isinstance(sorted_out(error), EngineDown):
                raise sorted_out(error) from error
            self._to_file(name, batch, raw, reason[:_MAX_REASON])

    def _to_table(self, name: str, batch: str, raw: bytes, reason: str) -> None:
        """The engine's memory of tokens is not asked: it may hold one of an attempt whose row never came to be."""
        if self._engine.writer().query(_KNOWN, {"batch": batch, "letter": name}).result_rows:
            return
        self._engine.writer().insert(
            "dead_letters",
            [[int(self._clock.now() * 1_000_000), batch, reason, raw]],
            column_names=["time", "batch", "reason", "raw"],
            settings={"insert_deduplication_token": secrets.token_hex(16)},
        )

    def _to_file(self, name: str, batch: str, raw: bytes, reason: str) -> None:
        letter = {"batch": batch, "reason": reason, "time": self._clock.now(), "raw": base64.b64encode(raw).decode()}
        write_atomic(self._folder / f"{name}.json", json.dumps(letter))
