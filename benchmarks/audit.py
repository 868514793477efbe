"""The audit log: ``python -m benchmarks.audit [--quick]``.

* ``verify_per_s``: entries of a journal that one core verifies a second (lines, hashes, tree, signatures);
  ``verify_with_copy_per_s``: the same, held against their rows in chDB.
* ``append_per_s``: entries a second that 64 threads append, each durable (``fdatasync`` in groups) before it is
  acknowledged; ``append_alone_per_s`` with one thread, for the disk's sake.
* ``tamperings``: random ones, every kind in turn, over logs of 100 to 10,000 entries; ``tamperings_detected``: the
  share of them that was detected at the exact entry. ``clean_logs`` and, of those, ``false_alarms``.
  ``disagreements``: verdicts in which the second verifier differs.

Each log is tampered with ten times, always from its clean state on. Sizes are drawn so that small logs are more
frequent: half are below 180 entries, one in nineteen above 5,000. The kinds are those of
:mod:`benchmarks.audit_data.tampering`.
"""

from __future__ import annotations

import argparse
import math
import random
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from rich.progress import track

from benchmarks.audit_data.both import judge, second
from benchmarks.audit_data.logs import chained, clean, signed, signer
from benchmarks.audit_data.tampering import TAMPERINGS
from benchmarks.report import Report
from collector import schema
from collector.audit import checkpoint, copied
from collector.audit.entry import Entry, Note, line
from collector.audit.journal import Journal
from collector.audit.keys import PUBLIC
from collector.audit.verify import Copy, Wish, snapshots, verify
from collector.keep.audit_copy import AuditCopy
from collector.keep.engine import Engine
from collector.verbs.audit_source import rows_of
from fusebox.clock import SystemClock

_ENTRIES: Final = 200_000
_APPENDS: Final = 20_000
_THREADS: Final = 64
_TAMPERINGS: Final = 10_000
_CLEAN: Final = 1_000
_EACH: Final = 10
"""Tamperings with one log; no divisor of the number of kinds, so that every kind meets logs of every place."""
_SMALLEST: Final = 100
_LARGEST: Final = 10_000


def _note(number: int) -> Note:
    """About as long as the entries of a day are."""
    finding = {"agent": f"agent{number % 50}", "detector": "cycle", "score": 8.5, "spans": ["00f067aa0ba902b7"] * 4}
    transition = {
        "agent": f"agent{number % 50}",
        "before": "closed",
        "after": "open",
        "finding": finding,
        "id": f"t{number}",
    }
    reason = "the same comment on TICK-12, 8 times in 20 s, with no new result"
    return Note("finding", "detector:cycle", f"agent{number % 50}", reason, "4bf92f3577b34da6a3ce929d0e0e4736",
                "00f067aa0ba902b7", {"transition": transition})  # fmt: skip


def append(report: Report, folder: Path, count: int) -> None:
    """Appends a second."""
    for threads, name, target in ((1, "append_alone_per_s", None), (_THREADS, "append_per_s", (">=", 5_000.0))):
        journal = Journal(folder / f"threads{threads}", SystemClock())
        share = count if threads > 1 else count // 20
        began = time.perf_counter()
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(lambda number: journal.append(_note(number)), range(share)))  # noqa: B023
        report.add(name, share / (time.perf_counter() - began), target)
        journal.close()


def verification(report: Report, folder: Path, count: int) -> None:
    """Entries a second, without and with the copy."""
    root, now = folder / "journal", time.time()
    entries = _journal(root / "watch", count, now)
    began = time.perf_counter()
    found = verify(Wish(snapshots(root), None, now), _ignore, _bare).report
    report.add("verify_per_s", count / (time.perf_counter() - began), (">=", 50_000.0))
    assert not found.problems
    engine = Engine(folder / "clickhouse")
    schema.apply(engine.writer())
    AuditCopy(engine, root).step()
    copy = Copy({"watch": entries[-1].seq + 1}, copied.read(root), lambda w, end: rows_of(engine.writer(), w, end))
    began = time.perf_counter()
    found = verify(Wish(snapshots(root), copy, now), _ignore, _bare).report
    report.add("verify_with_copy_per_s", count / (time.perf_counter() - began))
    assert found.status == 0, found.json()
    engine.close()


def _journal(folder: Path, count: int, now: float) -> list[Entry]:
    folder.mkdir(parents=True)
    key = signer(random.Random(1))
    entries = chained(((_note(number), now - 1 + number / count) for number in range(count)), "watch")
    (folder / f"{0:012d}.jsonl").write_bytes(b"".join(line(entry) + b"\n" for entry in entries))
    (folder / PUBLIC).write_text(f"{key.public}\n")
    made = signed(entries, range(1_000, count + 1, 1_000), [(0, key)], {}, "watch")
    (folder / checkpoint.FILE).write_bytes(b"".join(each.line + b"\n" for each in made))
    return entries


def tampering(report: Report, folder: Path, tamperings: int, cleans: int, largest: int) -> None:
    """Clean logs, and what becomes of each when it is tampered with in several ways, one at a time."""
    tool, detected, alarms, differ = second(), 0, 0, 0
    for number in track(range(max(cleans, math.ceil(tamperings / _EACH))), "logs", transient=True):
        rng = random.Random(number)
        log = clean(rng, _size(rng, largest))
        if number < cleans:
            ours, theirs, _ = judge(log, tool, folder)
            alarms += ours.status != 0
            differ += ours != theirs
        for turn in range(number * _EACH, min((number + 1) * _EACH, tamperings)):
            kind = TAMPERINGS[turn % len(TAMPERINGS)]
            found = kind(rng, log.copy())
            ours, theirs, _ = judge(found.log, tool, folder)
            exact = (ours.status, ours.first) == (1, (found.writer, found.seq))
            if not exact or ours != theirs:
                print(f"log {number}, {kind.__name__}: {found.writer} {found.seq}, but {ours} and {theirs}")
            detected += exact
            differ += ours != theirs
    report.add("tamperings", tamperings)
    report.add("tamperings_detected", detected / tamperings, (">=", 1.0))
    report.add("clean_logs", cleans)
    report.add("false_alarms", alarms, ("<=", 0))
    report.add("disagreements", differ, ("<=", 0))


def _size(rng: random.Random, largest: int) -> int:
    return round(_SMALLEST * (largest / _SMALLEST) ** (rng.random() ** 3))


def _ignore(_entry: Entry) -> None:
    return None


def _bare(_writer: str, lines: object, _count: int) -> object:
    return lines


def main() -> None:
    """Run it all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a fiftieth of the tamperings, a tenth of the entries")
    parser.add_argument("--only", choices=("speed", "tampering"), help="one half")
    parser.add_argument("--tamperings", type=int, default=_TAMPERINGS)
    args = parser.parse_args()
    share = 10 if args.quick else 1
    report = Report("audit")
    with tempfile.TemporaryDirectory() as name:
        if args.only != "tampering":
            append(report, Path(name), _APPENDS // share)
            verification(report, Path(name), _ENTRIES // share)
        if args.only != "speed":
            count = 200 if args.quick else args.tamperings
            tampering(report, Path(name), count, 20 if args.quick else _CLEAN, 1_000 if args.quick else _LARGEST)
    report.show()


if __name__ == "__main__":
    main()
