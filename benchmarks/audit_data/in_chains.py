"""Tampering with a log as a whole: deletions, roll-backs, checkpoints and keys."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

from benchmarks.audit_data.in_entries import edit_everywhere
from benchmarks.audit_data.logs import Log, rechained, resigned, signed, signer
from benchmarks.audit_data.tampered import (
    WATCH,
    Tampered,
    after,
    any_checkpoint,
    any_place,
    base,
    first_run,
    text_edit,
    verified_before,
    vouched,
)


def delete_journal(rng: random.Random, log: Log) -> Tampered:
    entries = log.entries[WATCH]
    place = rng.randrange(1, len(entries) - 1)
    seq = entries.pop(place).seq
    return Tampered(log, WATCH, seq)


def gap(rng: random.Random, log: Log) -> Tampered:
    entries = log.entries[WATCH]
    place = rng.randrange(1, len(entries) - 2)
    seq = entries[place].seq
    del entries[place : place + rng.randrange(2, 20)]
    return Tampered(log, WATCH, seq)


def delete_and_rechain(rng: random.Random, log: Log) -> Tampered:
    entries = log.entries[WATCH]
    place = after(rng, log)
    seq = entries.pop(place).seq
    log.entries[WATCH] = rechained(entries, place, log.rows[WATCH][0].seq)
    return Tampered(log, WATCH, seq)


def delete_copy(rng: random.Random, log: Log) -> Tampered:
    writer = rng.choice(list(log.rows))
    seq = log.rows[writer].pop(any_place(rng, log.rows[writer])).seq
    return Tampered(log, writer, seq)


def delete_copy_unseen(rng: random.Random, log: Log) -> Tampered:
    """The last rows under a checkpoint, and what says that the copy was ever given them."""
    writer = rng.choice(list(log.rows))
    rows, ends = log.rows[writer], [each.size for each in log.signed[writer] if each.size > log.rows[writer][0].seq + 1]
    place = rng.choice(ends) - 1 - rows[0].seq
    log.given = {}
    seq = rows.pop(min(place, len(rows) - 2)).seq
    return Tampered(log, writer, seq)


def delete_everywhere(rng: random.Random, log: Log) -> Tampered:
    """Not in the last run: what is short at its end looks truncated there."""
    entries = log.entries[WATCH]
    last = log.signed[WATCH][-2].size - entries[0].seq
    first = first_run(log)
    place = rng.randrange(first, last) if last > first else None
    if place is None:
        return truncate_everywhere(rng, log)
    seq = entries.pop(place).seq
    log.entries[WATCH] = rechained(entries, place, log.rows[WATCH][0].seq)
    log.rows[WATCH] = list(log.entries[WATCH])
    return Tampered(log, WATCH, vouched(log, seq))


def truncate_journal(rng: random.Random, log: Log) -> Tampered:
    entries = log.entries[WATCH]
    keep = rng.randrange(len(entries) // 2, len(entries))
    seq = entries[keep].seq
    del entries[keep:]
    return Tampered(log, WATCH, seq)


def truncate_copy(rng: random.Random, log: Log) -> Tampered:
    rows = log.rows[WATCH]
    keep = rng.randrange(len(rows) // 2, len(rows))
    seq = rows[keep].seq
    del rows[keep:]
    return Tampered(log, WATCH, seq)


def truncate_everywhere(rng: random.Random, log: Log) -> Tampered:
    tampered = truncate_journal(rng, log)
    log.rows[WATCH] = list(log.entries[WATCH])
    log.given[WATCH] = tampered.seq
    return tampered


def roll_back(rng: random.Random, log: Log) -> Tampered:
    """Journal, checkpoints and copy as they were once; somebody remembers more."""
    chosen = [each for each in log.signed[WATCH][:-1] if each.size > 1]
    if log.entries[WATCH][0].seq or not chosen:
        return truncate_everywhere(rng, log)
    log.remembered = [*log.remembered, log.signed[WATCH][-1]]
    size = rng.choice(chosen).size
    log.entries[WATCH] = log.entries[WATCH][:size]
    log.rows[WATCH] = list(log.entries[WATCH])
    log.signed[WATCH] = [each for each in log.signed[WATCH] if each.size <= size]
    log.given[WATCH] = size
    return Tampered(log, WATCH, size)


def chain_gone(_rng: random.Random, log: Log) -> Tampered:
    del log.entries[WATCH], log.signed[WATCH]
    return Tampered(log, WATCH, 0)


def chain_gone_everywhere(_rng: random.Random, log: Log) -> Tampered:
    """Only the checkpoints of the other chain say that there was one."""
    del log.entries[WATCH], log.signed[WATCH], log.rows[WATCH], log.given[WATCH]
    log.remembered = []
    return Tampered(log, WATCH, 0)


def delete_start(rng: random.Random, log: Log) -> Tampered:
    entries = log.entries[WATCH]
    log.entries[WATCH] = entries[rng.randrange(1, len(entries) - 1) :]
    return Tampered(log, WATCH, entries[0].seq)


def wrong_key(rng: random.Random, log: Log) -> Tampered:
    """Checkpoints signed by somebody else, from one of them on."""
    checkpoints = log.signed[WATCH]
    place = any_checkpoint(rng, log)
    log.signed[WATCH] = resigned(signer(rng), checkpoints, place, "")
    return Tampered(log, WATCH, verified_before(log, checkpoints, place))


def old_key(rng: random.Random, log: Log) -> Tampered:
    """The key that was replaced signs again; without a change of keys, a stranger's does."""
    checkpoints = log.signed[WATCH]
    if checkpoints[-1].key == checkpoints[0].key:
        return wrong_key(rng, log)
    place = len(checkpoints) - 1
    if sum(each.key == checkpoints[-1].key for each in checkpoints) < 2:
        return wrong_key(rng, log)
    log.signed[WATCH] = resigned(log.signers[0], checkpoints, place, "")
    return Tampered(log, WATCH, verified_before(log, checkpoints, place))


