"""Times that cannot be right: a span that has some is kept as it came, with a flag on it.

A clock that is off, or a sender's fault, moves spans where nobody looks for them. Their partition follows the receipt
(see the schema), every table has that beside the span's own time, and ``fusebox.time.doubt`` says what is wrong:

=====================  ===============================================================
``negative_duration``  it ends before it begins
``future``             it ends more than five minutes after it was received
``past``               it began more than thirty days before
=====================  ===============================================================
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from collector.receive.clean import put
from fusebox import happenings, names

_NS: Final = 1_000_000_000
_AHEAD: Final = 300 * _NS
_BEHIND: Final = 30 * 86_400 * _NS

DOUBTED: Final = happenings.declare(
    "spans_time_doubted", logging.DEBUG, "spans whose times cannot be right; they are stored with fusebox.time.doubt"
)


def doubt(spans: Iterable[Span], received: float) -> None:
    """Flag those of ``spans`` whose times cannot be right.

    Args:
        received: Unix seconds.
    """
    now, found = int(received * _NS), 0
    latest, earliest = now + _AHEAD, now - _BEHIND
    for span in spans:
        start, end = span.start_time_unix_nano, span.end_time_unix_nano
        if not earliest <= start <= end <= latest:
            put(span.attributes, names.TIME_DOUBT, _why(start, end, latest))
            found += 1
    if found:
        happenings.emit(DOUBTED, count=found)


def _why(start: int, end: int, latest: int) -> str:
    if end < start:
        return "negative_duration"
    return "future" if end > latest else "past"
