"""The row of one circuit: what it holds, and how two rows that went apart become one again.

A row is a hash of text. Its fields (absent row: closed, version 0):

============ ========================================================================================================
state        ``closed``, ``open`` or ``half_open``
mode         ``normal``, ``observe_only`` or ``disabled``: modes leave the state where it is
since        when the state was entered
moved        time of the last transition, ``last`` its id, ``actor`` who did it
reason       of the last transition; ``finding``: id of the Finding that opened the circuit, ``opener`` who did
retry_at     when a probe may be admitted (open only), ``open_for`` after how many seconds that is
trips        trips in a row: open time is ``base * growth ** (trips - 1)``, at most ``max``. One is forgiven for every
             ``max`` seconds since the last, all are by a reset
tripped_at   time of the last trip
probe:<id>   a probe permit and the wall time at which it expires (half_open only); ``passed``: probes that succeeded
openings     ids of the latest sixteen openings, the newest last
version      grows with every change of the row
============ ========================================================================================================

A store can forget (flushed) or go back (restored from a backup, failed over). Processes that know a later row put it
back: the newer version stands. But what happened meanwhile on the poorer row must not be undone, so where one side
knows an opening that the other does not, the circuit stays open, and the row then knows both. An opening that was
forgotten for sixteen later ones counts as unknown: the circuit then opens once more than it need.
"""

from __future__ import annotations

import math
from typing import Final

Row = dict[str, str]

PROBE: Final = "probe:"
_OPENINGS: Final = 16


def num(row: Row, name: str) -> float:
    """A field as a number; 0 when it is absent or none."""
    try:
        value = float(row.get(name) or 0)
    except ValueError:
        return 0.0
    return value if math.isfinite(value) else 0.0


def text(value: float) -> str:
    """A number as both languages write it."""
    return f"{value:.17g}"


def permits(row: Row) -> list[str]:
    """The fields that are probe permits."""
    return [name for name in row if name.startswith(PROBE)]


def opening(row: Row) -> str:
    """The id of the opening that still stops the agent; ``""`` when the circuit is closed."""
    known = row.get("openings", "").split()
    return known[-1] if known and row.get("state", "closed") != "closed" else ""


def knows(row: Row, id_: str) -> bool:
    """True when the row has seen that opening."""
    return not id_ or id_ in row.get("openings", "").split()


def remember(row: Row, ids: str) -> None:
    """Add the openings that it does not know, the newest last; the oldest beyond sixteen are forgotten."""
    known = dict.fromkeys([*row.get("openings", "").split(), *ids.split()])
    row["openings"] = " ".join([*known][-_OPENINGS:])


def put_back(held: Row, row: Row) -> bool:
    """Bring ``row`` back into what the store has ``held`` since; False when that knows as much already."""
    newer = num(row, "version") > num(held, "version")
    if not newer and knows(held, opening(row)):
        return False
    if not knows(row, opening(held)):
        row = _joined(held, row)
    elif not newer:
        row = _joined(row, held)
    held.clear()
    held.update(row)
    return True


def _joined(kept: Row, lost: Row) -> Row:
    """``kept`` as the newest row, knowing the openings of both."""
    row = kept | {"openings": lost.get("openings", "")}
    remember(row, kept.get("openings", ""))
    return row | {"version": text(max(num(kept, "version"), num(lost, "version")) + 1)}
