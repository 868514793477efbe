"""A log that was tampered with, and what the kinds of tampering share."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.audit_data.logs import Log
from collector.audit.checkpoint import Checkpoint
from collector.audit.entry import Entry

WATCH: Final = "watch"
_FIELDS: Final = ("writer", "time", "kind", "actor", "subject", "reason", "trace_id", "span_id", "payload_hash", "prev",
                  "hash")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tampered:
    """A log that was tampered with, and where it first shows."""

    log: Log
    writer: str
    seq: int


def edited(rng: random.Random, entry: Entry, *, name: str = "") -> Entry:
    """``entry`` with a field that says something else: ``name``, or any that its hash covers, or a hash itself."""
    name = name or rng.choice(_FIELDS)
    if name == "time":
        return entry._replace(time=entry.time + rng.randrange(1, 10**6))
    old = getattr(entry, name)
    if isinstance(old, bytes):
        return entry._replace(payload=old.replace(b'"n":', b'"n":1', 1) if b'"n":' in old else b'{"forged":true}')
    new = old.replace(old[3], "0" if old[3] != "0" else "1") if len(old) == 64 else old + rng.choice("x é")
    return entry._replace(**{name: new})


def any_place(rng: random.Random, entries: Sequence[Entry]) -> int:
    """The place of any entry."""
    return rng.randrange(len(entries))


def whole(rng: random.Random, entries: Sequence[Entry]) -> int:
    """The place of an entry that has its payload."""
    return rng.choice([place for place, entry in enumerate(entries) if entry.payload])


def text_edit(rng: random.Random, entry: Entry) -> Entry:
    """``entry`` with another time, actor, subject or reason."""
    return edited(rng, entry, name=rng.choice(("time", "actor", "subject", "reason")))


def after(rng: random.Random, log: Log) -> int:
    """The place of an entry behind the first checkpoint that is left: what is before has no other witness."""
    first = first_run(log)
    return rng.randrange(first, len(log.entries[WATCH]))


def first_run(log: Log) -> int:
    """Where the first run begins that is verified from its start: behind the base of what retention left."""
    first = log.entries[WATCH][0].seq
    return base(log, first) - first if first else 0


def base(log: Log, first: int) -> int:
    """Size of the oldest checkpoint that covers the entry ``first``."""
    return next(each.size for each in log.signed[WATCH] if each.size >= first)


def any_checkpoint(rng: random.Random, log: Log) -> int:
    """The place of any checkpoint."""
    return rng.randrange(len(log.signed[WATCH]))


def verified_before(log: Log, checkpoints: Sequence[Checkpoint], place: int) -> int:
    """What is verified when the first bad checkpoint is the one at ``place``."""
    first = log.entries[WATCH][0].seq
    size = checkpoints[place - 1].size if place else 0
    return size if size >= first else 0


def vouched(log: Log, seq: int) -> int:
    """The first entry that no agreeing checkpoint vouches for, when everything from ``seq`` on was made anew."""
    ends = {each.size for each in log.signed[WATCH]} | {each.size for each in log.remembered}
    return max((size for size in ends if size <= seq), default=0)
