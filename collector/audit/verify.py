"""Verifies everything there is: every chain, its copy, who remembers what, and what the chains say of each other."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from collector.audit import EVERY_S, checkpoint
from collector.audit.checkpoint import Checkpoint
from collector.audit.entry import Entry
from collector.audit.files import chain_files, first_seq, writers
from collector.audit.keys import PUBLIC, read_public
from collector.audit.report import COPY, JOURNAL, Problem, Report
from collector.audit.rows import Rows
from collector.audit.trust import Signed, believed
from collector.audit.walk import Evidence, Memory, Walk, decoded
from fusebox.errors import ConfigError

Fetch = Callable[[str, int], Iterable[Entry]]
"""``fetch(writer, below)``: the copy's rows of a writer in the order of their numbers."""


@dataclass(frozen=True, slots=True)
class Copy:
    """The table, as far as it is looked at.

    Attributes:
        sizes: one more than the highest number of each writer.
        given: how many entries of each it was given.
    """

    sizes: Mapping[str, int]
    given: Mapping[str, int]
    fetch: Fetch


@dataclass(slots=True)
class Found:
    """The report, and what the state is derived from."""

    report: Report
    newest: dict[str, Checkpoint] = field(default_factory=dict)


class Snapshot:
    """The files of a chain as long as they were when it was made."""

    def __init__(self, folder: Path) -> None:
        files = chain_files(folder)
        self.folder, self.first = folder, min(map(first_seq, files), default=0)
        self._sizes = [(path, path.stat().st_size) for path in files]
        self.checkpoints = checkpoint.lines(folder / checkpoint.FILE)
        self.newest = checkpoint.newest(self.checkpoints)

    @property
    def count(self) -> int:
        """About how many entries there are."""
        return self.newest.size if self.newest else 0

    @property
    def end(self) -> int:
        """One more than the number of its last readable line."""
        for path, size in reversed(self._sizes):
            whole = path.read_bytes()[:size].rpartition(b"\n")[0]
            last = decoded(whole.rpartition(b"\n")[2])
            if last:
                return last.seq + 1
        return self.first

    def lines(self) -> Iterator[bytes]:
        """Whole lines without their LF."""
        for path, size in self._sizes:
            with path.open("rb") as file:
                for line in file:
                    if file.tell() > size or not line.endswith(b"\n"):
                        break
                    yield line[:-1]


def snapshots(root: Path) -> dict[str, Snapshot]:
    """Every chain below ``<data_dir>/journal``, as it is now."""
    return {writer: Snapshot(root / writer) for writer in writers(root)}


@dataclass(frozen=True, slots=True)
class Wish:
    """What to verify.

    Attributes:
        snapshots: every chain there is (:func:`snapshots`).
        copy: None when the table cannot be read.
        keys: public keys that the auditor trusts, by id; empty: those beside the chains.
        remembered: checkpoints that the auditor, a witness or an anchor has.
        now: Unix seconds.
    """

    snapshots: Mapping[str, Snapshot]
    copy: Copy | None
    now: float
    keys: Mapping[str, str] = field(default_factory=dict)
    remembered: Sequence[Checkpoint] = ()


Progress = Callable[[str, Iterator[bytes], int], Iterable[bytes]]
"""``progress(writer, lines, count)``: wraps the lines of a chain, about so many."""


def verify(wish: Wish, learn: Callable[[Entry], None], progress: Progress) -> Found:
    """Verify; ``learn`` is given every entry that is as it was written, chain by chain."""
    found = Found(Report())
    orders = _Orders()
    walks: dict[str, Walk] = {}
    signed = {writer: _signed(writer, snapshot, wish) for writer, snapshot in wish.snapshots.items()}
    for writer, snapshot in wish.snapshots.items():
        lines = progress(writer, snapshot.lines(), snapshot.count)
        evidence = Evidence(
            writer, snapshot.first, lines, signed[writer], _rows(wish, writer), _memories(wish, signed, writer)
        )

        def heed(entry: Entry) -> None:
            try:
                orders.learn(entry)
                learn(entry)
            except (ValueError, TypeError, AttributeError) as error:
                found.report.incomplete.append(f"{entry.writer} {entry.seq}: its payload says nothing: {error}")

        walks[writer] = Walk(evidence, heed).go()
        if (last := signed[writer].last) is not None:
            found.newest[writer] = last
    _missing(found.report, wish, signed)
    orders.complete = not found.report.problems and all(walk.sound for walk in walks.values())
    for writer, walk in walks.items():
        _judge(found.report, writer, walk, orders, wish)
    return found


