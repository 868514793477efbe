"""The Merkle tree of RFC 6962, section 2: a root over all entries, and proofs that are short.

Leaves come in as leaf hashes (:func:`collector.audit.entry.leaf`). Proofs are lists of hashes, lowest level first;
they are checked as RFC 9162, sections 2.1.3.2 and 2.1.4.2, says.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

EMPTY: Final = hashlib.sha256(b"").digest()
"""The root of no entries."""


def node(left: bytes, right: bytes) -> bytes:
    """The hash of two subtrees."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """A tree that only grows, as little of it as growing needs: the roots of its perfect subtrees, largest first."""

    def __init__(self, size: int = 0, peaks: Sequence[bytes] = ()) -> None:
        self.size, self.peaks = size, list(peaks)
        if len(self.peaks) != size.bit_count():
            raise ValueError(f"a tree of {size} leaves has {size.bit_count()} perfect subtrees")

    def append(self, leaf: bytes) -> None:
        """One more leaf."""
        size = self.size
        while size & 1:
            leaf = node(self.peaks.pop(), leaf)
            size >>= 1
        self.peaks.append(leaf)
        self.size += 1

    def root(self) -> bytes:
        """The hash over all of it."""
        if not self.peaks:
            return EMPTY
        *others, root = self.peaks
        for peak in reversed(others):
            root = node(peak, root)
        return root

    def copy(self) -> Frontier:
        """One that grows by itself."""
        return Frontier(self.size, self.peaks)


class Tree:
    """All leaves from ``base`` on, to make proofs from.

    Args:
        leaves: leaf hashes, the first of which has the number ``base``.
        frontier: the tree of the leaves before it.
    """

    def __init__(self, leaves: Sequence[bytes], frontier: Frontier | None = None) -> None:
        before = frontier or Frontier()
        self._leaves, self._base = leaves, before.size
        self._known = _spans(before)
        self.size = self._base + len(leaves)

    def root(self, size: int) -> bytes:
        """The root of the first ``size`` leaves."""
        return self._hash(0, size) if size else EMPTY

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """Proof that leaf ``index`` is in the tree of ``size`` leaves."""
        return self._path(index, 0, size)

    def consistency(self, first: int, second: int) -> list[bytes]:
        """Proof that the tree of ``second`` leaves begins with that of ``first``."""
        return self._subproof(first, 0, second, whole=True) if 0 < first < second else []

    def _hash(self, low: int, high: int) -> bytes:
        known = self._known.get((low, high))
        if known is not None:
            return known
        if high - low == 1:
            if low < self._base:
                raise LookupError(f"entry {low} is behind the retention; no proof can be made from what is left")
            return self._leaves[low - self._base]
        middle = low + _split(high - low)
        found = node(self._hash(low, middle), self._hash(middle, high))
        self._known[low, high] = found
        return found

    def _path(self, index: int, low: int, high: int) -> list[bytes]:
        if high - low <= 1:
            return []
        middle = low + _split(high - low)
        if index < middle:
            return [*self._path(index, low, middle), self._hash(middle, high)]
        return [*self._path(index, middle, high), self._hash(low, middle)]

    def _subproof(self, first: int, low: int, high: int, *, whole: bool) -> list[bytes]:
        if first == high:
            return [] if whole else [self._hash(low, high)]
        middle = low + _split(high - low)
        if first <= middle:
            return [*self._subproof(first, low, middle, whole=whole), self._hash(middle, high)]
        return [*self._subproof(first, middle, high, whole=False), self._hash(low, middle)]


def includes(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """True when ``proof`` shows that ``leaf`` has the number ``index`` among the ``size`` leaves under ``root``."""
    if not 0 <= index < size:
        return False
    number, last, found = index, size - 1, leaf
    for step in proof:
        if last == 0:
            return False
        if number & 1 or number == last:
            found = node(step, found)
            while not number & 1 and number:
                number, last = number >> 1, last >> 1
        else:
            found = node(found, step)
        number, last = number >> 1, last >> 1
    return last == 0 and found == root


def consistent(first: int, second: int, proof: Sequence[bytes], root1: bytes, root2: bytes) -> bool:
    """True when ``proof`` shows that the tree of ``second`` leaves begins with that of ``first``."""
    if first == second or first == 0:
        return not proof and (first == 0 or root1 == root2) and first <= second
    if not 0 < first < second or not proof:
        return False
    steps = list(proof) if first & (first - 1) else [root1, *proof]
    number, last = first - 1, second - 1
    while number & 1:
        number, last = number >> 1, last >> 1
    old = new = steps[0]
    for step in steps[1:]:
        if last == 0:
            return False
        if number & 1 or number == last:
            old, new = node(step, old), node(step, new)
            while not number & 1 and number:
                number, last = number >> 1, last >> 1
        else:
            new = node(new, step)
        number, last = number >> 1, last >> 1
    return last == 0 and old == root1 and new == root2


def _split(count: int) -> int:
    """The largest power of two below ``count``."""
    return 1 << (count - 1).bit_length() - 1


def _spans(before: Frontier) -> dict[tuple[int, int], bytes]:
    spans: dict[tuple[int, int], bytes] = {}
    low = 0
    sizes = [1 << bit for bit in reversed(range(before.size.bit_length())) if before.size >> bit & 1]
    for size, peak in zip(sizes, before.peaks, strict=True):
        spans[low, low + size] = peak
        low += size
    return spans
