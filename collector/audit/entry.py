"""Entries: from a note to a line, and from a line (or a row) back, with nothing believed that can be computed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import orjson

from collector.audit.canonical import canonical, whole_text

START: Final = "0" * 64
"""``prev`` of the first entry."""
_ERASED: Final = b"null"
_BEFORE: Final = b'"payload":'
_BEHIND: Final = b',"payload_hash":'


class BadLine(ValueError):
    """A line is no entry in canonical form."""


@dataclass(frozen=True, slots=True)
class Note:
    """What happened: an entry without its place in the chain."""

    kind: str
    actor: str
    subject: str
    reason: str = ""
    trace_id: str = ""
    span_id: str = ""
    payload: dict[str, Any] = field(default_factory=dict)


class Entry(NamedTuple):
    """One entry as it is stored; the order is that of the columns of ``audit_log``."""

    seq: int
    writer: str
    time: int
    """Unix microseconds."""
    kind: str
    actor: str
    subject: str
    reason: str
    trace_id: str
    span_id: str
    payload: bytes
    """Canonical JSON; empty when it was erased."""
    payload_hash: str
    prev: str
    hash: str

    @property
    def genuine(self) -> bool:
        """True when hash and payload are what the entry itself says."""
        return leaf(self).hex() == self.hash and self.payload_genuine

    @property
    def payload_genuine(self) -> bool:
        """True when the payload has its hash, or was erased."""
        return not self.payload or sha256(self.payload) == self.payload_hash


COLUMNS: Final = Entry._fields


def sha256(data: bytes) -> str:
    """In hex."""
    return hashlib.sha256(data).hexdigest()


def make(seq: int, writer: str, time: float, note: Note, payload: bytes, prev: str) -> Entry:
    """The entry of a note whose canonical payload was made before."""
    kind, actor, subject, reason, trace_id, span_id = map(
        whole_text, (note.kind, note.actor, note.subject, note.reason, note.trace_id, note.span_id)
    )
    entry = Entry(
        seq,
        writer,
        round(time * 1e6),
        kind,
        actor,
        subject,
        reason,
        trace_id,
        span_id,
        payload,
        sha256(payload),
        prev,
        "",
    )
    return entry._replace(hash=leaf(entry).hex())


def payload_of(note: Note) -> bytes:
    """The canonical payload of a note."""
    return canonical(note.payload)


def leaf(entry: Entry) -> bytes:
    """The entry's hash, computed: the leaf of the tree.

    The keys are put in in order and their values are strings and whole numbers, for which the fast encoder writes the
    canonical form.
    """
    record = {
        "actor": entry.actor, "kind": entry.kind, "payload_hash": entry.payload_hash, "prev": entry.prev,
        "reason": entry.reason, "seq": entry.seq, "span_id": entry.span_id, "subject": entry.subject,
        "time": entry.time, "trace_id": entry.trace_id, "writer": entry.writer,
    }  # fmt: skip
    return hashlib.sha256(b"\x00" + orjson.dumps(record)).digest()


def line(entry: Entry) -> bytes:
    """The entry as it stands in the file, without the LF."""
    return _line(entry, entry.payload or _ERASED)


def erased(entry: Entry) -> bytes:
    """The entry's line without its payload, as long as before."""
    return _line(entry, _ERASED.ljust(len(entry.payload or _ERASED)))


def decode(text: bytes) -> Entry:
    """Read a line (without its LF).

    Raises:
        BadLine: it is not exactly what :func:`line` or :func:`erased` writes. Whether it is genuine it does not say.
    """
    try:
        data = orjson.loads(text)
        stored = text[text.index(_BEFORE) + len(_BEFORE) : text.rindex(_BEHIND)]
        payload = b"" if stored.rstrip() == _ERASED else stored
        entry = Entry(**{**data, "payload": payload})
        if not (type(entry.seq) is type(entry.time) is int):
            raise BadLine("its number or its time is none")
        if payload and type(data["payload"]) is not dict:
            raise BadLine("its payload is no object")
        if _line(entry, stored) != text:
            raise BadLine("it is not in canonical form")
    except (ValueError, TypeError) as error:
        raise BadLine(f"it is no entry: {error}") from error
    return entry


def as_read(entry: Entry) -> dict[str, Any]:
    """The entry for those who learn from it: time in Unix seconds, payload as data."""
    return {**entry._asdict(), "time": entry.time / 1e6, "payload": orjson.loads(entry.payload)}


def _line(entry: Entry, payload: bytes) -> bytes:
    return orjson.dumps({
        "actor": entry.actor, "hash": entry.hash, "kind": entry.kind, "payload": orjson.Fragment(payload),
        "payload_hash": entry.payload_hash, "prev": entry.prev, "reason": entry.reason, "seq": entry.seq,
        "span_id": entry.span_id, "subject": entry.subject, "time": entry.time, "trace_id": entry.trace_id,
        "writer": entry.writer,
    })  # fmt: skip
