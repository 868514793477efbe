#!/usr/bin/env python3
"""A second verifier of Fusebox's audit log that shares no code with the first: standard library and Ed25519.

    python tools/verify_audit.py data/journal --pubkey audit.pub --rows rows.jsonl --witness seen.jsonl

docs/guide/audit.md tells the formats, and how rows.jsonl is made. Exit: 0 verified, 1 tampering, 2 incomplete, 3 usage.
"""

import argparse
import json
import re
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
SIGNED = {"frontier", "head", "key", "next", "previous", "root", "signature", "size", "time", "writer", "writers"}
ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)
CHECKPOINTS = "checkpoints.jsonl"
ORDERS = {"erasure", "retention"}
PAYLOAD = re.compile(rb'(.*?"payload":)(.*)(,"payload_hash":.*)', re.DOTALL)
WRONG = (ValueError, KeyError, TypeError, AttributeError, RecursionError, InvalidSignature)


def node(left, right):
    return sha256(b"\1" + bytes.fromhex(left) + bytes.fromhex(right)).hexdigest()


def root(peaks):
    return node(peaks[0], root(peaks[1:])) if peaks[1:] else peaks[0]


def key_id(public):
    return sha256(b64decode(public)).hexdigest()[:16]


def canonical(data, *without):
    return ENCODER.encode({key: value for key, value in data.items() if key not in without}).encode()


def entry_on(line):
    """Its payload as the bytes that stand there, for they were hashed; none when it was erased."""
    entry, (before, payload, behind) = json.loads(line), PAYLOAD.fullmatch(line).groups()
    whole = entry.keys() == KEYS and canonical(entry | {"payload": 0}) == before + b"0" + behind
    erased, numbers = payload.rstrip() == b"null", type(entry["seq"]) is type(entry["time"]) is int
    sound = whole and numbers and (erased or isinstance(entry["payload"], dict))
    return entry | {"payload": b"" if erased else payload} if sound else None


def checkpoint_on(line):
    signed = json.loads(line)
    told = all(type(each["size"]) is int and each["root"] for each in (signed, *signed["writers"].values()))
    tree = len(signed["frontier"]) == signed["size"].bit_count() and root(signed["frontier"]) == signed["root"]
    return signed if told and tree and signed.keys() == SIGNED and canonical(signed) == line else None


def lines(path, read):
    """What ``read`` makes of each whole line; None where it cannot."""
    found = []
    for line in path.read_bytes().split(b"\n")[:-1] if path.exists() else []:
        found.append(None)
        with suppress(*WRONG):
            found[-1] = read(line)
    return found


def believed(folder, keys):
    """Those that count, by size: signed, and behind the one before. A new key's first one ends the old key."""
    found, last = {}, {"size": 0, "signature": "", "key": ""}
    with suppress(*WRONG):
        keys = dict(keys or read_keys(folder / "key.pub"))
        for signed in lines(folder / CHECKPOINTS, checkpoint_on):
            message = b"fusebox-audit-checkpoint-1\n" + canonical(signed, "signature")
            public = Ed25519PublicKey.from_public_bytes(b64decode(keys[signed["key"]]))
            public.verify(b64decode(signed["signature"], validate=True), message)
            place = signed["writer"], signed["previous"]
            if place != (folder.name, last["signature"]) or signed["size"] <= last["size"]:
                break
            if signed["key"] != last["key"]:
                keys[last["key"]] = ""
            if signed["next"]:
                keys.setdefault(key_id(signed["next"]), signed["next"])
            found[signed["size"]] = last = signed
    return found


def genuine(entry):
    hashed = entry and sha256(b"\0" + canonical(entry, "hash", "payload")).hexdigest() == entry["hash"]
    return hashed and (not entry["payload"] or sha256(entry["payload"]).hexdigest() == entry["payload_hash"])


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
    """Follow a chain: the first wrong number (or None), and up to which number it was verified.

    It goes from one known root to the next. What retention left is believed up to the first checkpoint behind it.
    """
    base = min(size for size in signed if size >= first) if first else 0
    ends = [*sorted(size for size in {*signed, *memories} if size and size >= base), sys.maxsize]
    prev = "0" * 64 if not first else (items[0] or {}).get("prev") if items else signed[base]["head"]
    peaks, start, agreed = [], first, 0
    while True:
        end = ends.pop(0)
        run = items[start - first : end - first]
        for seq, entry in enumerate(run, start):
            if not genuine(entry) or (entry["seq"], entry["prev"]) != (seq, prev):
                return named(items, first, start, seq, signed.get(seq + 1, {}).get("head")), start
            prev = entry["hash"]
            peaks.append(prev)
            for _ in range(((seq + 1) & -(seq + 1)).bit_length() - 1 if end > base else 0):
                peaks[-2:] = [node(*peaks[-2:])]
        if not ends:
            return None, start + len(run)
        if len(run) < end - start:
            return start + len(run), start
        peaks = list(signed[end]["frontier"]) if end == base else peaks
        if end in signed and (signed[end]["head"], signed[end]["root"]) != (prev, root(peaks)):
            return start, start
        if any(known != root(peaks) for known in memories.get(end, ())):
            return agreed, end
        start, agreed = end, end if end in memories else agreed


def same(row, item):
    """Apart from a payload that one of them has lost."""
    erased = row and item and not (row["payload"] and item["payload"])
    return row | {"payload": b""} == item | {"payload": b""} if erased else row == item


def difference(rows, items, first):
    """The first number at which copy and journal differ."""
    places = (place for place, pair in enumerate(zip(rows, items, strict=False)) if not same(*pair))
    place = next(places, min(len(rows), len(items)))
    return min([first + place, *(row["seq"] for row in rows[place : place + 1])])


