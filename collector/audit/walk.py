"""Verifies one writer's chain: its lines and its rows against its checkpoints, in one pass, a run at a time.

A run ends at each checkpoint, and at each size that somebody else remembers. Lines and rows of a run are read, hashed
and compared. The first that is wrong in a source is told, then no more is believed of that source.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from collector.audit.checkpoint import Checkpoint
from collector.audit.comparison import Comparison
from collector.audit.diagnosis import Item, Run, diagnose
from collector.audit.entry import START, BadLine, Entry, decode, leaf
from collector.audit.merkle import Frontier
from collector.audit.report import JOURNAL, Chain, Problem
from collector.audit.rows import Rows
from collector.audit.trust import Signed

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
    signed: Signed
    rows: Rows | None
    """None when there is no copy to compare with."""
    memories: Sequence[Memory]


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
        copy: what became of the rows; None when there are none to compare with.
        erased: entries of the journal without their payload.
        unsigned: the first entry that no checkpoint vouches for.
    """

    def __init__(self, evidence: Evidence, learn: Learn) -> None:
        self._evidence, self._learn = evidence, learn
        self._lines: Iterator[Item] = map(decoded, evidence.lines)
        self._tree, self._head = Frontier(), START
        self._agreed = 0
        self.chain = Chain(checkpoints=len(evidence.signed.by_size))
        self.problems: list[Problem] = [evidence.signed.problem] if evidence.signed.problem else []
        self.copy = Comparison(evidence.rows, self._tell) if evidence.rows else None
        self.erased: dict[int, Entry] = {}
        self.unsigned: Entry | None = None

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
        signed = self._evidence.signed.by_size
        sizes = {*signed, *(memory.size for memory in self._evidence.memories)} - {0}
        return [_End(size, signed.get(size), tuple(m for m in self._evidence.memories if m.size == size))
                for size in sorted(sizes)]  # fmt: skip

    # --- runs -----------------------------------------------------------------------------------------------------
    def _skip_pruned(self, ends: list[_End]) -> bool:
        """Begin behind what retention deleted: at the first checkpoint that reaches what is left."""
        first = self._evidence.first
        for end in ends if first else ():
            if end.checkpoint and end.size >= first:
                return self._begin(first, end.checkpoint) and self._remembered(end, end.checkpoint.root)
        return True

    def _begin(self, first: int, checkpoint: Checkpoint) -> bool:
        items: list[Item] = list(itertools.islice(self._lines, checkpoint.size - first))
        prev = items[0].prev if items and items[0] else ""
        run = Run(items, first, prev, checkpoint.size - first, checkpoint.head, self._later)
        found = diagnose(run) if run.length else None
        if self.copy:
            self.copy.skip(first)
        if found:
            self._blame(run, *found)
            return False
        self.chain.first = first
        self._tree, self._head = checkpoint.tree, checkpoint.head
        self._good(items, first, checkpoint)
        return True

    def _run_to(self, end: _End) -> bool:
        start, prev, wanted = self._tree.size, self._head, end.size - self._tree.size
        checkpoint = end.checkpoint
        items: list[Item] = list(itertools.islice(self._lines, wanted))
        root = self._scan(items) if len(items) == wanted else None
        if root is None or (checkpoint and (checkpoint.root != root or checkpoint.head != self._head)):
            run = Run(items, start, prev, wanted, checkpoint.head if checkpoint else "", self._later)
            seq, kind = diagnose(run) or (start, "forked")
            self._blame(run, seq, "rolled back" if kind == "truncated" and not end.checkpoint else kind)
            return False
        self._good(items, start, checkpoint)
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
            self._good(piece, start, None)
        if self.copy:
            self.copy.finish(self._tree.size)

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

    def _good(self, items: Sequence[Item], start: int, checkpoint: Checkpoint | None) -> None:
        """A run, the first entry of which has the number ``start``, is as it was written."""
        entries = [item for item in items if item]
        self.chain.size = self._tree.size
        if self.copy:
            self.copy.compare(entries, start)
            self.chain.copied = self.copy.copied
        for entry in entries:
            if not entry.payload:
                self.erased[entry.seq] = entry
            self._learn(entry)
        if checkpoint:
            self.chain.keys = list(self._evidence.signed.keys)
            self.chain.verified_to = checkpoint.size
            self.unsigned = None
        elif entries and self.unsigned is None:
            self.unsigned = entries[0]

    def _blame(self, run: Run, seq: int, kind: str) -> None:
        """The journal is wrong in this run; the copy may know better from which entry on."""
        if self.copy:
            self.copy.blame(run, seq, kind)
        else:
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
