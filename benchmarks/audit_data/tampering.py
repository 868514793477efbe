"""Every way to tamper with an audit log, each with the number of the first entry that is wrong afterwards.

Where journal, copy and hashes are all made to agree (``…_everywhere``), only signatures are left to contradict; then
that is the first entry that no agreeing checkpoint vouches for.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from benchmarks.audit_data.logs import Log, rechained, rehashed, resigned, signed, signer
from collector.audit.checkpoint import Checkpoint
from collector.audit.entry import Entry

_FIELDS: Final = ("time", "kind", "actor", "subject", "reason", "trace_id", "span_id", "payload_hash", "prev", "hash")
_W: Final = "watch"


@dataclass(frozen=True, slots=True)
class Tampered:
    """A log that was tampered with, and where it first shows."""

    log: Log
    writer: str
    seq: int


def _edited(rng: random.Random, entry: Entry, *, name: str = "") -> Entry:
    name = name or rng.choice(_FIELDS)
    if name == "time":
        return entry._replace(time=entry.time + rng.randrange(1, 10**6))
    old = getattr(entry, name)
    if isinstance(old, bytes):
        return entry._replace(payload=old.replace(b'"n":', b'"n":1', 1) if b'"n":' in old else b'{"forged":true}')
    new = old.replace(old[3], "0" if old[3] != "0" else "1") if len(old) == 64 else old + rng.choice("x é")
    return entry._replace(**{name: new})


def _any(rng: random.Random, entries: Sequence[Entry]) -> int:
    return rng.randrange(len(entries))


def _whole(rng: random.Random, entries: Sequence[Entry]) -> int:
    """The place of an entry that has its payload."""
    return rng.choice([place for place, entry in enumerate(entries) if entry.payload])


def _text_edit(rng: random.Random, entry: Entry) -> Entry:
    return _edited(rng, entry, name=rng.choice(("time", "actor", "subject", "reason")))


# --- edits --------------------------------------------------------------------------------------------------------
def edit_journal(rng: random.Random, log: Log) -> Tampered:
    entries = log.entries[_W]
    place = _any(rng, entries)
    entries[place] = _edited(rng, entries[place])
    return Tampered(log, _W, log.rows[_W][place].seq)


def edit_number(rng: random.Random, log: Log) -> Tampered:
    entries = log.entries[_W]
    place = rng.randrange(1, len(entries))
    entries[place] = entries[place]._replace(seq=entries[place].seq + rng.choice((-1, 1, 1000)))
    return Tampered(log, _W, log.rows[_W][place].seq)


def edit_payload(rng: random.Random, log: Log) -> Tampered:
    entries = log.entries[_W]
    place = _whole(rng, entries)
    entries[place] = _edited(rng, entries[place], name="payload")
    return Tampered(log, _W, entries[place].seq)


def edit_and_rehash(rng: random.Random, log: Log) -> Tampered:
    entries = log.entries[_W]
    place = _any(rng, entries)
    entries[place] = rehashed(_text_edit(rng, entries[place]))
    return Tampered(log, _W, entries[place].seq)


def edit_and_rechain(rng: random.Random, log: Log) -> Tampered:
    entries = log.entries[_W]
    place = _after(rng, log)
    entries[place] = _text_edit(rng, entries[place])
    log.entries[_W] = rechained(entries, place, log.rows[_W][0].seq)
    return Tampered(log, _W, entries[place].seq)


def edit_everywhere(rng: random.Random, log: Log) -> Tampered:
    entries = log.entries[_W]
    place = _after(rng, log)
    entries[place] = _text_edit(rng, entries[place])
    log.entries[_W] = rechained(entries, place, log.rows[_W][0].seq)
    log.rows[_W] = list(log.entries[_W])
    return Tampered(log, _W, _vouched(log, entries[place].seq))


def edit_copy(rng: random.Random, log: Log) -> Tampered:
    writer = rng.choice(list(log.rows))
    rows = log.rows[writer]
    place = _any(rng, rows)
    rows[place] = _edited(rng, rows[place])
    return Tampered(log, writer, rows[place].seq)


def edit_payload_of_copy(rng: random.Random, log: Log) -> Tampered:
    rows = log.rows[_W]
    place = _whole(rng, rows)
    rows[place] = _edited(rng, rows[place], name="payload")
    return Tampered(log, _W, rows[place].seq)


def edit_copy_and_rehash(rng: random.Random, log: Log) -> Tampered:
    rows = log.rows[_W]
    place = _any(rng, rows)
    rows[place] = rehashed(_text_edit(rng, rows[place]))
    return Tampered(log, _W, rows[place].seq)


# --- deletions ----------------------------------------------------------------------------------------------------
def delete_journal(rng: random.Random, log: Log) -> Tampered:
    entries = log.entries[_W]
    place = rng.randrange(1, len(entries) - 1)
    seq = entries.pop(place).seq
    return Tampered(log, _W, seq)


def gap(rng: random.Random, log: Log) -> Tampered:
    entries = log.entries[_W]
    place = rng.randrange(1, len(entries) - 2)
    seq = entries[place].seq
    del entries[place : place + rng.randrange(2, 20)]
    return Tampered(log, _W, seq)


def delete_and_rechain(rng: random.Random, log: Log) -> Tampered:
    entries = log.entries[_W]
    place = _after(rng, log)
    seq = entries.pop(place).seq
    log.entries[_W] = rechained(entries, place, log.rows[_W][0].seq)
    return Tampered(log, _W, seq)


def delete_copy(rng: random.Random, log: Log) -> Tampered:
    writer = rng.choice(list(log.rows))
    seq = log.rows[writer].pop(_any(rng, log.rows[writer])).seq
    return Tampered(log, writer, seq)


def delete_everywhere(rng: random.Random, log: Log) -> Tampered:
    """Not in the last run: what is short at its end looks truncated there."""
    entries = log.entries[_W]
    last = log.signed[_W][-2].size - entries[0].seq
    first = _first_run(log)
    place = rng.randrange(first, last) if last > first else None
    if place is None:
        return truncate_everywhere(rng, log)
    seq = entries.pop(place).seq
    log.entries[_W] = rechained(entries, place, log.rows[_W][0].seq)
    log.rows[_W] = list(log.entries[_W])
    return Tampered(log, _W, _vouched(log, seq))


def truncate_journal(rng: random.Random, log: Log) -> Tampered:
    entries = log.entries[_W]
    keep = rng.randrange(len(entries) // 2, len(entries))
    seq = entries[keep].seq
    del entries[keep:]
    return Tampered(log, _W, seq)


def truncate_copy(rng: random.Random, log: Log) -> Tampered:
    rows = log.rows[_W]
    keep = rng.randrange(len(rows) // 2, len(rows))
    seq = rows[keep].seq
    del rows[keep:]
    return Tampered(log, _W, seq)


def truncate_everywhere(rng: random.Random, log: Log) -> Tampered:
    tampered = truncate_journal(rng, log)
    log.rows[_W] = list(log.entries[_W])
    log.given[_W] = tampered.seq
    return tampered


def roll_back(rng: random.Random, log: Log) -> Tampered:
    """Journal, checkpoints and copy as they were once; somebody remembers more."""
    first = log.entries[_W][0].seq
    chosen = [each for each in log.signed[_W][:-1] if each.size > first + 1]
    if first or not chosen:
        return truncate_everywhere(rng, log)
    log.remembered = [*log.remembered, log.signed[_W][-1]]
    size = rng.choice(chosen).size
    log.entries[_W] = log.entries[_W][:size]
    log.rows[_W] = list(log.entries[_W])
    log.signed[_W] = [each for each in log.signed[_W] if each.size <= size]
    log.given[_W] = size
    log.entries["keep"] = [e for e in log.entries["keep"] if e.payload] or log.entries["keep"]
    if len(log.entries["keep"]) != len(log.rows["keep"]):  # what was erased there would show first
        return roll_back_of_keep(log)
    return Tampered(log, _W, size)


def roll_back_of_keep(log: Log) -> Tampered:
    log.entries["keep"] = list(log.rows["keep"])
    return Tampered(log, _W, log.given[_W])


def chain_gone(_rng: random.Random, log: Log) -> Tampered:
    del log.entries[_W], log.signed[_W]
    return Tampered(log, _W, 0)


def chain_gone_everywhere(_rng: random.Random, log: Log) -> Tampered:
    """Only the checkpoints of the other chain say that there was one."""
    del log.entries[_W], log.signed[_W], log.rows[_W], log.given[_W]
    log.remembered = []
    return Tampered(log, _W, 0)


def delete_start(rng: random.Random, log: Log) -> Tampered:
    entries = log.entries[_W]
    log.entries[_W] = entries[rng.randrange(1, len(entries) - 1) :]
    return Tampered(log, _W, entries[0].seq if entries[0].seq else 0)


# --- insertions ---------------------------------------------------------------------------------------------------
def insert_forged(rng: random.Random, log: Log) -> Tampered:
    entries = log.entries[_W]
    place = rng.randrange(1, len(entries))
    entries.insert(place, rehashed(_text_edit(rng, entries[place])))
    return Tampered(log, _W, entries[place].seq)


def insert_twice(rng: random.Random, log: Log) -> Tampered:
    entries = log.entries[_W]
    old, place = _any(rng, entries), rng.randrange(1, len(entries) - 1)
    seq = entries[place].seq
    entries.insert(place, entries[min(old, place - 1)])
    return Tampered(log, _W, seq)


def insert_and_rechain(rng: random.Random, log: Log) -> Tampered:
    entries = log.entries[_W]
    place = _after(rng, log)
    seq = entries[place].seq
    entries.insert(place, _text_edit(rng, entries[place]))
    log.entries[_W] = rechained(entries, place, log.rows[_W][0].seq)
    return Tampered(log, _W, seq)


def insert_into_copy(rng: random.Random, log: Log) -> Tampered:
    writer = rng.choice(list(log.rows))
    rows = log.rows[writer]
    place = _any(rng, rows)
    extra = rows[place] if rng.random() < 0.5 else rehashed(_text_edit(rng, rows[place]))
    rows.insert(place + rng.randrange(2), extra)
    return Tampered(log, writer, rows[place].seq)


def insert_behind_copy(rng: random.Random, log: Log) -> Tampered:
    rows = log.rows[_W]
    last = rows[-1]
    rows.append(rehashed(_text_edit(rng, last)._replace(seq=last.seq + 1, prev=last.hash)))
    return Tampered(log, _W, last.seq + 1)


# --- order --------------------------------------------------------------------------------------------------------
def reorder_journal(rng: random.Random, log: Log) -> Tampered:
    entries = log.entries[_W]
    one, two = sorted(rng.sample(range(1, len(entries)), 2))
    if rng.random() < 0.5:
        two = min(one + 1, len(entries) - 1)
        one = two - 1 or 1
        two = one + 1 if one + 1 < len(entries) else one
    if one == two:
        one -= 1
    seq = entries[one].seq
    entries[one], entries[two] = entries[two], entries[one]
    return Tampered(log, _W, seq)


def reorder_and_rechain(rng: random.Random, log: Log) -> Tampered:
    entries = log.entries[_W]
    first = _first_run(log)
    one, two = sorted(rng.sample(range(first, len(entries)), 2)) if first + 2 <= len(entries) else (0, 1)
    seq = entries[one].seq
    entries[one], entries[two] = entries[two], entries[one]
    numbers = [*range(entries[0].seq if one else log.rows[_W][0].seq, log.rows[_W][-1].seq + 1)]
    entries = [entry._replace(seq=number) for entry, number in zip(entries, numbers, strict=True)]
    log.entries[_W] = rechained(entries, one, log.rows[_W][0].seq)
    return Tampered(log, _W, seq)


def reorder_copy(rng: random.Random, log: Log) -> Tampered:
    rows = log.rows[_W]
    one, two = sorted(rng.sample(range(len(rows)), 2))
    low, high = rows[one].seq, rows[two].seq
    rows[one], rows[two] = rows[two]._replace(seq=low), rows[one]._replace(seq=high)
    return Tampered(log, _W, low)


# --- keys, checkpoints, payloads ----------------------------------------------------------------------------------
def wrong_key(rng: random.Random, log: Log) -> Tampered:
    """Checkpoints signed by somebody else, from one of them on."""
    checkpoints = log.signed[_W]
    place = _any_checkpoint(rng, log)
    log.signed[_W] = resigned(signer(rng), checkpoints, place, "")
    return Tampered(log, _W, _verified_before(log, checkpoints, place))


def old_key(rng: random.Random, log: Log) -> Tampered:
    """The key that was replaced signs again; without a change of keys, a stranger's does."""
    checkpoints = log.signed[_W]
    if checkpoints[-1].key == checkpoints[0].key:
        return wrong_key(rng, log)
    place = len(checkpoints) - 1
    if sum(each.key == checkpoints[-1].key for each in checkpoints) < 2:
        return wrong_key(rng, log)
    log.signed[_W] = resigned(log.signers[0], checkpoints, place, "")
    return Tampered(log, _W, _verified_before(log, checkpoints, place))