def examine(folder, signed, rows, given, memories, now, read_at):
    """One chain; ``bad`` are (number, source), ``gaps`` what could not be verified, ``good`` what its journal holds."""
    paths = sorted(folder.glob("[0-9]*.jsonl"))
    items = [entry for path in paths for entry in lines(path, entry_on)]
    first, last = int(paths[0].name[:12]) if paths else 0, max(signed, default=0)
    first = first if last >= first else 0  # without a checkpoint nothing speaks for what retention left
    wrong, start = walk(items, first, signed, memories)
    good = items[: start - first]
    bad, gaps = [], []
    if len(signed) < len(lines(folder / CHECKPOINTS, len)):
        bad.append((last if last >= first else 0, "checkpoints"))
    held = [row for row in rows or () if row["seq"] >= first]
    if rows is not None and held != items:
        differs, (other, since) = difference(held, items, first), walk(held, first, signed, memories)
        end = next((each["seq"] for each in good if each["time"] / 1e6 >= read_at), start)  # later ones have no row yet
        if wrong is not None and start <= differs < since:  # the copy knows better
            wrong = differs
        elif wrong is not None and start <= differs:
            bad += [] if other is None else [(other, "copy")]
        elif differs < max([min(given, end), *(row["seq"] + 1 for row in held)]):
            bad.append((differs, "copy"))
        elif held != items[: max(len(held), end - first)]:
            gaps.append(f"the copy is behind from {differs} on, or with an erasure")
    wrong = start if wrong is None and given > start else wrong
    bad += [] if wrong is None else [(wrong, "journal")]
    gaps += [f"rows before {first} are left"] if rows and held != rows else []
    loose = [each for each in good[last - first :] if now - each["time"] / 1e6 > 120 or each["kind"] in ORDERS]
    gaps += [f"{each['seq']} is not signed" for each in loose]
    gone = {each["seq"]: each["payload_hash"] for each in (*good, *held) if not each["payload"]}
    return SimpleNamespace(bad=bad, gaps=gaps, good=good, gone=gone, first=first)


def verify(journal, rows=None, keys=None, remembered=(), now=None, read_at=sys.maxsize):
    """(exit status, bad as (writer, number, source), gaps)."""
    folders, copied = sorted({path.parent for path in journal.glob("*/*.jsonl")}), journal / "copied.json"
    given = json.loads(copied.read_text()) if rows is not None and copied.exists() else {}
    told, chains, gaps = {}, {}, [] if rows is not None else ["the copy was not compared (--rows)"]
    signed = {folder: believed(folder, keys) for folder in folders}
    seen = [each["writers"] for found in signed.values() for each in found.values()]
    seen += [{each["writer"]: each} for each in remembered]
    for writer, each in (pair for writers in seen for pair in writers.items()):
        told.setdefault(writer, {}).setdefault(each["size"], set()).add(each["root"])
    for folder in folders:
        name, held = folder.name, None if rows is None else rows.get(folder.name, [])
        memories = told.get(name, {})
        chains[name] = examine(folder, signed[folder], held, given.get(name, 0), memories, now or time.time(), read_at)
    bad = [(writer, 0, "journal") for writer in {*told, *given, *(rows or ())} - chains.keys()]
    sound = not bad and not any(where == "journal" for chain in chains.values() for _, where in chain.bad)
    told = [(name, each) for name, chain in chains.items() for each in chain.good if each["payload"]]
    orders = [(name, json.loads(each["payload"])) for name, each in told if each["kind"] in ORDERS]
    erased = [(order.get("writer"), order.get("seq"), order.get("payload_hash")) for _, order in orders]
    for writer, chain in chains.items():
        pruned = [order.get("below") for name, order in orders if name == writer]
        below = max(each for each in (0, *pruned) if type(each) is int)
        bad += [(writer, seq, where) for seq, where in chain.bad if where != "copy" or seq >= below]
        if sound:
            bad += [(writer, seq, "journal") for seq, hash in chain.gone.items() if (writer, seq, hash) not in erased]
            bad += [(writer, below, "journal")] if chain.first > below else []
            gaps += [f"{writer}: {gap}" for gap in chain.gaps]
            gaps += [f"{writer}: entries before {below} are left"] if chain.first < below else []
    entries = sum(len(chain.good) for chain in chains.values())
    return (1 if bad else 2 if gaps or not entries else 0), sorted(bad), gaps


def read_keys(path):
    words = [line.split()[0] for line in path.read_text().splitlines() if line.strip()] if path.exists() else []
    return {key_id(word): word for word in words}


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
    parser.add_argument("--rows", type=Path)
    parser.add_argument("--pubkey", type=Path)
    parser.add_argument("--witness", "--trusted", type=Path, action="append", default=[])
    args = parser.parse_args()
    try:
        keys, rows = args.pubkey and read_keys(args.pubkey), args.rows and read_rows(args.rows)
        read_at = args.rows.stat().st_mtime - 10 if args.rows else sys.maxsize  # the copy may be ten seconds late
        remembered = [checkpoint_on(line) for path in args.witness for line in path.read_bytes().splitlines()]
        if keys == {} or not all(remembered):
            raise ValueError("no public keys, or something else than checkpoints")
    except (*WRONG, OSError) as error:
        parser.error(f"a file that was given cannot be read: {error}")
    status, bad, gaps = verify(args.journal, rows, keys, remembered, read_at=read_at)
    problems = [f"TAMPERED {writer} {seq} ({where})" for writer, seq, where in bad]
    print(*problems, *gaps, ("verified", "tampered", "incomplete")[status], sep="\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
