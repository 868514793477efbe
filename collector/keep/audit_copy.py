"""Copies the journals of all writers into ``audit_log``, and does to the table what entries order.

The journals' files are the record; the table is for SQL. Only whole lines are read. The copy goes on behind the highest
``seq`` that the table has of each writer, so a restart neither repeats nor skips. ``<data_dir>/journal/copied.json``
says durably how many entries of each writer the table was given: a verification knows from it which rows are late and
which were deleted. Before it says so the table is asked: the engine may take rows for a repetition of some that it
never had (it remembers an insert's token before the part has its name, and a disk may fail between).

An ``erasure`` takes a payload from the journal's file and from the table, a ``retention`` old rows from the table. Both
are done before the row of the entry itself is inserted, so what a crash cut short is done again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import secrets
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from clickhouse_connect.driver.exceptions import ClickHouseError

from collector.audit import copied
from collector.audit.entry import COLUMNS, BadLine, Entry, decode
from collector.audit.erasure import erase
from collector.audit.files import chain_files, writers
from collector.keep.engine import Engine
from fusebox import happenings

_INTERVAL_S: Final = 0.25
_AT_ONCE: Final = 1000
_LONGEST_PAUSE_S: Final = 5.0
_STUCK_S: Final = 30.0
_ORDERS: Final = ("erasure", "retention")
_TABLE: Final = "audit_log"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST: Final = 1 << 53
_THERE: Final = """
SELECT writer, seq FROM audit_log
WHERE writer IN {writers:Array(String)} AND seq BETWEEN {first:UInt64} AND {last:UInt64} AND payload_hash != ''
"""

COPY_DELAYED: Final = happenings.declare("audit_copy_delayed", logging.WARNING, "the journal could not be copied yet")
UNREADABLE: Final = happenings.declare("audit_line_unreadable", logging.ERROR, "a line of the journal is no entry")


class AuditCopy:
    """One thread that tails every chain below ``root``."""

    def __init__(self, engine: Engine, root: Path) -> None:
        self._engine, self._root = engine, root
        self._offsets: dict[Path, int] = {}
        self._sizes: dict[str, int] | None = None
        self._since: float | None = None
        self._error = "the database does not answer"
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="audit-copy", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout: float = 10.0) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout)

    def trouble(self) -> str:
        """Empty while the journal is copied, else why it has not been for half a minute: hanging is not failing."""
        since = self._since
        if since is None or time.monotonic() - since <= _STUCK_S:
            return ""
        return f"the journal is not copied into audit_log: {self._error}"

    def step(self) -> int:
        """Copy what is new; how many entries that were.

        Raises:
            ClickHouseError, EngineDown: the database did not take them; call again.
            OSError: a file could not be read or written; call again.
        """
        if self._sizes is None:
            self._sizes = self._copied()
        sizes = self._sizes
        files = [path for writer in writers(self._root) for path in chain_files(self._root / writer)]
        return sum(self._copy(path, sizes) for path in files)

    def _run(self) -> None:
        pause = _INTERVAL_S
        while not self._stopping.wait(pause):
            self._since = self._since or time.monotonic()
            try:
                self.step()
                self._since, pause = None, _INTERVAL_S
            except Exception as error:  # whatever it was, a later round may work; nobody else copies
                self._failed((str(error) or repr(error))[:500])
                pause = min(_LONGEST_PAUSE_S, pause * 2)

    def _failed(self, error: str) -> None:
        happenings.emit(COPY_DELAYED, error=error)
        self._error, self._sizes = error, None
        self._offsets.clear()
        with suppress(ClickHouseError):
            self._engine.discard()

    def _copied(self) -> dict[str, int]:
        """How many entries of each writer the table has been given."""
        rows = self._engine.writer().query(
            "SELECT writer, max(seq) + 1 FROM audit_log WHERE payload_hash != '' GROUP BY writer"
        )
        return {str(writer): int(size) for writer, size in rows.result_rows}

    def _copy(self, path: Path, sizes: dict[str, int]) -> int:
        lines, end = self._new_lines(path)
        found = [entry for line in lines if (entry := _entry(path, line)) and entry.seq >= sizes.get(entry.writer, 0)]
        for portion in _portions(found):
            self._take(portion, sizes)
        self._offsets[path] = end
        return len(found)

    def _new_lines(self, path: Path) -> tuple[list[bytes], int]:
        """Whole lines behind what was read, and where they end."""
        with path.open("rb") as file:
            offset = min(self._offsets.get(path, 0), path.stat().st_size)
            file.seek(offset)
            data = file.read()
            if data:
                os.fdatasync(
                    file.fileno()
                )  # the writer may not have got to it, and the copy must not outlive the record
        whole = data.rfind(b"\n") + 1
        return data[:whole].split(b"\n")[:-1], offset + whole

    def _take(self, entries: list[Entry], sizes: dict[str, int]) -> None:
        for entry in entries:
            try:
                self._obey(entry)
            except (ValueError, KeyError, TypeError) as error:
                happenings.emit(UNREADABLE, file=entry.writer, error=f"entry {entry.seq} orders nothing: {error!r}")
        self._insert(entries, hashlib.sha256("".join(entry.hash for entry in entries).encode()).hexdigest())
        if left := self._missing(entries):
            self._insert(left, secrets.token_hex(16))
        sizes.update(_ends(entries))
        copied.write(self._root, sizes)

    def _insert(self, entries: list[Entry], token: str) -> None:
        self._engine.writer().insert(
            _TABLE, [row(entry) for entry in entries], column_names=list(COLUMNS),
            settings={"insert_deduplication_token": token},
        )  # fmt: skip

    def _missing(self, entries: list[Entry]) -> list[Entry]:
        """Those that the table does not have."""
        numbers = [entry.seq for entry in entries]
        asked = {"writers": sorted({entry.writer for entry in entries}), "first": min(numbers), "last": max(numbers)}
        there = set(map(tuple, self._engine.writer().query(_THERE, asked).result_rows))
        return [entry for entry in entries if (entry.writer, entry.seq) not in there]

    def _obey(self, entry: Entry) -> None:
        if entry.kind == "erasure":
            order = json.loads(entry.payload)
            erase(self._root / str(order["writer"]), int(order["seq"]), str(order["payload_hash"]))
            self._change(
                "UPDATE payload = '' WHERE writer = {writer:String} AND seq = {seq:UInt64} "
                "AND payload_hash = {hash:String}",
                writer=order["writer"], seq=order["seq"], hash=order["payload_hash"],
            )  # fmt: skip
        elif entry.kind == "retention":
            self._change(
                "DELETE WHERE writer = {writer:String} AND seq < {below:UInt64}",
                writer=entry.writer, below=int(json.loads(entry.payload)["below"]),
            )  # fmt: skip

    def _change(self, what: str, **parameters: Any) -> None:
        self._engine.writer().command(
            f"ALTER TABLE {_TABLE} {what}", parameters=parameters, settings={"mutations_sync": 1}
        )


def row(entry: Entry) -> list[Any]:
    """The entry as a row of the table."""
    moment = _EPOCH + timedelta(microseconds=entry.time)
    return [*entry[:2], moment, *entry[3:9], entry.payload.decode(), *entry[10:]]


def _portions(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    """Some at once; an order begins anew, since what it orders is done to rows that are in the table."""
    portion: list[Entry] = []
    for entry in entries:
        if portion and (len(portion) == _AT_ONCE or entry.kind in _ORDERS):
            yield portion
            portion = []
        portion.append(entry)
    if portion:
        yield portion


def _ends(entries: Iterable[Entry]) -> dict[str, int]:
    return {entry.writer: entry.seq + 1 for entry in entries}


def _entry(path: Path, line: bytes) -> Entry | None:
    try:
        entry = decode(line)
        if not 0 <= entry.time < _LATEST:
            raise BadLine("its time is no date")
        if not all(isinstance(text, str) for text in (*entry[3:9], *entry[10:], entry.writer)):
            raise BadLine("what should be text is none")
        return entry
    except BadLine as error:
        happenings.emit(UNREADABLE, file=str(path), error=str(error)[:200])
        return None