def edit_checkpoint(rng: random.Random, log: Log) -> Tampered:
    checkpoints = log.signed[_W]
    place = _any_checkpoint(rng, log)
    old = checkpoints[place]
    change: dict[str, Any] = rng.choice(
        [{"time": old.time + 1}, {"head": old.root}, {"previous": "x"}, {"root": old.head}, {"writer": "keep"}]
    )
    checkpoints[place] = replace(old, **change)
    return Tampered(log, _W, _verified_before(log, checkpoints, place))


def delete_checkpoint(rng: random.Random, log: Log) -> Tampered:
    checkpoints = log.signed[_W]
    place = rng.randrange(len(checkpoints) - 1)
    seq = checkpoints[place - 1].size if place else 0
    first = log.entries[_W][0].seq
    del checkpoints[place]
    if first:
        return edit_checkpoint(rng, log.copy()) if False else Tampered(log, _W, seq if seq >= _base(log, first) else 0)
    return Tampered(log, _W, seq)


def fork_with_the_key(rng: random.Random, log: Log) -> Tampered:
    """Everything made to agree, signatures too, by somebody who has the key; the witness knows better."""
    entries, checkpoints = log.entries[_W], log.signed[_W]
    if entries[0].seq or checkpoints[-1].key != checkpoints[0].key:
        return edit_everywhere(rng, log)
    place = _any(rng, entries)
    entries[place] = _text_edit(rng, entries[place])
    log.entries[_W] = rechained(entries, place, log.rows[_W][0].seq)
    log.rows[_W] = list(log.entries[_W])
    log.remembered = [*log.remembered, checkpoints[-1]]
    sizes = [each.size for each in checkpoints]
    log.signed[_W] = signed(log.entries[_W], sizes, [(0, log.signers[0])], {}, _W)
    known = {each.size for each in log.remembered if each.writer == _W}
    known |= {seen[_W]["size"] for each in log.signed["keep"] if _W in (seen := each.writers)}
    return Tampered(log, _W, max((size for size in known if size <= place), default=0))


