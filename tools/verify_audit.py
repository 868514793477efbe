#!/usr/bin/env python3
"""A second verifier of Fusebox's audit log that shares no code with the first: standard library and Ed25519.

    python tools/verify_audit.py data/journal --pubkey audit.pub --rows rows.jsonl --witness seen.jsonl

docs/guide/audit.md tells the formats, and how rows.jsonl is made. Exit: 0 verified, 1 tampering, 2 incomplete, 3 usage.
"""

import argparse
import json
import math
import sys
import time
from base64 import b64decode
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

KEYS = {"actor", "hash", "kind", "payload", "payload_hash", "prev", "reason", "seq", "span_id", "subject", "time"}
KEYS |= {"trace_id", "writer"}
WRONG = (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError, InvalidSignature)


def sha(data):
    return sha256(data).hexdigest()


def node(left, right):
    return sha(b"\1" + bytes.fromhex(left) + bytes.fromhex(right))


def root(peaks):
    return node(peaks[0], root(peaks[1:])) if peaks[1:] else peaks[0]


def canonical(data, *without):
    kept = {key: value for key, value in data.items() if key not in without}
    return json.dumps(kept, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def lines(path, read):
    """What ``read`` makes of each whole line; None where it cannot."""
    found = []
    for line in path.read_bytes().split(b"\n")[:-1] if path.exists() else []:
        found.append(None)
        with suppress(*WRONG):
            found[-1] = read(line)
    return found


def entry_on(line):
    """Its payload as the bytes that stand there, for they were hashed; none when it was erased."""
    entry = json.loads(line)
    payload = line[line.index(b'"payload":') + 10 : line.rindex(b',"payload_hash":')]
    head, tail = canonical(entry | {"payload": 0}).split(b'"payload":0,')
    whole = entry.keys() == KEYS and type(entry["seq"]) is int and head + b'"payload":' + payload + b"," + tail == line
    return entry | {"payload": b"" if payload.strip() == b"null" else payload} if whole else None


def checkpoint_on(line):
    signed = json.loads(line)
    told = all(type(each["size"]) is int and each["root"] for each in (signed, *signed["writers"].values()))
    return signed if told and canonical(signed) == line and root(signed["frontier"]) == signed["root"] else None


def believed(checkpoints, writer, keys):
    """Those that count, by size: signed, and behind the one before. A new key's first one ends the old key."""
    found, keys, last = {}, dict(keys), {"size": 0, "signature": "", "key": ""}
    for signed in checkpoints:
        try:
            public = Ed25519PublicKey.from_public_bytes(b64decode(keys[signed["key"]]))
            message = b"fusebox-audit-checkpoint-1\n" + canonical(signed, "signature")
            public.verify(b64decode(signed["signature"], validate=True), message)
            if signed["previous"] != last["signature"] or signed["writer"] != writer or signed["size"] <= last["size"]:
                break
        except WRONG:
            break
        if signed["key"] != last["key"]:
            keys.pop(last["key"], None)
        if signed["next"]:
            keys[sha(b64decode(signed["next"]))[:16]] = signed["next"]
        found[signed["size"]] = last = signed
    return found


def genuine(entry):
    hashed = entry and sha(b"\0" + canonical(entry, "hash", "payload")) == entry["hash"]
    return hashed and (not entry["payload"] or sha(entry["payload"]) == entry["payload_hash"])


def named(items, first, start, seq, head):
    """Which entry is to blame when the one in the place of ``seq`` is no continuation."""
    entry, *rest = items[seq - first :]
    if not genuine(entry):
        return seq
    if entry["seq"] == seq:  # when what follows vouches for this one, the one before is false
        vouching = head or (rest[0]["prev"] if rest and rest[0] else "")
        return seq - 1 if seq > start and vouching == entry["hash"] else seq
    twin = items[entry["seq"] - first] if start <= entry["seq"] < seq else entry
    ahead = any(each and each["seq"] == seq for each in rest)
    return entry["seq"] if twin != entry and ahead else seq  # of two with one number nobody can say which is false


def walk(items, first, signed, memories):
    """Follow a chain: (first wrong number or None, the sizes between which it lies).

    What retention left begins with ``first``, and is believed up to the first checkpoint that reaches it.
    """
    base = min((size for size in signed if size >= first), default=sys.maxsize) if first else 0
    ends = [size for size in sorted({*signed, *memories}) if size and size >= base] + [sys.maxsize]
    seq, start, agreed, peaks, prev = first, first, 0, [], "0" * 64 if not first else ""
    if items and items[0] and first <= base < sys.maxsize and first:
        prev = items[0]["prev"]
    for seq, entry in enumerate([*items, None], first):
        if seq == ends[0]:
            peaks = list(signed[seq]["frontier"]) if first and seq == base else peaks
            if seq in signed and (signed[seq]["head"], signed[seq]["root"]) != (prev, root(peaks)):
                return start, start, seq
            if any(known != root(peaks) for known in memories.get(seq, ())):
                return agreed, seq, seq
            start, agreed = ends.pop(0), seq if seq in memories else agreed
        if seq - first == len(items):
            break
        if not genuine(entry) or (entry["seq"], entry["prev"]) != (seq, prev):
            return named(items, first, start, seq, signed.get(seq + 1, {}).get("head")), start, ends[0]
        prev = entry["hash"]
        peaks += [prev] if seq >= base else []
        for _ in range(((seq + 1) & -(seq + 1)).bit_length() - 1 if seq >= base else 0):
            peaks[-2:] = [node(*peaks[-2:])]
    return (seq, start, ends[0]) if ends[1:] else (None, seq, sys.maxsize)


def difference(rows, items, first):
    """The first number at which copy and journal differ, apart from payloads that one of them has lost."""
    gone = bare(rows) | bare(items)
    sides = ([e | {"payload": b""} if e and e["seq"] in gone else e for e in side] for side in (rows, items))
    places = (place for place, (one, two) in enumerate(zip(*sides, strict=False)) if one != two)
    place = next(places, min(len(rows), len(items)))
    return min([first + place, *(row["seq"] for row in rows[place : place + 1])])


def bare(entries):
    """Hashes of the payloads that were erased, by number."""
    return {entry["seq"]: entry["payload_hash"] for entry in entries if entry and not entry["payload"]}


def examine(folder, rows, given, keys, memories, read_at):
    """One chain; ``bad`` are (number, source), ``gaps`` what could not be verified, ``gone`` erased payloads."""
    paths = sorted(folder.glob("[0-9]*.jsonl"))
    items = [entry for path in paths for entry in lines(path, entry_on)]
    checkpoints = lines(folder / "checkpoints.jsonl", checkpoint_on)
    signed = believed(checkpoints, folder.name, keys)
    first, last = int(paths[0].name[:12]) if paths else 0, max(signed, default=0)
    bad, gaps = [(last if last >= first else 0, "checkpoints")] if len(signed) < len(checkpoints) else [], []
    wrong, start, end = walk(items, first, signed, memories)
    good = items[: max(0, start - first)]
    gone, size = bare(good), first + len(good)
    if rows is not None:
        held = [row for row in rows if row["seq"] >= first]
        gaps += [f"rows before {first} are left"] if held != rows else []
        gone |= bare(held)
        differs = difference(held, items, first)
        newer = next((each["seq"] for each in good if each["time"] / 1e6 >= read_at), size)  # they have no row yet
        if wrong is None or differs < start:
            if differs < max([min(given, newer), *(row["seq"] + 1 for row in held)]):
                bad.append((differs, "copy"))
            elif held != items[: max(len(held), newer - first)]:
                gaps.append(f"the copy is behind from {differs} on, or with an erasure")
        elif differs < end:  # a copy that is as it was signed knows better where the journal is wrong
            other, since, _ = walk(held, first, signed, memories)
            if (other is None or since >= end) and differs - first < len(held):
                wrong = differs
            elif held != items:
                bad.append((wrong if other is None or since >= end else other, "copy"))
        wrong = size if wrong is None and given > size else wrong
    bad += [] if wrong is None else [(wrong, "journal")]
    told = [each for each in good if each["payload"] and each["kind"] in ("erasure", "retention")]
    orders = [(each["kind"], json.loads(each["payload"])) for each in told]
    unsigned = good[max(0, last - first) :][:1]
    return SimpleNamespace(bad=bad, gaps=gaps, gone=gone, orders=orders, first=first, size=size, unsigned=unsigned)


def verify(journal, rows=None, keys=None, remembered=(), now=None, read_at=math.inf):
    """(exit status, bad as (writer, number, source), gaps)."""
    folders, copied = sorted({path.parent for path in journal.glob("*/*.jsonl")}), journal / "copied.json"
    given = json.loads(copied.read_text()) if rows is not None and copied.exists() else {}
    seen = [each for folder in folders for each in lines(folder / "checkpoints.jsonl", checkpoint_on) if each]
    told, chains = {}, {}
    for writer, each in [(c["writer"], c) for c in remembered] + [pair for c in seen for pair in c["writers"].items()]:
        told.setdefault(writer, {}).setdefault(each["size"], []).append(each["root"])
    for folder in folders:
        held = None if rows is None else rows.get(folder.name, [])
        own = read_keys(folder / "key.pub") if keys is None else keys
        memories = told.get(folder.name, {})
        chains[folder.name] = examine(folder, held, given.get(folder.name, 0), own, memories, read_at)
    bad = [(writer, 0, "journal") for writer in {*told, *given, *(rows or ())} - chains.keys()]
    gaps = [] if rows is not None else ["the copy was not compared (--rows)"]
    sound = not bad and not any(where == "journal" for chain in chains.values() for _, where in chain.bad)
    orders = [order for chain in chains.values() for kind, order in chain.orders if kind == "erasure"]
    erased = {(order.get("writer"), order.get("seq"), order.get("payload_hash")) for order in orders}
    for writer, chain in chains.items():
        below = max((order.get("below", 0) for kind, order in chain.orders if kind == "retention"), default=0)
        bad += [(writer, seq, where) for seq, where in chain.bad if where != "copy" or seq >= below]
        if sound:
            bad += [(writer, seq, "journal") for seq, hash in chain.gone.items() if (writer, seq, hash) not in erased]
            bad += [(writer, below, "journal")] if chain.first > below else []
            old = [each["seq"] for each in chain.unsigned if (now or time.time()) - each["time"] / 1e6 > 120]
            chain.gaps += [f"not signed from {seq} on" for seq in old]
            chain.gaps += [f"entries before {below} are left"] if chain.first < below else []
            gaps += [f"{writer}: {gap}" for gap in chain.gaps]
    entries = sum(chain.size - chain.first for chain in chains.values())
    return (1 if bad else 2 if gaps or not entries else 0), sorted(bad), gaps


def read_keys(path):
    words = [line.split()[0] for line in path.read_text().splitlines() if line.strip()] if path.exists() else []
    return {sha(b64decode(word))[:16]: word for word in words}


def read_rows(path):
    rows = {}
    for row in map(json.loads, path.read_text().splitlines()):
        whole = {"seq": int(row["seq"]), "time": int(row["time"]), "payload": row["payload"].encode()}
        rows.setdefault(row["writer"], []).append({key: row[key] for key in KEYS} | whole)
    return {writer: sorted(held, key=lambda row: row["seq"]) for writer, held in rows.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.error = lambda message: parser.exit(3, f"{message}\n")
    parser.add_argument("journal", type=Path)
    for name in ("--rows", "--pubkey", "--trusted", "--witness"):
        parser.add_argument(name, type=Path)
    args = parser.parse_args()
    try:
        keys, rows = args.pubkey and read_keys(args.pubkey), args.rows and read_rows(args.rows)
        read_at = args.rows.stat().st_mtime - 10 if args.rows else math.inf  # the copy may be ten seconds late
        files = [path for path in (args.trusted, args.witness) if path]
        remembered = [checkpoint_on(line) for path in files for line in path.read_bytes().splitlines()]
    except (*WRONG, OSError) as error:
        parser.error(f"a file that was given cannot be read: {error}")
    if (args.pubkey and not keys) or not all(remembered):
        parser.error("a file that was given holds no public keys, or something else than checkpoints")
    status, bad, gaps = verify(args.journal, rows, keys, remembered, read_at=read_at)
    problems = [f"TAMPERED {writer} {seq} ({where})" for writer, seq, where in bad]
    print(*problems, *gaps, ("verified", "tampered", "incomplete")[status], sep="\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
