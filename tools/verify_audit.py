#!/usr/bin/env python3
"""A second verifier of Fusebox's audit log that shares no code with the first: standard library and Ed25519.

    python tools/verify_audit.py data/journal --pubkey audit.pub --rows rows.jsonl --witness seen.jsonl

The format is told in collector/audit/__init__.py. ``--rows`` holds the copy's rows, one JSON object a line, as
``SELECT * REPLACE (toUnixTimestamp64Micro(time) AS time) FROM audit_log WHERE payload_hash != '' ORDER BY writer, seq
FORMAT JSONEachRow`` prints them. Exit status: 0 verified, 1 tampering, 2 incomplete, 3 usage.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import sys
import time
from itertools import takewhile
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

FIELDS = """actor hash kind payload payload_hash prev reason seq span_id subject time trace_id
writer""".split()  # noqa: SIM905
UNSIGNED_S = 120


def sha(data):
    return hashlib.sha256(data).hexdigest()


def canonical(data):
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def leaf(entry):
    return sha(b"\0" + canonical({name: entry[name] for name in FIELDS if name not in ("hash", "payload")}))


def parse(line):
    """The entry on a line, its payload as the bytes that stand there (empty when erased); None for no entry."""
    try:
        entry = json.loads(line)
        payload = line[line.index(b'"payload":') + 10 : line.rindex(b',"payload_hash":')]
        head, tail = canonical({**entry, "payload": 0}).split(b'"payload":0,')
        if sorted(entry) != FIELDS or head + b'"payload":' + payload + b"," + tail != line:
            return None
        return {**entry, "payload": b"" if payload.strip() == b"null" else payload}
    except (ValueError, TypeError, AttributeError):
        return None


def good(entry):
    if entry is None or leaf(entry) != entry["hash"]:
        return False
    return not entry["payload"] or sha(entry["payload"]) == entry["payload_hash"]


def root(peaks):
    value = peaks[-1]
    for peak in reversed(peaks[:-1]):
        value = sha(b"\1" + bytes.fromhex(peak) + bytes.fromhex(value))
    return value


def grow(peaks, size, entry):
    value = leaf(entry)
    while size & 1:
        value, size = sha(b"\1" + bytes.fromhex(peaks.pop()) + bytes.fromhex(value)), size >> 1
    peaks.append(value)


def first_wrong(run, start, prev, head="", length=None, behind=()):
    """The number of the first entry of a run that is not as it was written, or None."""
    numbers = [entry and entry["seq"] for entry in run]
    for place, entry in enumerate(run):
        seq = start + place
        if not good(entry):
            return seq
        if entry["seq"] != seq:
            twin = run[entry["seq"] - start] if start <= entry["seq"] < seq else None
            ahead = seq in numbers[place + 1 :] or seq in behind
            return entry["seq"] if twin and twin != entry and ahead else seq
        if entry["prev"] != prev:
            after = run[place + 1] if place + 1 < len(run) else None
            vouched = after["prev"] == entry["hash"] if after else place + 1 == len(run) and head == entry["hash"]
            return seq - 1 if vouched and place else seq
        prev = entry["hash"]
    if length is not None and len(run) < length:
        return start + len(run)
    return start if head and prev != head else None


def difference(left, right):
    same = takewhile(lambda pair: pair[0] == pair[1], zip(left, right, strict=False))
    return sum(1 for _ in same)


class Chain:
    """One writer's chain; ``bad`` are (number, source), ``gaps`` what could not be verified."""

    def __init__(self, folder, rows, given, keys, memories):
        self.bad, self.gaps, self.gone, self.orders = [], [], {}, []
        paths = sorted(folder.glob("[0-9]*.jsonl"))
        lines = [line for path in paths for line in path.read_bytes().split(b"\n")[:-1]]
        self.items, self.rows, self.given = [parse(line) for line in lines], rows, given
        self.keys, self.used, self.ended = dict(keys), [], set()
        self.size, self.peaks, self.head, self.signed, self.agreed, self.unsigned = 0, [], "0" * 64, 0, 0, None
        self.believing, self.signature, ends = True, "", self.ends(folder, memories)
        self.at = self.first = 0
        start = int(paths[0].name[:12]) if paths else 0
        if start and not self.begin(start, ends):
            return
        if all(size <= self.size or self.run(size, signed, roots) for size, signed, roots in ends):
            self.tail()

    def ends(self, folder, memories):
        found, path = {}, folder / "checkpoints.jsonl"
        for line in path.read_bytes().split(b"\n")[:-1] if path.exists() else []:
            try:
                signed = json.loads(line)
                whole = canonical(signed) == line and root(signed["frontier"]) == signed["root"]
                if not whole or signed["size"] <= max(found, default=0) or signed["writer"] != folder.name:
                    raise ValueError
                found[signed["size"]] = signed
            except (ValueError, KeyError, TypeError, IndexError):
                self.bad.append((max(found, default=0), "checkpoints"))
                break
        sizes = sorted({*found, *(size for size, _ in memories if size)})
        return [(size, found.get(size), [root for at, root in memories if at == size]) for size in sizes]

    def believed(self, signed):
        if signed is None or not self.believing:
            return None
        message = b"fusebox-audit-checkpoint-1\n" + canonical({k: v for k, v in signed.items() if k != "signature"})
        try:
            if signed["key"] in self.ended or signed["previous"] != self.signature:
                raise InvalidSignature
            public = Ed25519PublicKey.from_public_bytes(base64.b64decode(self.keys[signed["key"]]))
            public.verify(base64.b64decode(signed["signature"], validate=True), message)
        except (InvalidSignature, KeyError, ValueError):
            self.bad.append((self.signed, "checkpoints"))
            self.believing = False
            return None
        if signed["key"] not in self.used:
            self.ended.update(self.used)
            self.used.append(signed["key"])
        if signed["next"]:
            self.keys[sha(base64.b64decode(signed["next"]))[:16]] = signed["next"]
        self.signature = signed["signature"]
        return signed

    def begin(self, first, ends):
        for size, signed, _ in ends:
            if self.believed(signed) and size >= first:
                run, length = self.items[: size - first], size - first
                prev = run[0]["prev"] if run and run[0] else ""
                wrong = first_wrong(run, first, prev, signed["head"], length, self.behind(length)) if run else None
                if wrong is not None:
                    self.blame(run, first, prev, signed["head"], length, wrong)
                    return False
                self.first, self.at = first, len(run)
                self.peaks, self.head, self.size = list(signed["frontier"]), signed["head"], size
                self.accept(run, first, signed)
                return True
        return True

    def run(self, size, signed, roots):
        start, prev, length = self.size, self.head, size - self.size
        signed = self.believed(signed)
        run = self.items[self.at : self.at + length]
        wrong = first_wrong(run, start, prev, signed["head"] if signed else "", length, self.behind(length))
        if wrong is None:
            peaks = list(self.peaks)
            for place, entry in enumerate(run):
                grow(peaks, start + place, entry)
            if signed and root(peaks) != signed["root"]:
                wrong = start
        if wrong is not None:
            self.blame(run, start, prev, signed["head"] if signed else "", length, wrong)
            return False
        self.peaks, self.head, self.size, self.at = peaks, run[-1]["hash"], size, self.at + length
        self.accept(run, start, signed)
        if any(known != root(peaks) for known in roots):
            self.bad.append((self.agreed, "journal"))
            return False
        self.agreed = size if roots else self.agreed
        return True

    def behind(self, length):
        return {entry["seq"] for entry in self.items[self.at + length :] if entry}

    def tail(self):
        run, start = self.items[self.at :], self.size
        wrong = first_wrong(run, start, self.head)
        if wrong is not None:
            self.blame(run, start, self.head, "", None, wrong)
            return
        self.size += len(run)
        self.accept(run, start, None)
        last = max((row["seq"] for row in self.rows or ()), default=-1)
        if self.rows is not None and max(last + 1, self.given) > self.size:
            self.bad.append((self.size, "journal" if self.given > self.size else "copy"))

    def accept(self, run, start, signed):
        self.gone.update({entry["seq"]: entry["payload_hash"] for entry in run if not entry["payload"]})
        self.orders += [
            (entry["kind"], json.loads(entry["payload"]))
            for entry in run
            if entry["kind"] in ("erasure", "retention") and entry["payload"]
        ]
        if signed:
            self.signed, self.unsigned = signed["size"], None
        elif run:
            self.unsigned = self.unsigned or run[0]
        if self.rows is not None and not any(where == "copy" for _, where in self.bad):
            self.compare(run, start)

    def compare(self, run, start):
        found = [row for row in self.rows if start <= row["seq"] < start + len(run)]
        bare = {entry["seq"] for entry in [*found, *run] if not entry["payload"]}
        self.gone.update({row["seq"]: row["payload_hash"] for row in found if not row["payload"]})
        left, right = (
            [{**each, "payload": b""} if each["seq"] in bare else each for each in side] for side in (found, run)
        )
        place = difference(left, right)
        late = start + len(found) >= min(self.given, start + len(run))
        if place < len(found) or not late:
            twice = found[place]["seq"] if place < len(found) else start + place
            self.bad.append((min(start + place, twice), "copy"))
        elif len(found) < len(run):
            self.gaps.append(f"entries from {start + place} on are not copied")
        if left == right and found != run:
            self.gaps.append("an erasure was not carried out everywhere")

    def blame(self, run, start, prev, head, length, wrong):
        if self.rows is not None:
            end = start + length if length is not None else 1 << 63
            found = [row for row in self.rows if start <= row["seq"] < end]
            place, other = difference(run, found), first_wrong(found, start, prev, head, length)
            if other is None and place < len(found):
                wrong = start + place
            elif found != run:
                self.bad.append((wrong if other is None else other, "copy"))
        self.bad.append((wrong, "journal"))