def edit_checkpoint(rng: random.Random, log: Log) -> Tampered:
    checkpoints = log.signed[WATCH]
    place = any_checkpoint(rng, log)
    old = checkpoints[place]
    ghost, stranger = {"ghost": {"size": 7, "root": old.root}}, signer(rng).public
    change: dict[str, Any] = rng.choice([
        {"time": old.time + 1}, {"head": old.root}, {"previous": "x"}, {"root": old.head}, {"writer": "keep"},
        {"size": old.size + 1}, {"frontier": (old.head, *old.frontier[1:])}, {"key": "0" * 16}, {"next": stranger},
        {"writers": ghost}, {"signature": checkpoints[place - 1].signature if place else ""},
    ])  # fmt: skip
    checkpoints[place] = replace(old, **change)
    return Tampered(log, WATCH, verified_before(log, checkpoints, place))


def delete_checkpoint(rng: random.Random, log: Log) -> Tampered:
    checkpoints = log.signed[WATCH]
    place = rng.randrange(len(checkpoints) - 1)
    seq = checkpoints[place - 1].size if place else 0
    first = log.entries[WATCH][0].seq
    del checkpoints[place]
    return Tampered(log, WATCH, seq if not first or seq >= base(log, first) else 0)


def fork_with_the_key(rng: random.Random, log: Log) -> Tampered:
    """Everything made to agree, signatures too, by somebody who has the key; the witness knows better."""
    entries, checkpoints = log.entries[WATCH], log.signed[WATCH]
    if entries[0].seq or checkpoints[-1].key != checkpoints[0].key:
        return edit_everywhere(rng, log)
    place = any_place(rng, entries)
    entries[place] = text_edit(rng, entries[place])
    log.entries[WATCH] = rechained(entries, place, log.rows[WATCH][0].seq)
    log.rows[WATCH] = list(log.entries[WATCH])
    log.remembered = [*log.remembered, checkpoints[-1]]
    sizes = [each.size for each in checkpoints]
    log.signed[WATCH] = signed(log.entries[WATCH], sizes, [(0, log.signers[0])], {}, WATCH)
    known = {each.size for each in log.remembered if each.writer == WATCH}
    known |= {seen[WATCH]["size"] for each in log.signed["keep"] if WATCH in (seen := each.writers)}
    return Tampered(log, WATCH, max((size for size in known if size <= place), default=0))


def contradict(rng: random.Random, log: Log) -> Tampered:
    """Somebody remembers another log of the same size."""
    first = log.entries[WATCH][0].seq
    at = base(log, first) if first else 0
    old = rng.choice([each for each in log.signed[WATCH] if each.size >= at])
    known = {each.size for each in log.remembered} | {
        seen[WATCH]["size"] for each in log.signed["keep"] if WATCH in (seen := each.writers)
    }
    log.remembered = [*log.remembered, replace(old, root=old.head)]
    return Tampered(log, WATCH, max((size for size in known if at <= size < old.size), default=0))
