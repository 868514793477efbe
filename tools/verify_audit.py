#!/usr/bin/env python3
"""A second verifier of Fusebox's audit log that shares no code with the first: standard library and Ed25519.

    python tools/verify_audit.py data/journal --pubkey audit.pub --rows rows.jsonl --witness seen.jsonl

docs/guide/audit.md tells the formats, and how rows.jsonl is made. Exit: 0 verified, 1 tampering, 2 incomplete, 3 usage.
"""

import argparse
import json
import sys
import time
from base64 import b64decode
from contextlib import suppress
from hashlib import sha256
from itertools import zip_longest
from pathlib import Path
from types import SimpleNamespace

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

KEYS = {"actor", "hash", "kind", "payload", "payload_hash", "prev", "reason", "seq", "span_id", "subject", "time"}
KEYS |= {"trace_id", "writer"}
CHECKPOINTS = "checkpoints.jsonl"
START = {"size": 0, "head": "0" * 64, "frontier": [], "signature": "", "key": "", "writers": {}}  # before the first one
NEVER = sys.maxsize
NOTHING = {"seq": NEVER, "prev": "", "hash": ""}  # a line that is no entry, a row that is not there
ORDERS = {"erasure", "retention"}
ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)
WRONG = (ValueError, ArithmeticError, LookupError, TypeError, AttributeError, RecursionError, InvalidSignature, OSError)


def lines(paths):
    return [line for path in paths for line in path.read_bytes().split(b"\n")[:-1]]


def canonical(data, *without):
    return ENCODER.encode({key: value for key, value in data.items() if key not in without}).encode()


def genuine(entry):
    """The entry, without a hash when what it says is not what was hashed."""
    sound = sha256(b"\0" + canonical(entry, "hash", "payload")).hexdigest() == entry["hash"]
    sound &= not entry["payload"] or sha256(entry["payload"]).hexdigest() == entry["payload_hash"]
    return entry if sound else entry | {"hash": ""}


def entry_on(line):
    """Its payload as the bytes that stand there, for they were hashed; none when it was erased."""
    with suppress(*WRONG):
        entry, payload = json.loads(line), line[line.index(b'"payload":') + 10 : line.rindex(b',"payload_hash":')]
        erased, numbers = payload.rstrip() == b"null", type(entry["seq"]) is type(entry["time"]) is int
        whole = canonical(entry | {"payload": 0}).replace(b'"payload":0', b'"payload":' + payload, 1) == line
        if whole and entry.keys() == KEYS and numbers and (erased or isinstance(entry["payload"], dict)):
            return genuine(entry | {"payload": b"" if erased else payload})
    return NOTHING


def root(peaks):
    """The root of a tree that consists of perfect subtrees, the largest first."""
    left, *rest = peaks
    return sha256(b"\1" + bytes.fromhex(left) + bytes.fromhex(root(rest))).hexdigest() if rest else left


def checkpoint_on(line):
    signed = json.loads(line)
    tree = len(signed["frontier"]) == signed["size"].bit_count() and root(signed["frontier"]) == signed["root"]
    if not tree or canonical(signed) != line:
        raise ValueError("no checkpoint")
    return signed


def by_id(texts):
    """Public keys, the first words of texts."""
    words = [text.split()[0] for text in texts if text.strip()]
    return {sha256(b64decode(word)).hexdigest()[:16]: word for word in words}


def believed(folder, keys):
    """Checkpoints that count, by size: signed, and behind the one before. A new key's first one ends the old key."""
    found, last = {0: START}, START
    with suppress(*WRONG):
        keys = keys or by_id((folder / "key.pub").read_text().splitlines())
        for signed in map(checkpoint_on, lines([folder / CHECKPOINTS])):
            message = b"fusebox-audit-checkpoint-1\n" + canonical(signed, "signature")
            public = Ed25519PublicKey.from_public_bytes(b64decode(keys[signed["key"]]))
            public.verify(b64decode(signed["signature"], validate=True), message)
            place = signed["writer"], signed["previous"]
            if place != (folder.name, last["signature"]) or signed["size"] <= last["size"]:
                break
            ended = {last["key"]: ""} if signed["key"] != last["key"] else {}
            keys = by_id([signed["next"]]) | keys | ended
            found[signed["size"]] = last = signed
    return found


