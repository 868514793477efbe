"""Draws the states of a circuit by asking the board's own step: every wish is tried on every state."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from breakers.board import answer
from breakers.rows import PROBE, Row
from breakers.steps import KINDS, STEP

_ROWS: Final[dict[str, Row]] = {
    "closed": {},
    "open": {"state": "open", "retry_at": "0", "version": "1"},
    "half_open": {"state": "half_open", f"{PROBE}run": "60", "version": "1"},
}
_WISH: Final[Row] = {
    "id": "t", "actor": "x", "reason": "r", "now": "1", "wall": "1", "seen": "0", "finding": "", "expect": "",
    "open_s": "", "base": "60", "growth": "2", "max": "3600", "holder": "", "lease_s": "60", "probes": "1", "mode": "",
    "state": "", "time": "1",
}  # fmt: skip
_WORDS: Final = {
    ("trip", ""): "a Finding, failed runs or TRIP",
    ("trip", "run"): "a probe failed",
    ("probe", "run"): "open time over, a probe asks",
    ("close", "run"): "enough probes succeeded",
    ("half_open", ""): "RESUME",
    ("reset", ""): "RESET",
}


def diagram() -> str:
    """A Mermaid state diagram."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for before, after, words in moves():
        arrows.setdefault((before, after), []).append(words)
    lines = [f"  {before} --> {after}: {' / '.join(words)}" for (before, after), words in arrows.items()]
    return "\n".join(["```mermaid", "stateDiagram-v2", "  [*] --> closed", *lines, "```"])


def moves() -> Iterator[tuple[str, str, str]]:
    """Every move there is: from, to, and by what."""
    for before, row in _ROWS.items():
        for kind in KINDS:
            for holder in ("", "run"):
                after = _after(row, _WISH | {"kind": kind, "holder": holder})
                if after and (kind, holder) in _WORDS:
                    yield before, after, _WORDS[kind, holder]


def _after(row: Row, wish: Row) -> str:
    step = answer(STEP.twin(dict(row), tuple(part for pair in wish.items() for part in pair)))
    return step.row["state"] if step.moved else ""
