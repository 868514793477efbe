"""The spans of a trace as a tree, and the picture of their course in time."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import altair

from dashboards.text import visible

Row = Mapping[str, Any]
_FAILED: Final = frozenset({"Error", "STATUS_CODE_ERROR"})
_ID: Final = re.compile(r"[0-9a-f]{32}")
_BAR: Final = 22
_LABEL: Final = 320
_MARGIN: Final = 1.3
_FAILED_MARK: Final = "✗ failed: "
_LINKED: Final = 20


@dataclass(frozen=True, slots=True)
class Branch:
    """One span in its tree. ``offset`` is seconds after the trace's first span began."""

    span: str
    name: str
    service: str
    kind: str
    depth: int
    offset: float
    duration: float
    failed: bool
    message: str
    links: tuple[tuple[str, str], ...]


def grow(rows: Sequence[Row]) -> list[Branch]:
    """The rows of ``trace_spans`` in the order of a tree: parents before children, siblings by time.

    A span whose parent is not stored stands at the top. Parents in a circle (a broken sender) are cut once.
    """
    if not rows:
        return []
    first = min(float(row["start"]) for row in rows)
    known = {row["span_id"] for row in rows}
    below: dict[str, list[Row]] = defaultdict(list)
    for row in sorted(rows, key=lambda each: (float(each["start"]), each["span_id"])):
        below[row["parent_id"] if row["parent_id"] in known else ""].append(row)
    seen: set[str] = set()
    branches = list(_walk(below, below.get("", ()), first, seen))
    rest = [row for row in rows if row["span_id"] not in seen]
    return [*branches, *_walk(below, rest, first, seen)]


def _walk(below: Mapping[str, Sequence[Row]], tops: Sequence[Row], first: float, seen: set[str]) -> Iterator[Branch]:
    stack = [(row, 0) for row in reversed(tops)]
    while stack:
        row, depth = stack.pop()
        if row["span_id"] in seen:
            continue
        seen.add(row["span_id"])
        yield _branch(row, depth, first)
        stack += [(child, depth + 1) for child in reversed(below.get(row["span_id"], ()))]


def _branch(row: Row, depth: int, first: float) -> Branch:
    return Branch(
        span=row["span_id"],
        name=row["name"],
        service=row["service"],
        kind=row["kind"],
        depth=depth,
        offset=float(row["start"]) - first,
        duration=float(row["duration_s"]),
        failed=row["status"] in _FAILED,
        message=row["status_message"],
        links=tuple((str(trace), str(span)) for trace, span in row["links"]),
    )


def linked(branches: Sequence[Branch], trace: str) -> list[str]:
    """Other traces that messages of this one came from, the first twenty of them."""
    others = dict.fromkeys(other for branch in branches for other, _ in branch.links)
    return [other for other in others if other != trace and _ID.fullmatch(other)][:_LINKED]


def waterfall(branches: Sequence[Branch], ink: str) -> altair.LayerChart:
    """A bar for each span, from its beginning to its end, in the order of the tree, with its name and how it ended.

    Args:
        ink: the colour of words; Vega does not know the page's.
    """
    bars = [
        {
            "row": place,
            "label": f"{_FAILED_MARK if branch.failed else ''}{visible(branch.name, 60)}",
            "span": visible(branch.name, 60),
            "service": visible(branch.service, 40),
            "from": branch.offset,
            "to": branch.offset + max(branch.duration, 0.0005),
            "ended": "failed" if branch.failed else "well",
        }
        for place, branch in enumerate(branches)
    ]
    end = max(branch.offset + branch.duration for branch in branches) * _MARGIN  # room for the last one's name
    base = altair.Chart(altair.InlineData(bars), height=altair.Step(_BAR)).encode(
        x=altair.X("from:Q", title="seconds", scale=altair.Scale(domain=[0, end], nice=False)),
        y=altair.Y("row:O", axis=None),
    )
    drawn = base.mark_bar(cornerRadius=3, fillOpacity=0.4).encode(
        x2="to:Q",
        color=altair.Color("service:N", title=None),
        stroke=altair.condition("datum.ended == 'failed'", altair.value("#d32f2f"), altair.value(None)),
        strokeWidth=altair.value(2),
        tooltip=["span:N", "service:N", "from:Q", "to:Q", "ended:N"],
    )
    chart: altair.LayerChart = drawn + base.mark_text(align="left", dx=4, limit=_LABEL, color=ink).encode(
        text="label:N"
    )
    return chart