def read_rows(path):
    rows = {}
    for line in path.read_text().splitlines():
        row = json.loads(line)
        row |= {"seq": int(row["seq"]), "time": int(row["time"]), "payload": row["payload"].encode()}
        rows.setdefault(row["writer"], []).append(row)
    return {writer: sorted(held, key=lambda row: row["seq"]) for writer, held in rows.items()}


def verify(journal, rows=None, keys=None, remembered=(), now=None):
    """(exit status, bad as (writer, number, source), gaps)."""
    folders = sorted({path.parent for path in journal.glob("*/*.jsonl")})
    copied = journal / "copied.json"
    given = json.loads(copied.read_text()) if copied.exists() else {}
    told, chains = [(each["writer"], each["size"], each["root"]) for each in remembered], {}
    for folder in folders:
        path = folder / "checkpoints.jsonl"
        for line in path.read_bytes().split(b"\n")[:-1] if path.exists() else []:
            try:
                told += [(other, seen["size"], seen["root"]) for other, seen in json.loads(line)["writers"].items()]
            except (ValueError, KeyError, TypeError, AttributeError):
                continue
    for folder in folders:
        own = keys or read_keys(folder / "key.pub")
        held = None if rows is None else rows.get(folder.name, [])
        memories = [(size, known) for writer, size, known in told if writer == folder.name]
        chains[folder.name] = Chain(folder, held, given.get(folder.name, 0), own, memories)
    known = {writer for writer, _, _ in told} | set(rows or ()) | (set(given) if rows is not None else set())
    bad = [(writer, 0, "journal") for writer in known - set(chains)]
    gaps = [] if rows is not None else ["the copy was not compared (--rows)"]
    erased = {
        (o.get("writer"), o.get("seq"), o.get("payload_hash"))
        for c in chains.values()
        for kind, o in c.orders
        if kind == "erasure"
    }
    sound = not bad and not any(where == "journal" for chain in chains.values() for _, where in chain.bad)
    for writer, chain in chains.items():
        start = max([order.get("below", 0) for kind, order in chain.orders if kind == "retention"], default=0)
        bad += [(writer, seq, where) for seq, where in chain.bad if where != "copy" or seq >= start]
        if not sound:
            continue
        bad += [(writer, seq, "journal") for seq, hash in chain.gone.items() if (writer, seq, hash) not in erased]
        bad += [(writer, start, "journal")] if chain.first > start else []
        gaps += [f"{writer}: entries before {start} are left"] if chain.first < start else []
        gaps += [f"{writer}: {gap}" for gap in chain.gaps]
        if chain.unsigned and (now or time.time()) - chain.unsigned["time"] / 1e6 > UNSIGNED_S:
            gaps.append(f"{writer}: entries from {chain.unsigned['seq']} on are not signed")
    entries = sum(chain.size - chain.first for chain in chains.values())
    return (1 if bad else 2 if gaps or not entries else 0), sorted(bad), gaps


def read_keys(path):
    words = [line.split()[0] for line in path.read_text().splitlines() if line.strip()] if path.exists() else []
    return {sha(base64.b64decode(word))[:16]: word for word in words}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.error = lambda message: parser.exit(3, f"{message}\n")
    parser.add_argument("journal", type=Path)
    for name in ("--rows", "--pubkey", "--trusted", "--witness"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    try:
        keys = read_keys(args.pubkey) if args.pubkey else None
        texts = [line for path in (args.trusted, args.witness) if path for line in path.read_text().splitlines()]
        rows, remembered = read_rows(args.rows) if args.rows else None, [json.loads(text) for text in texts]
    except (OSError, ValueError, KeyError) as error:
        parser.error(str(error))
    status, bad, gaps = verify(args.journal, rows, keys, remembered)
    if args.json:
        print(json.dumps({"exit": status, "bad": bad, "incomplete": gaps}))
    else:
        print(
            *(f"TAMPERED {writer} {seq} ({where})" for writer, seq, where in bad),
            *gaps,
            ("verified", "tampered", "incomplete")[status],
            sep="\n",
        )
    return status


if __name__ == "__main__":
    sys.exit(main())
