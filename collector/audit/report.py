"""What a verification found."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Final

VERIFIED: Final = 0
TAMPERED: Final = 1
INCOMPLETE: Final = 2
USAGE: Final = 3
_WORDS: Final = {VERIFIED: "verified", TAMPERED: "tampered", INCOMPLETE: "incomplete"}

JOURNAL: Final = "journal"
COPY: Final = "copy"
CHECKPOINTS: Final = "checkpoints"
LIVE: Final = "live"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is not as it was written.

    Attributes:
        seq: the first entry concerned.
        kind: ``edited``, ``deleted``, ``inserted``, ``reordered``, ``truncated``, ``forked``, ``rolled back``,
            ``gone``, ``wrong key``, ``erased`` (without an entry that says so) or ``live state``.
        where: ``journal``, ``copy``, ``checkpoints`` or ``live``.
    """

    writer: str
    seq: int
    kind: str
    where: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.writer} {self.seq}: {self.kind} ({self.where}){': ' if self.detail else ''}{self.detail}"


@dataclass(slots=True)
class Chain:
    """How far one writer's chain was verified.

    Attributes:
        first: the number of its first entry that is left.
        size: one more than the number of its last.
        verified_to: entries before this one are as they were signed.
        keys: ids of the keys that signed.
    """

    first: int = 0
    size: int = 0
    verified_to: int = 0
    checkpoints: int = 0
    copied: int | None = None
    keys: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Report:
    """The result."""

    chains: dict[str, Chain] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    incomplete: list[str] = field(default_factory=list)

    @property
    def status(self) -> int:
        """The exit status."""
        if self.problems:
            return TAMPERED
        entries = sum(chain.size - chain.first for chain in self.chains.values())
        return INCOMPLETE if self.incomplete or not entries else VERIFIED

    @property
    def first(self) -> Problem | None:
        """The problem with the lowest number (of the first writer, by name)."""
        return min(self.problems, key=lambda problem: (problem.writer, problem.seq), default=None)

    def json(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "verdict": _WORDS[self.status], "exit": self.status,
            "first_bad": asdict(self.first) if self.first else None,
            "problems": [asdict(problem) for problem in self.problems], "incomplete": self.incomplete,
            "writers": {writer: asdict(chain) for writer, chain in self.chains.items()},
        }  # fmt: skip