def erase_unsaid(rng: random.Random, log: Log) -> Tampered:
    entries = log.entries[_W]
    place = rng.choice([p for p, entry in enumerate(entries) if entry.kind not in ("key", "erasure", "retention")])
    sources = rng.choice([(entries,), (log.rows[_W],), (entries, log.rows[_W])])
    for source in sources:
        source[place] = source[place]._replace(payload=b"")
    return Tampered(log, _W, entries[place].seq)


def _after(rng: random.Random, log: Log) -> int:
    """The place of an entry behind the first checkpoint that is left: what is before has no other witness."""
    first = _first_run(log)
    return rng.randrange(first, len(log.entries[_W]))


def _first_run(log: Log) -> int:
    """Where the first run begins that is verified from its start: behind the base of what retention left."""
    first = log.entries[_W][0].seq
    return _base(log, first) - first if first else 0


def _base(log: Log, first: int) -> int:
    return next(each.size for each in log.signed[_W] if each.size >= first)


def _any_checkpoint(rng: random.Random, log: Log) -> int:
    return rng.randrange(len(log.signed[_W]))


def _verified_before(log: Log, checkpoints: Sequence[Checkpoint], place: int) -> int:
    """What is verified when the first bad checkpoint is the one at ``place``."""
    first = log.entries[_W][0].seq
    size = checkpoints[place - 1].size if place else 0
    return size if size >= first else 0


def _vouched(log: Log, seq: int) -> int:
    """The first entry that no agreeing checkpoint vouches for, when everything from ``seq`` on was made anew."""
    ends = {each.size for each in log.signed[_W]} | {each.size for each in log.remembered}
    return max((size for size in ends if size <= seq), default=0)


TAMPERINGS: Final[tuple[Callable[[random.Random, Log], Tampered], ...]] = (
    edit_journal, edit_number, edit_payload, edit_and_rehash, edit_and_rechain, edit_everywhere, edit_copy,
    edit_payload_of_copy, edit_copy_and_rehash, delete_journal, gap, delete_and_rechain, delete_copy, delete_everywhere,
    truncate_journal, truncate_copy, truncate_everywhere, roll_back, chain_gone, chain_gone_everywhere, delete_start,
    insert_forged, insert_twice, insert_and_rechain, insert_into_copy, insert_behind_copy, reorder_journal,
    reorder_and_rechain, reorder_copy, wrong_key, old_key, edit_checkpoint, delete_checkpoint, fork_with_the_key,
    erase_unsaid,
)  # fmt: skip
