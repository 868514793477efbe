"""Draws a picture of each detector for ``docs/guide/detectors.md``: what the real one scores on a small example.

Each step is a bar, its height the score as a share of the threshold that opens; the two lines are where it warns and
where it opens. Nothing is drawn by hand, so a picture changes with the detector.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

from breakers.detectors.base import Detector
from breakers.rules import load_rules
from fusebox.fingerprint import exact_hash, literal_hash, request_hash, result_hash
from fusebox.records import ActionKind, Event
from fusebox.simhash import simhash
from tools.layers import ROOT

FOLDER: Final = ROOT / "docs" / "guide" / "pictures"
_STEP: Final = 46
_HEIGHT: Final = 120
_TOP: Final = 34
_START: Final = 1_760_000_000.0


@dataclass(frozen=True)
class Example:
    """What one detector is shown, what to write below each bar, and the scores at which it warns and opens."""

    title: str
    events: list[Event]
    labels: list[str]
    warn: float
    open: float


def pictures() -> dict[Path, str]:
    """Every picture and its text."""
    return {FOLDER / f"{name}.svg": _draw(load_rules().build(name), make()) for name, make in _EXAMPLES.items()}


def _event(number: int, operation: str, target: str, request: str, result: str, agent: str = "a", **more: int) -> Event:
    return Event(
        time=_START + 7 * number + number * number / 3, agent=agent, action=ActionKind.TOOL_CALL, operation=operation,
        target=target, request=request_hash(operation, target, request), request_exact=literal_hash(request),
        simhash=simhash(request), result=result_hash(result), result_exact=exact_hash(result), trace_id="t",
        span_id=str(number), input_tokens=more.get("tokens", 100 + 50 * number), ok=bool(more.get("ok", 1)),
    )  # fmt: skip


def _repetition() -> Example:
    steps = [("read", "x"), ("find", "none"), ("find", "none"), ("write", "y"), *[("find", "none")] * 4]
    events = [_event(n, operation, "crm", operation, result) for n, (operation, result) in enumerate(steps)]
    return Example("one request, one result; new work drains", events, [o for o, _ in steps], 3.0, 4.0)


def _cycle() -> Example:
    pairs = [("A", "B", "done"), ("B", "A", "reopened")] * 3
    events = [_event(n, "comment", to, text, "ok", agent) for n, (agent, to, text) in enumerate(pairs[:5])]
    return Example("two agents answer each other", events, [f"{a}→{b}" for a, b, _ in pairs[:5]], 2.0, 3.0)


def _delegation() -> Example:
    names = "ABCDEFGHI"
    events = [_event(n, "delegate", names[n + 1], f"part {names[n]}", "ok", names[n]) for n in range(8)]
    return Example("a task handed on and on", events, [f"{names[n]}→{names[n + 1]}" for n in range(8)], 0.5, 1.0)


def _rate() -> Example:
    events = [_event(0, f"op{n}", "t", str(n), str(n)) for n in range(1001)]
    kept = [*range(99, 1000, 100), 1000]
    return Example("actions in a minute", events, [str(n + 1) if n in kept else "" for n in range(1001)], 0.5, 1.0)


def _burn() -> Example:
    tokens = [int(7000 * 1.3**n) for n in range(6)]
    events = [_event(n, "model", "", str(n), "", tokens=each) for n, each in enumerate(tokens)]
    return Example(
        "a context that feeds on itself (tokens of input)", events, [f"{t // 1000}k" for t in tokens], 1.0, 1.0
    )


def _trouble() -> Example:
    events = [_event(n, "call", "t", str(n), str(n), ok=int(n % 10 == 0)) for n in range(36)]
    return Example(
        "failures among the last calls", events, [str(n + 1) if n % 5 == 4 else "" for n in range(36)], 1.0, 1.0
    )


_EXAMPLES: Final[dict[str, Callable[[], Example]]] = {
    "repetition": _repetition, "cycle": _cycle, "delegation": _delegation, "rate": _rate, "burn": _burn,
    "trouble": _trouble,
}  # fmt: skip


def _draw(detector: Detector, example: Example) -> str:
    bars: list[tuple[float, str, str]] = []
    most = "warn" if getattr(detector, "mode", "") == "warn" else ""
    for event, label in zip(example.events, example.labels, strict=True):
        found = detector.observe(event)
        if label:
            bars.append((detector.score / example.open, label, (most or found.action) if found else ""))
    width = 60 + _STEP * len(bars)
    lines = [_line(1.0, "warns", "#c80", width) if most else _line(1.0, "opens", "#c22", width)]
    if example.warn != example.open:
        lines.append(_line(example.warn / example.open, "warns", "#c80", width))
    drawn = "".join(_bar(n, *bar) for n, bar in enumerate(bars))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {_TOP + _HEIGHT + 26}" width="{width}" '
        f'font-family="sans-serif" font-size="11" role="img" aria-label="{escape(example.title)}">\n'
        f'<rect width="100%" height="100%" fill="#fff"/>\n<text x="8" y="14">{escape(example.title)}</text>\n'
        f"{drawn}{''.join(lines)}</svg>\n"
    )


def _y(share: float) -> float:
    return round(_TOP + _HEIGHT - min(share, 1.1) * (_HEIGHT - 14), 1)


def _line(share: float, word: str, colour: str, width: int) -> str:
    y = _y(share)
    return (
        f'<line x1="8" x2="{width - 44}" y1="{y}" y2="{y}" stroke="{colour}" stroke-dasharray="4 3"/>'
        f'<text x="{width - 40}" y="{y + 4}" fill="{colour}">{word}</text>\n'
    )


def _bar(number: int, share: float, label: str, action: str) -> str:
    colour = {"open": "#c22", "warn": "#c80"}.get(action, "#48a")
    x, y = 10 + _STEP * number, _y(share)
    return (
        f'<rect x="{x}" y="{y}" width="{_STEP - 12}" height="{round(_TOP + _HEIGHT - y, 1)}" fill="{colour}"/>'
        f'<text x="{x}" y="{_TOP + _HEIGHT + 16}">{escape(label)}</text>\n'
    )