def walk(items, first, signed, memories, size):
    """The first wrong number of a chain of ``size`` entries, and up to where somebody vouches for it."""
    base = min(known for known in signed if known >= first)  # what retention left is believed up to there
    prev, peaks, sound, agreed = signed.get(first, {}).get("head"), [], first, 0
    for seq, entry in enumerate([*items, NOTHING], first):
        if seq in signed:
            peaks = signed[seq]["frontier"] if seq == base else peaks
            if (prev, peaks) != (signed[seq]["head"], signed[seq]["frontier"]):
                return sound, sound
            sound = seq
        if seq in memories and seq >= base:
            if memories[seq] != {root(peaks)}:
                return agreed, sound
            sound = agreed = seq
        if not entry["hash"] or entry["seq"] != seq or prev not in (None, entry["prev"]):
            break
        prev, peaks = entry["hash"], [*peaks, entry["hash"]]
        while len(peaks) > (seq + 1).bit_count():
            peaks[-2:] = [root(peaks[-2:])]
    if seq == first + len(items) >= size:
        return NEVER, (NEVER if seq >= max(signed) else sound)
    # the one before is false when what follows vouches for this one, or when both have one number and the next has this
    behind = next(iter(items[seq - first + 1 :]), NOTHING)
    vouched = entry["seq"] == seq and entry["hash"] == signed.get(seq + 1, {"head": behind["prev"]})["head"]
    twice = entry["seq"] == seq - 1 and any(each["seq"] == seq for each in items[seq - first :])
    return seq - (seq > sound and entry["hash"] not in ("", prev) and (vouched or twice)), sound


def examine(folder, signed, rows, given, memories, now, read_at):
    """One chain: ``bad`` are the first wrong numbers by source, ``lost`` payloads that are gone, ``erased`` orders."""
    paths = sorted(path for path in folder.glob("[0-9]*.jsonl") if path.is_file())
    journal, first, last = [*map(entry_on, lines(paths))], int(paths[0].name[:12]) if paths else 0, max(signed)
    first = first if last >= first else 0  # without a checkpoint nothing speaks for what retention left
    copy = [genuine(row) for row in rows if row["seq"] >= first]
    late = next((each["seq"] for each in journal if each["hash"] and each["time"] / 1e6 >= read_at), NEVER)
    due = min(given, late)  # entries before this one must have their row
    wrong, sound = walk(journal, first, signed, memories, max(last, given, *memories))
    copy_wrong, copy_sound = walk(copy, first, signed, memories, due)
    pairs = enumerate(zip_longest(journal[: max(len(copy), due - first)], copy, fillvalue=NOTHING), first)
    differs = next((min(seq, row["seq"]) for seq, (entry, row) in pairs if entry["hash"] != row["hash"]), NEVER)
    if differs >= sound:  # no fault of the copy: where somebody vouches for it, it shows where the journal is false
        wrong, differs = differs if differs < copy_sound else min(wrong, copy_wrong, differs), NEVER
    good = journal[: sound - first]
    orders = [json.loads(each["payload"]) for each in good if each["kind"] in ORDERS and each["payload"]]
    erased = [(order.get("writer"), order.get("seq"), order.get("payload_hash")) for order in orders]
    below = max([0, *(order["below"] for order in orders if type(order.get("below")) is int)])
    bad = {"journal": wrong, "copy": differs if differs >= below else NEVER}  # older rows may go before their lines
    bad["checkpoints"] = last if len(signed) <= len(lines(folder.glob(CHECKPOINTS))) else NEVER
    lost = [(folder.name, each["seq"], each["payload_hash"]) for each in (*good, *copy) if not each["payload"]]
    loose = [each for each in good[last - first :] if now - each["time"] / 1e6 > 120 or each["kind"] in ORDERS]
    gaps = [f"{each['seq']} is not signed" for each in loose]
    if [row["payload"] for row in rows] != [each["payload"] for each in good[: max(len(copy), late - first)]]:
        gaps += ["the copy is behind, or with an erasure or retention"]
    gaps += [f"entries before {below} are left"] if first < below else []
    return SimpleNamespace(bad=bad, gaps=gaps, good=good, lost=lost, erased=erased, first=first, below=below)