class _Orders:
    """What entries allow to be gone.

    Attributes:
        last: the number of the last such entry of each writer: unless it is signed, anybody may have written it.
    """

    def __init__(self) -> None:
        self.erased: set[tuple[str, int, str]] = set()
        self.below: dict[str, int] = {}
        self.last: dict[str, int] = {}
        self.complete = False

    def learn(self, entry: Entry) -> None:
        if entry.kind not in ("erasure", "retention") or not entry.payload:
            return
        self.last[entry.writer] = entry.seq
        data = json.loads(entry.payload)
        if entry.kind == "erasure":
            self.erased.add((str(data.get("writer")), int(data.get("seq", -1)), str(data.get("payload_hash"))))
        else:
            self.below[entry.writer] = max(int(data.get("below", 0)), self.below.get(entry.writer, 0))


def _judge(report: Report, writer: str, walk: Walk, orders: _Orders, wish: Wish) -> None:
    report.chains[writer] = walk.chain
    first, below = walk.chain.first, orders.below.get(writer, 0)
    report.problems += [each for each in walk.problems if each.where != COPY or each.seq >= below]
    if not orders.complete:
        return
    copy = walk.copy
    erased = (copy.erased if copy else {}) | walk.erased
    for seq, entry in sorted(erased.items()):
        if (writer, seq, entry.payload_hash) not in orders.erased:
            where = JOURNAL if seq in walk.erased else COPY
            report.problems.append(Problem(writer, seq, "erased", where, "no entry says so"))
        elif copy and seq in copy.half_erased:
            report.incomplete.append(f"{writer} {seq}: the payload was to be erased, and still stands in one place")
    if first > below:
        report.problems.append(Problem(writer, below, "deleted", JOURNAL, f"it begins with entry {first}"))
    elif first < below:
        report.incomplete.append(f"{writer}: entries before {below} were to be deleted, and some are left")
    if (order := orders.last.get(writer, -1)) >= walk.chain.verified_to:
        report.incomplete.append(f"{writer} {order}: what it allows to be gone is not signed yet")
    report.incomplete += _gaps(writer, walk, wish)


def _gaps(writer: str, walk: Walk, wish: Wish) -> Iterator[str]:
    chain = walk.chain
    if walk.copy and walk.copy.unpruned:
        yield f"{writer}: the copy still has {walk.copy.unpruned} rows from before entry {chain.first}"
    if walk.unsigned and wish.now - walk.unsigned.time / 1e6 > 2 * EVERY_S:
        yield f"{writer}: entries {walk.unsigned.seq} to {chain.size - 1} are not signed"
    if chain.copied is not None and chain.copied < chain.size and not walk.problems:
        yield f"{writer}: entries {chain.copied} to {chain.size - 1} are not copied yet"


def _rows(wish: Wish, writer: str) -> Rows | None:
    copy = wish.copy
    if copy is None:
        return None
    return Rows(copy.fetch(writer, copy.sizes.get(writer, 0)), copy.given.get(writer, 0))


def _signed(writer: str, snapshot: Snapshot, wish: Wish) -> Signed:
    return believed(writer, snapshot.first, snapshot.checkpoints, wish.keys or _own_keys(snapshot.folder))


def _own_keys(folder: Path) -> dict[str, str]:
    try:
        return read_public(folder / PUBLIC)
    except ConfigError:
        return {}


def _memories(wish: Wish, signed: Mapping[str, Signed], writer: str) -> list[Memory]:
    """What the auditor and the other chains remember of this one."""
    found = [
        Memory(each.size, each.root, "a remembered checkpoint") for each in wish.remembered if each.writer == writer
    ]
    for other, checkpoints in signed.items():
        told = (each.writers[writer] for each in checkpoints.by_size.values() if writer in each.writers)
        found += (Memory(int(each["size"]), str(each["root"]), f"a checkpoint of {other}") for each in told)
    return found


def _missing(report: Report, wish: Wish, signed: Mapping[str, Signed]) -> None:
    """Chains that somebody remembers and that are not there."""
    known = {each.writer for each in wish.remembered} | set(wish.copy.sizes if wish.copy else ())
    known |= set(wish.copy.given if wish.copy else ())
    for checkpoints in signed.values():
        known |= {writer for each in checkpoints.by_size.values() for writer in each.writers}
    report.problems += [Problem(writer, 0, "gone", JOURNAL) for writer in sorted(known - set(wish.snapshots))]
