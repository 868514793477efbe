"""Tampering within a log: entries edited, erased, inserted, reordered."""

from __future__ import annotations

import random

from benchmarks.audit_data.logs import Log, rechained, rehashed
from benchmarks.audit_data.tampered import (
    WATCH,
    Tampered,
    after,
    any_place,
    edited,
    first_run,
    text_edit,
    vouched,
    whole,
)


def edit_journal(rng: random.Random, log: Log) -> Tampered:
    entries = log.entries[WATCH]
    place = any_place(rng, entries)
    entries[place] = edited(rng, entries[place])
    return Tampered(log, WATCH, log.rows[WATCH][place].seq)


def edit_number(rng: random.Random, log: Log) -> Tampered:
    entries = log.entries[WATCH]
    place = rng.randrange(1, len(entries))
    entries[place] = entries[place]._replace(seq=entries[place].seq + rng.choice((-1, 1, 1000)))
    return Tampered(log, WATCH, log.rows[WATCH][place].seq)


def edit_payload(rng: random.Random, log: Log) -> Tampered:
    entries = log.entries[WATCH]
    place = whole(rng, entries)
    entries[place] = edited(rng, entries[place], name="payload")
    return Tampered(log, WATCH, entries[place].seq)


def edit_and_rehash(rng: random.Random, log: Log) -> Tampered:
    entries = log.entries[WATCH]
    place = any_place(rng, entries)
    entries[place] = rehashed(text_edit(rng, entries[place]))
    return Tampered(log, WATCH, entries[place].seq)


def edit_and_rechain(rng: random.Random, log: Log) -> Tampered:
    entries = log.entries[WATCH]
    place = after(rng, log)
    entries[place] = text_edit(rng, entries[place])
    log.entries[WATCH] = rechained(entries, place, log.rows[WATCH][0].seq)
    return Tampered(log, WATCH, entries[place].seq)


def edit_everywhere(rng: random.Random, log: Log) -> Tampered:
    entries = log.entries[WATCH]
    place = after(rng, log)
    entries[place] = text_edit(rng, entries[place])
    log.entries[WATCH] = rechained(entries, place, log.rows[WATCH][0].seq)
    log.rows[WATCH] = list(log.entries[WATCH])
    return Tampered(log, WATCH, vouched(log, entries[place].seq))


def edit_copy(rng: random.Random, log: Log) -> Tampered:
    writer = rng.choice(list(log.rows))
    rows = log.rows[writer]
    place = any_place(rng, rows)
    rows[place] = edited(rng, rows[place])
    return Tampered(log, writer, rows[place].seq)


def edit_payload_of_copy(rng: random.Random, log: Log) -> Tampered:
    rows = log.rows[WATCH]
    place = whole(rng, rows)
    rows[place] = edited(rng, rows[place], name="payload")
    return Tampered(log, WATCH, rows[place].seq)


def edit_copy_and_rehash(rng: random.Random, log: Log) -> Tampered:
    rows = log.rows[WATCH]
    place = any_place(rng, rows)
    rows[place] = rehashed(text_edit(rng, rows[place]))
    return Tampered(log, WATCH, rows[place].seq)


def erase_unsaid(rng: random.Random, log: Log) -> Tampered:
    entries = log.entries[WATCH]
    place = rng.choice([p for p, entry in enumerate(entries) if entry.kind not in ("key", "erasure", "retention")])
    sources = rng.choice([(entries,), (log.rows[WATCH],), (entries, log.rows[WATCH])])
    for source in sources:
        source[place] = source[place]._replace(payload=b"")
    return Tampered(log, WATCH, entries[place].seq)


def insert_forged(rng: random.Random, log: Log) -> Tampered:
    entries = log.entries[WATCH]
    place = rng.randrange(1, len(entries))
    entries.insert(place, rehashed(text_edit(rng, entries[place])))
    return Tampered(log, WATCH, entries[place].seq)


def insert_twice(rng: random.Random, log: Log) -> Tampered:
    entries = log.entries[WATCH]
    old, place = any_place(rng, entries), rng.randrange(1, len(entries) - 1)
    seq = entries[place].seq
    entries.insert(place, entries[min(old, place - 1)])
    return Tampered(log, WATCH, seq)


def insert_and_rechain(rng: random.Random, log: Log) -> Tampered:
    entries = log.entries[WATCH]
    place = after(rng, log)
    seq = entries[place].seq
    entries.insert(place, text_edit(rng, entries[place]))
    log.entries[WATCH] = rechained(entries, place, log.rows[WATCH][0].seq)
    return Tampered(log, WATCH, seq)


def insert_into_copy(rng: random.Random, log: Log) -> Tampered:
    writer = rng.choice(list(log.rows))
    rows = log.rows[writer]
    place = any_place(rng, rows)
    extra = rows[place] if rng.random() < 0.5 else rehashed(text_edit(rng, rows[place]))
    rows.insert(place + rng.randrange(2), extra)
    return Tampered(log, writer, rows[place].seq)


def insert_behind_copy(rng: random.Random, log: Log) -> Tampered:
    rows = log.rows[WATCH]
    last = rows[-1]
    rows.append(rehashed(text_edit(rng, last)._replace(seq=last.seq + 1, prev=last.hash)))
    return Tampered(log, WATCH, last.seq + 1)


def reorder_journal(rng: random.Random, log: Log) -> Tampered:
    """Two entries change places: neighbours, half of the times."""
    entries = log.entries[WATCH]
    one = rng.randrange(1, len(entries) - 1)
    two = one + 1 if rng.random() < 0.5 else rng.randrange(one + 1, len(entries))
    seq = entries[one].seq
    entries[one], entries[two] = entries[two], entries[one]
    return Tampered(log, WATCH, seq)


def reorder_and_rechain(rng: random.Random, log: Log) -> Tampered:
    entries = log.entries[WATCH]
    first = first_run(log)
    one, two = sorted(rng.sample(range(first, len(entries)), 2)) if first + 2 <= len(entries) else (0, 1)
    seq = entries[one].seq
    entries[one], entries[two] = entries[two], entries[one]
    numbers = [*range(entries[0].seq if one else log.rows[WATCH][0].seq, log.rows[WATCH][-1].seq + 1)]
    entries = [entry._replace(seq=number) for entry, number in zip(entries, numbers, strict=True)]
    log.entries[WATCH] = rechained(entries, one, log.rows[WATCH][0].seq)
    return Tampered(log, WATCH, seq)


def reorder_copy(rng: random.Random, log: Log) -> Tampered:
    rows = log.rows[WATCH]
    one, two = sorted(rng.sample(range(len(rows)), 2))
    low, high = rows[one].seq, rows[two].seq
    rows[one], rows[two] = rows[two]._replace(seq=low), rows[one]._replace(seq=high)
    return Tampered(log, WATCH, low)
