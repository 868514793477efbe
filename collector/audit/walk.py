"""Verifies one writer's chain: its lines and its rows against its checkpoints, in one pass, a run at a time.

A run ends at each checkpoint, and at each size that somebody else remembers. Lines and rows of a run are read, hashed
and compared. The first that is wrong in a source is told, then no more is believed of that source.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from collector.audit.checkpoint import BadCheckpoint, Checkpoint, parse
from collector.audit.diagnosis import Item, Run, diagnose, first_difference
from collector.audit.entry import START, BadLine, Entry, decode, leaf
from collector.audit.merkle import Frontier
from collector.audit.report import CHECKPOINTS, COPY, JOURNAL, Chain, Problem
from collector.audit.rows import Rows
from collector.audit.trust import Trust

_PIECE = 5_000
Learn = Callable[[Entry], None]


@dataclass(frozen=True, slots=True)
class Memory:
    """What somebody else has of this chain: the root of its first ``size`` entries."""

    size: int
    root: str
    who: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """All there is of one chain."""

    writer: str
    first: int
    """The number that the first file is named after: what retention has left begins there."""
    lines: Iterable[bytes]
    checkpoints: Sequence[bytes]
    rows: Rows | None
    """None when there is no copy to compare with."""
    memories: Sequence[Memory]
    trust: Trust


@dataclass(frozen=True, slots=True)
class _End:
    """Where a run ends; not signed when ``checkpoint`` is None."""

    size: int
    checkpoint: Checkpoint | None
    memories: tuple[Memory, ...]


class Walk:
    """One verification of one chain.

    Args:
        learn: is given every entry that was found as it was written.

    Attributes:
        erased: entries without their payload, and where that was found.
        half_erased: numbers of those that still have it in the other source.
        unsigned: the first entry that no checkpoint vouches for.
        unpruned_rows: rows of entries that retention has deleted from the journal.
    """

    def __init__(self, evidence: Evidence, learn: Learn) -> None:
        self._evidence, self._learn = evidence, learn
        self._lines: Iterator[Item] = map(decoded, evidence.lines)
        self._tree, self._head = Frontier(), START
        self._previous, self._believing = "", True
        self._agreed = 0
        self.chain = Chain(copied=0 if evidence.rows else None)
        self.problems: list[Problem] = []
        self.erased: dict[int, tuple[str, Entry]] = {}
        self.half_erased: set[int] = set()
        self.unsigned: Entry | None = None
        self.unpruned_rows = 0

    def go(self) -> Walk:
        """Verify everything."""
        ends = self._ends()
        if not self._skip_pruned(ends):
            return self
        for end in ends:
            if end.size > self._tree.size and not self._run_to(end):
                return self
        self._tail()
        return self

    @property
    def sound(self) -> bool:
        """True when the journal itself was verified to its end."""
        return not any(problem.where == JOURNAL for problem in self.problems)

    # --- ends -----------------------------------------------------------------------------------------------------
    def _ends(self) -> list[_End]:
        signed: dict[int, Checkpoint] = {}
        for text in self._evidence.checkpoints:
            try:
                found = parse(text)
            except BadCheckpoint as error:
                self._tell(max(signed, default=0), "edited", CHECKPOINTS, str(error))
                break
            if found.size <= max(signed, default=0) or found.writer != self._evidence.writer:
                self._tell(max(signed, default=0), "inserted", CHECKPOINTS, f"a checkpoint of {found.size} entries")
                break
            signed[found.size] = found
        self.chain.checkpoints = len(signed)
        sizes = {*signed, *(memory.size for memory in self._evidence.memories)} - {0}
        return [_End(size, signed.get(size), tuple(m for m in self._evidence.memories if m.size == size))
                for size in sorted(sizes)]  # fmt: skip

    def _accept(self, checkpoint: Checkpoint) -> bool:
        """Whether its signature counts; once one does not, the rest of the chain is not signed."""
        why = self._evidence.trust.objection(checkpoint)
        if not why and checkpoint.previous != self._previous:
            why = "deleted"
        if why:
            self._tell(self.chain.verified_to, why, CHECKPOINTS, f"the checkpoint of {checkpoint.size} entries")
            return False
        self._previous = checkpoint.signature
        return True

    def _believed(self, end: _End) -> Checkpoint | None:
        """The end's checkpoint, if it has one and it counts."""
        if end.checkpoint and self._believing:
            self._believing = self._accept(end.checkpoint)
        return end.checkpoint if self._believing else None

    # --- runs -----------------------------------------------------------------------------------------------------
    def _skip_pruned(self, ends: list[_End]) -> bool:
        """Begin behind what retention deleted: at the first checkpoint that reaches what is left."""
        first = self._evidence.first
        for end in ends if first else ():
            checkpoint = self._believed(end) if end.checkpoint else None
            if checkpoint and end.size >= first:
                return self._begin(first, checkpoint)
        return True

    def _begin(self, first: int, checkpoint: Checkpoint) -> bool:
        items = list(itertools.islice(self._lines, checkpoint.size - first))
        prev = items[0].prev if items and items[0] else ""
        run = Run(items, first, prev, checkpoint.size - first, checkpoint.head, self._later)
        found = diagnose(run) if items else None
        self.unpruned_rows = len(self._evidence.rows.take(first)) if self._evidence.rows else 0
        if found:
            self._blame(run, *found)
            return False
        self.chain.first = first
        self._tree, self._head = checkpoint.tree, checkpoint.head
        if self._evidence.rows:
            self._compare(items, first, checkpoint.size)
        self._good([item for item in items if item], checkpoint)
        return True

    def _run_to(self, end: _End) -> bool:
        start, prev, wanted = self._tree.size, self._head, end.size - self._tree.size
        checkpoint = self._believed(end)
        items: list[Item] = list(itertools.islice(self._lines, wanted))
        root = self._scan(items) if len(items) == wanted else None
        if root is None or (checkpoint and (checkpoint.root != root or checkpoint.head != self._head)):
            run = Run(items, start, prev, wanted, checkpoint.head if checkpoint else "", self._later)
            seq, kind = diagnose(run) or (start, "forked")
            self._blame(run, seq, "rolled back" if kind == "truncated" and not end.checkpoint else kind)
            return False
        if self._evidence.rows:
            self._compare(items, start, end.size)
        self._good([item for item in items if item], checkpoint)
        return self._remembered(end, root)

    def _remembered(self, end: _End, root: str) -> bool:
        for memory in end.memories:
            if memory.root != root:
                self._tell(self._agreed, "forked", JOURNAL, f"{memory.who} has another root of {memory.size} entries")
                return False
        self._agreed = end.size if end.memories else self._agreed
        return True

    def _tail(self) -> None:
        """What follows the last checkpoint."""
        while piece := list(itertools.islice(self._lines, _PIECE)):
            start, prev = self._tree.size, self._head
            if self._scan(piece) is None:
                run = Run(piece, start, prev, None, "", self._later)
                self._blame(run, *(diagnose(run) or (start, "edited")))
                return
            self.unsigned = self.unsigned or piece[0]
            if self._evidence.rows:
                self._compare(piece, start, self._tree.size)
            self._good([item for item in piece if item], None)
        rows = self._evidence.rows
        beyond = [row for row in rows.take(None) if row.seq >= self._tree.size] if rows else []
        if rows and beyond:
            lost = rows.given > self._tree.size
            kind, where = ("rolled back", JOURNAL) if lost else ("inserted", COPY)
            self._tell(self._tree.size, kind, where, f"the copy has entry {beyond[0].seq}")
        elif rows and rows.given > self._tree.size:
            self._tell(self._tree.size, "rolled back", JOURNAL, f"{rows.given} entries were copied")

    def _scan(self, items: Sequence[Item]) -> str | None:
        """Follow the chain; the root behind the last item, or None when something is wrong."""
        tree, head = self._tree, self._head
        for item in items:
            if item is None or item.seq != tree.size or item.prev != head:
                return None
            hash = leaf(item)
            head = hash.hex()
            if head != item.hash or not item.payload_genuine:
                return None
            tree.append(hash)
        self._head = head
        return tree.root().hex()

    def _good(self, entries: Sequence[Entry], checkpoint: Checkpoint | None) -> None:
        self.chain.size = self._tree.size
        for entry in entries:
            if not entry.payload:
                self.erased.setdefault(entry.seq, (JOURNAL, entry))
            self._learn(entry)
        if checkpoint:
            self.chain.keys = list(self._evidence.trust.used)
            self.chain.verified_to = checkpoint.size
            self.unsigned = None
        elif entries and self.unsigned is None:
            self.unsigned = entries[0]

    # --- the copy -------------------------------------------------------------------------------------------------
    def _compare(self, items: Sequence[Item], start: int, end: int) -> None:
        """Hold the rows of a good run against it."""
        rows = self._evidence.rows
        assert rows is not None
        if any(problem.where == COPY for problem in self.problems):
            return
        found = rows.take(end)
        late = start + len(found) >= min(rows.given, end)
        if found == items[: len(found)] and late:
            self.chain.copied = start + len(found)
            return
        truth = [item for item in items if item]
        same = self._without_erased(found, truth)
        place = first_difference(*same)
        if place == len(found) and late:
            self.chain.copied = start + place
        else:
            twice = found[place].seq if place < len(found) else start + place
            self._tell(min(start + place, twice), _kind(*same), COPY)

    def _without_erased(self, rows: Sequence[Entry], truth: Sequence[Entry]) -> tuple[list[Entry], list[Entry]]:
        """Both, without the payloads that either of them has lost."""
        gone = {row.seq for row in rows if not row.payload}, {entry.seq for entry in truth if not entry.payload}
        self.half_erased |= gone[0] ^ gone[1]
        for row in rows:
            if row.seq in gone[0]:
                self.erased.setdefault(row.seq, (COPY, row))
        either = gone[0] | gone[1]
        left, right = (
            [each._replace(payload=b"") if each.seq in either else each for each in side] for side in (rows, truth)
        )
        return left, right

    def _blame(self, run: Run, seq: int, kind: str) -> None:
        """The journal is wrong in this run; where the copy is as it was signed, it says from which entry on."""
        rows = self._evidence.rows
        if rows:
            found = rows.take(run.start + run.length if run.length is not None else None)
            truth = Run(found, run.start, run.prev, run.length, run.head, _never)
            place = first_difference(run.items, found)
            if diagnose(truth) is None and place < len(found):
                seq = run.start + place
            elif found != list(run.items):
                self._tell(*(diagnose(truth) or (seq, kind)), COPY)
        self._tell(seq, kind, JOURNAL)

    def _later(self, seq: int) -> bool:
        ahead, self._lines = itertools.tee(self._lines)
        return any(item is not None and item.seq == seq for item in ahead)

    def _tell(self, seq: int, kind: str, where: str, detail: str = "") -> None:
        self.problems.append(Problem(self._evidence.writer, seq, kind, where, detail))


def decoded(text: bytes) -> Item:
    """The entry on a line, or None."""
    try:
        return decode(text)
    except BadLine:
        return None


def _kind(rows: Sequence[Entry], truth: Sequence[Entry]) -> str:
    if len(rows) != len(truth):
        return "inserted" if len(rows) > len(truth) else "deleted"
    without_numbers = sorted(row[1:] for row in rows), sorted(entry[1:] for entry in truth)
    return "reordered" if without_numbers[0] == without_numbers[1] else "edited"


def _never(_seq: int) -> bool:
    return False