def verify(journal, rows=None, keys=None, remembered=(), now=None, read_at=NEVER):
    """(exit status, bad as (writer, number, source), gaps)."""
    gaps, given, chains, now = [], {}, {}, now or time.time()
    with suppress(*WRONG):
        given = {writer: int(size) for writer, size in json.loads((journal / "copied.json").read_text()).items()}
    if rows is None:  # as if they had been read before the first entry
        rows, given, read_at, gaps = {}, {}, 0, ["the copy was not compared (--rows)"]
    folders = {path.parent.name: path.parent for path in sorted(journal.glob("*/*.jsonl"))}
    signed = {name: believed(folder, keys) for name, folder in folders.items()}
    said = [pair for found in signed.values() for each in found.values() for pair in each["writers"].items()]
    told = {name: {} for name in {*folders, *given, *rows}}
    for writer, each in [*said, *((each["writer"], each) for each in remembered)]:
        told.setdefault(writer, {}).setdefault(each["size"], set()).add(each["root"])
    for name, folder in folders.items():
        chains[name] = examine(folder, signed[name], rows.get(name, []), given.get(name, 0), told[name], now, read_at)
    bad = [(writer, 0, "journal") for writer in told.keys() - chains.keys()]
    sound = not bad and not any(chain.bad["journal"] < NEVER for chain in chains.values())
    erased = [payload for chain in chains.values() for payload in chain.erased]
    for name, chain in chains.items():
        bad += [(name, seq, where) for where, seq in chain.bad.items() if seq < NEVER]
        if sound:
            bad += [(*payload[:2], "journal") for payload in chain.lost if payload not in erased]
            bad += [(name, chain.below, "journal")] if chain.first > chain.below else []
            gaps += [f"{name}: {gap}" for gap in chain.gaps]
    return (1 if bad else 2 if gaps or not any(chain.good for chain in chains.values()) else 0), sorted(bad), gaps


def read_rows(path):
    rows = {}
    for row in sorted(map(json.loads, path.read_bytes().splitlines()), key=lambda row: int(row["seq"])):
        whole = {"seq": int(row["seq"]), "time": int(row["time"]), "payload": row["payload"].encode()}
        rows.setdefault(row["writer"], []).append({key: row[key] for key in KEYS} | whole)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.error = lambda message: parser.exit(3, f"{message}\n")
    for name in ("journal", "--rows", "--pubkey"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--witness", "--trusted", type=Path, action="append", default=[])
    args = parser.parse_args()
    try:
        keys, rows = args.pubkey and by_id(args.pubkey.read_text().splitlines()), args.rows and read_rows(args.rows)
        read_at = args.rows.stat().st_mtime - 10 if args.rows else 0  # the copy may be ten seconds late
        remembered = [checkpoint_on(line) for path in args.witness for line in path.read_bytes().splitlines()]
        if keys == {}:
            raise ValueError("no public keys")
    except WRONG as error:
        parser.error(f"a file that was given cannot be read: {error}")
    status, bad, gaps = verify(args.journal, rows, keys, remembered, read_at=read_at)
    problems = [f"TAMPERED {writer} {seq} ({where})" for writer, seq, where in bad]
    print(*problems, *gaps, ("verified", "tampered", "incomplete")[status], sep="\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
