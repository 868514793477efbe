"""Clean audit logs, made at random from a seed: two writers, checkpoints, changes of keys, erasures, retention."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from collector.audit import checkpoint, copied
from collector.audit.checkpoint import Checkpoint
from collector.audit.entry import START, Entry, Note, erased, leaf, line, make, payload_of
from collector.audit.keys import PUBLIC, KeySigner, key_id
from collector.audit.merkle import Frontier

NOW: Final = 1_790_000_000.0
_WORDS: Final = (
    "ticket-helper",
    "label-bot",
    "jo",
    "detector:cycle",
    "naïve ☂",
    'a "quoted"\tword',
    "=1+1",
    "",
    "\x1b[31m",
)
_KINDS: Final = ("trip", "transition", "kill", "resume", "denial", "sql", "operator", "finding", "receipt")


@dataclass
class Log:
    """A journal, its copy and what others remember, in memory.

    Attributes:
        entries: lines of the journal by writer; an entry without payload was erased.
        lengths: of the payloads that were erased, by writer and number.
    """

    entries: dict[str, list[Entry]] = field(default_factory=dict)
    rows: dict[str, list[Entry]] = field(default_factory=dict)
    signed: dict[str, list[Checkpoint]] = field(default_factory=dict)
    given: dict[str, int] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    remembered: list[Checkpoint] = field(default_factory=list)
    signers: list[KeySigner] = field(default_factory=list)

    def copy(self) -> Log:
        """One that can be tampered with; keys are shared."""
        return Log(
            {w: list(e) for w, e in self.entries.items()}, {w: list(e) for w, e in self.rows.items()},
            {w: list(c) for w, c in self.signed.items()}, dict(self.given), dict(self.keys), list(self.remembered),
            self.signers,
        )  # fmt: skip

    def write(self, root: Path) -> None:
        """As a writer would have left it."""
        for writer, entries in self.entries.items():
            folder = root / writer
            folder.mkdir(parents=True, exist_ok=True)
            first = entries[0].seq if entries else 0
            (folder / f"{first:012d}.jsonl").write_bytes(b"".join(_text(entry) + b"\n" for entry in entries))
            (folder / PUBLIC).write_text("".join(f"{public}\n" for public in self.keys.values()))
            (folder / checkpoint.FILE).write_bytes(b"".join(each.line + b"\n" for each in self.signed[writer]))
        copied.write(root, self.given)

    def rows_json(self) -> list[dict[str, Any]]:
        """The rows as the second verifier reads them."""
        return [{**row._asdict(), "payload": row.payload.decode()} for held in self.rows.values() for row in held]


def _text(entry: Entry) -> bytes:
    return line(entry) if entry.payload else erased(entry)


def chained(notes: Iterable[tuple[Note, float]], writer: str, start: int = 0, prev: str = START) -> list[Entry]:
    """Entries of notes, each with its time."""
    made: list[Entry] = []
    for note, time in notes:
        made.append(make(start + len(made), writer, time, note, payload_of(note), prev))
        prev = made[-1].hash
    return made


def rechained(entries: Sequence[Entry], place: int, start: int) -> list[Entry]:
    """The same, numbers (from ``start`` on) and hashes made anew from ``place`` on, as anybody without a key can."""
    made = list(entries[:place])
    for entry in entries[place:]:
        prev = made[-1].hash if made else START
        seq = made[-1].seq + 1 if made else start
        made.append(rehashed(entry._replace(seq=seq, prev=prev)))
    return made


def rehashed(entry: Entry) -> Entry:
    """The same with its own hash computed anew."""
    return entry._replace(hash=leaf(entry).hex())


def signed(
    entries: Sequence[Entry], sizes: Iterable[int], signers: Sequence[tuple[int, KeySigner]],
    others: dict[str, list[Checkpoint]], writer: str,
) -> list[Checkpoint]:  # fmt: skip
    """Checkpoints at these sizes; a signer counts from the size it comes with."""
    tree, found, place = Frontier(), list[Checkpoint](), 0
    nexts = {since - 1: signer.public for since, signer in signers if since}
    for size in sorted(sizes):
        for entry in entries[place:size]:
            tree.append(bytes.fromhex(entry.hash))
        place = size
        seen = {name: _before(held, entries[size - 1].time) for name, held in others.items()}
        signer = [each for since, each in signers if since <= size][-1]
        found.append(Checkpoint(
            writer, size, tree.root().hex(), entries[size - 1].hash, tuple(peak.hex() for peak in tree.peaks),
            entries[size - 1].time, {name: {"size": c.size, "root": c.root} for name, c in seen.items() if c},
            found[-1].signature if found else "", "", nexts.get(size, ""),
        ).signed(signer))  # fmt: skip
    return found


def _before(held: Sequence[Checkpoint], time: int) -> Checkpoint | None:
    return max((each for each in held if each.time <= time), key=lambda each: each.size, default=None)


def signer(rng: random.Random) -> KeySigner:
    """A key from the seed."""
    return KeySigner(Ed25519PrivateKey.from_private_bytes(rng.randbytes(32)))


def clean(rng: random.Random, size: int) -> Log:
    """A log of ``size`` entries of *watch* and some of *keep*."""
    keys = [signer(rng), signer(rng)]
    log = Log(keys={key_id(keys[0].public): keys[0].public}, signers=keys)
    change = rng.randrange(size // 3, size) if rng.random() < 0.3 else None
    watch = chained(_notes(rng, size, change, keys), "watch")
    keep = chained(_notes(rng, max(5, size // 10), None, keys), "keep")
    sizes = {*rng.sample(range(1, size + 1), min(size, 1 + size // 60)), size}
    since = [(0, keys[0])] if change is None else [(0, keys[0]), (change + 2, keys[1])]
    log.signed["watch"] = signed(watch, sizes | ({change + 1} if change is not None else set()), since, {}, "watch")
    ends = {*rng.sample(range(1, len(keep) + 1), 3), len(keep)}
    log.signed["keep"] = signed(keep, ends, [(0, keys[0])], {"watch": log.signed["watch"]}, "keep")
    log.entries = {"watch": watch, "keep": keep}
    if rng.random() < 0.3:
        _erase(rng, log)
    if rng.random() < 0.2:
        _prune(rng, log)
    log.rows = {writer: list(held) for writer, held in log.entries.items()}
    log.given = {writer: held[-1].seq + 1 for writer, held in log.entries.items()}
    log.remembered = rng.sample(log.signed["watch"], min(3, len(log.signed["watch"])))
    return log


def _notes(
    rng: random.Random, size: int, change: int | None, keys: Sequence[KeySigner]
) -> Iterable[tuple[Note, float]]:
    for number in range(size):
        time = NOW - size + number
        if number == change:
            payload = {"public": keys[1].public, "replaces": key_id(keys[0].public)}
            yield Note("key", "cli:jo", key_id(keys[1].public), "yearly", payload=payload), time
        else:
            yield _note(rng, number), time


def _note(rng: random.Random, number: int) -> Note:
    payload: dict[str, Any] = {
        "n": number, "score": rng.random() * 10 ** rng.randrange(-9, 20), "spans": [rng.randbytes(8).hex()],
        "text": rng.choice(_WORDS), "inner": {"seen": rng.random() < 0.5, "none": None, "list": [1, -0.0, 2.5]},
    }  # fmt: skip
    return Note(
        rng.choice(_KINDS), rng.choice(_WORDS), f"agent{rng.randrange(50)}", rng.choice(_WORDS),
        rng.randbytes(16).hex(), rng.randbytes(8).hex(), payload,
    )  # fmt: skip


def _erase(rng: random.Random, log: Log) -> None:
    """Erase some payloads of *keep*; *watch* ends with the entries that say so, signed."""
    entries, watch = log.entries["keep"], log.entries["watch"]
    chosen = rng.sample(range(len(entries)), 2)
    orders = []
    for place in chosen:
        old = entries[place]
        payload = {"writer": "keep", "seq": old.seq, "payload_hash": old.payload_hash}
        orders.append((Note("erasure", "operator:jo", f"keep/{old.seq}", "asked for", payload=payload), NOW))
        entries[place] = old._replace(payload=b"")
    _append(log, chained(orders, "watch", len(watch), watch[-1].hash))


def _prune(rng: random.Random, log: Log) -> None:
    """Delete old entries of *watch* behind a checkpoint, and say so."""
    watch = log.entries["watch"]
    limit = log.signed["watch"][-1].size - 1
    below = rng.randrange(1, max(2, limit // 2))
    note = Note("retention", "watch", "watch", "older than 30 days", payload={"below": below})
    _append(log, chained([(note, NOW)], "watch", len(watch), watch[-1].hash))
    log.entries["watch"] = watch[below:]


def _append(log: Log, more: list[Entry]) -> None:
    watch, last = log.entries["watch"], log.signed["watch"][-1]
    watch += more
    tree = last.tree
    for entry in watch[last.size :]:
        tree.append(bytes.fromhex(entry.hash))
    key = next(each for each in log.signers if key_id(each.public) == last.key)
    log.signed["watch"].append(Checkpoint(
        "watch", len(watch), tree.root().hex(), watch[-1].hash, tuple(peak.hex() for peak in tree.peaks),
        watch[-1].time, last.writers, last.signature, "",
    ).signed(key))  # fmt: skip


def resigned(key: KeySigner, checkpoints: Sequence[Checkpoint], place: int, previous: str) -> list[Checkpoint]:
    """The checkpoints from ``place`` on under another key."""
    made = list(checkpoints[:place])
    for each in checkpoints[place:]:
        data = json.loads(each.line)
        data |= {"previous": made[-1].signature if made else previous, "frontier": tuple(data["frontier"])}
        made.append(Checkpoint(**data).signed(key))
    return made


def public_bytes(public: str) -> bytes:
    """A public key's 32 bytes."""
    return base64.b64decode(public)
