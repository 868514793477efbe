"""Batches: which records of the spool go into the database together, fixed on disk before the first attempt.

Format of ``batches/promise.json`` (one file, replaced atomically, fsynced with its folder)::

    {"first": n, "last": n, "id": "<sha-256 hex>", "formed": <Unix nanoseconds>, "sum": "<xxh64 of the others in hex>"}

``id`` is the SHA-256 of first, last and the members' payloads. It is the batch's ``_batch`` in every table and, for an
insert of all its members, the deduplication token.

Invariants
    * At most one batch is promised. Its members are retried as they are, never re-cut: a batch of other members under
      another token would store again what the failed attempt had stored.
    * The promise is on disk before the first insert and stays until the next one replaces it. A promise whose last
      record the cursor has passed is stale.
    * Whatever precedes a promise's first record was stored before. So the promise is also a second word on how far the
      cursor was, should that be damaged: nothing is stored again. A spool whose first record precedes a promise, with
      its cursor intact, is another spool than the promise was made of.
    * ``formed`` is part of the promise because a row's partition may depend on it, and a retry must not move rows.

No damage keeps *keep* from starting: a promise that cannot be read is put aside (``promise.damaged``) with an alarm; a
batch that was under way at that moment may then be stored twice.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol

import xxhash

from collector.spool.record import Record
from fusebox import happenings
from fusebox.clock import Clock
from fusebox.rundir import write_atomic

_NS: Final = 1_000_000_000
CHANGED: Final = happenings.declare(
    "batch_changed", logging.ERROR, "members of a promised batch were damaged in the spool; the intact ones are kept"
)
DAMAGED: Final = happenings.declare(
    "promise_damaged", logging.ERROR, "the file that names the batch under way was damaged and put aside"
)


class Source(Protocol):
    """The part of :class:`collector.spool.Reader` that batches are made from."""

    def read(self, max_records: int, max_bytes: int) -> list[Record]:
        """The next records; never waits."""

    def commit(self, number: int) -> None:
        """Everything up to ``number`` is done."""

    def lag(self) -> int:
        """Bytes not read yet; any thread may ask."""

    @property
    def astray(self) -> bool:
        """True when it does not know how far its work was done, and begins at the oldest record there is."""


@dataclass(frozen=True, slots=True)
class BatchSettings:
    """Limits of one batch: records, bytes, and seconds to wait for more, at least, when few arrive."""

    max_records: int = 512
    max_bytes: int = 16 << 20
    linger: float = 0.1


@dataclass(frozen=True, slots=True)
class Batch:
    """Records that are inserted together."""

    id: str
    first: int
    last: int
    formed: int
    """Unix nanoseconds."""
    payloads: tuple[bytes, ...]
    retried: bool = False
    """True when an earlier attempt, here or by a process that died, may have stored some of it."""
    whole: bool = True
    """False when ``payloads`` are some of what ``id`` was given to: a replayed dead letter."""


class Promises:
    """The one promise on disk."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "promise.json"

    def make(self, batch: Batch) -> None:
        """Fix the batch's membership durably."""
        promise = {"first": batch.first, "last": batch.last, "id": batch.id, "formed": batch.formed}
        write_atomic(self._path, json.dumps(promise | {"sum": _sum(promise)}))

    def read(self) -> Batch | None:
        """The latest promise (without payloads), of whatever process; None when there is none that can be read."""
        try:
            promise = json.loads(self._path.read_text(errors="replace"))
            if promise.pop("sum", "") not in (_sum(promise), ""):  # earlier releases wrote none
                raise ValueError("its sum is wrong")
            return Batch(str(promise["id"]), int(promise["first"]), int(promise["last"]), int(promise["formed"]), ())
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            happenings.emit(DAMAGED, error=repr(error))
            os.replace(self._path, self._path.with_suffix(".damaged"))
            return None


class Batches:
    """Cuts the spool into batches, the promised one of an earlier process first. At most one is open."""

    def __init__(self, source: Source, promises: Promises, settings: BatchSettings, clock: Clock) -> None:
        self._source, self._promises, self._settings, self._clock = source, promises, settings, clock
        self._ahead: deque[Record] = deque()
        self._promise = promises.read()
        if self._promise and source.astray:
            source.commit(self._promise.first - 1)
        self._open: Batch | None = None

    @property
    def full(self) -> bool:
        """True when waiting would add nothing to the next batch."""
        return (
            self._open is not None or len(self._ahead) >= self._settings.max_records
            or self.size >= self._settings.max_bytes
        )  # fmt: skip

    @property
    def size(self) -> int:
        """Bytes that were read and are in no batch yet."""
        return sum(len(record.payload) for record in tuple(self._ahead))  # any thread may ask

    def lag(self) -> int:
        """Bytes of the spool that are in no table yet. Any thread may ask, also while a batch is being stored."""
        batch = self._open
        open_bytes = sum(map(len, batch.payloads)) if batch else 0
        return self._source.lag() + self.size + open_bytes

    def look(self) -> bool:
        """Read what is new, up to one batch; True when there is something to do."""
        if not self.full:
            room = self._settings.max_records - len(self._ahead)
            self._ahead.extend(self._source.read(room, self._settings.max_bytes - self.size))
        return bool(self._ahead) or self._open is not None

    def next(self) -> Batch | None:
        """The batch to store now, promised on disk; None when there is nothing.

        The same one comes back, as ``retried``, until :meth:`done`.
        """
        if self._open:
            self._open = replace(self._open, retried=True)
        elif self.look():
            self._open = self._promised() or self._cut()
        return self._open

    def done(self, batch: Batch) -> None:
        """The batch is in the tables: move the cursor."""
        self._source.commit(batch.last)
        self._promise = self._open = None

    def _cut(self) -> Batch:
        members = list(self._ahead)
        payloads = tuple(record.payload for record in members)
        formed = int(self._clock.now() * _NS)
        batch = Batch(_id_of(members), members[0].number, members[-1].number, formed, payloads)
        self._promises.make(batch)
        self._ahead.clear()
        return batch

    def _promised(self) -> Batch | None:
        """The batch an earlier process promised, unless the cursor has passed it."""
        promise = self._promise
        if promise is None or not promise.first <= self._ahead[0].number <= promise.last:
            return None
        while self._ahead[-1].number < promise.last and (more := self._source.read(1, 1)):
            self._ahead.extend(more)
        members = [record for record in self._ahead if record.number <= promise.last]
        if _id_of(members) != promise.id:
            happenings.emit(CHANGED, first=promise.first, last=promise.last, found=len(members))
        self._ahead = deque(record for record in self._ahead if record.number > promise.last)
        payloads = tuple(record.payload for record in members)
        return replace(promise, last=members[-1].number, payloads=payloads, retried=True)


def _sum(promise: Mapping[str, object]) -> str:
    text = json.dumps([promise[name] for name in ("first", "last", "id", "formed")])
    return f"{xxhash.xxh64_intdigest(text.encode()):016x}"


def _id_of(members: list[Record]) -> str:
    digest = hashlib.sha256(f"{members[0].number}:{members[-1].number}:".encode())
    for record in members:
        digest.update(record.payload)
    return digest.hexdigest()
