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
openings     ids of the latest sixteen openings, the newest last; ``stopped_by``: those that stop the agent now
version      grows with every change of the row
change       the version, and the id of the wish that made it: rows that went apart differ here
============ ========================================================================================================

A store can forget (flushed) or go back (restored from a backup, failed over). Processes that know a later row put it
back: the newer version stands. But what happened meanwhile on the poorer row must not be undone, so where one side is
stopped by an opening that the other does not know, the circuit stays open, and the row then knows both: each of them
stops the agent until somebody who knows of it has closed the circuit, in whichever order rows are put back. An opening
that was forgotten for sixteen later ones counts as unknown: the circuit then opens once more than it need.

A row that has said nothing but ``closed`` for :data:`FORGET_S` is let go, by the store and by every process: otherwise
all agents that ever were would be read and kept by all that are. Where one comes back all the same, nothing is stopped
or freed by it.
"""

from __future__ import annotations

import math
from typing import Final

Row = dict[str, str]

PROBE: Final = "probe:"
FORGET_S: Final = 30 * 86_400.0
"""Long enough for every trip to be forgiven at an open time of an hour, which is the most by default."""
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


def stopped_by(row: Row) -> str:
    """The ids of the openings that still stop the agent; ``""`` when the circuit is closed."""
    return row.get("stopped_by", "")


def knows(row: Row, ids: str) -> bool:
    """True when the row has seen those openings."""
    return not _unknown(row, ids)


def is_over(row: Row, before: float) -> bool:
    """True when nobody misses the row: closed, in the normal mode, and not moved since ``before``."""
    return (row.get("state"), row.get("mode")) == ("closed", "normal") and num(row, "moved") < before


def remember(row: Row, id_: str) -> None:
    """Add an opening, which stops the agent from now on; the oldest beyond sixteen is forgotten."""
    row.update(openings=_latest(row.get("openings", ""), id_), stopped_by=id_)


def put_back(held: Row, row: Row) -> bool:
    """Bring ``row`` back into what the store has ``held`` since; False when that knows as much already."""
    newer = num(row, "version") > num(held, "version")
    if not newer and knows(held, stopped_by(row)):
        return False
    if not knows(row, stopped_by(held)):
        row = _joined(held, row)
    elif not newer or not knows(row, held.get("openings", "")):
        row = _joined(row, held)
    held.clear()
    held.update(row)
    return True


def _joined(kept: Row, lost: Row) -> Row:
    """``kept`` as the newest row, knowing the openings of both; what ``kept`` knew nothing of still stops the agent."""
    stops = _latest(" ".join(_unknown(kept, stopped_by(lost))), stopped_by(kept))
    known = f"{lost.get('openings', '')} {' '.join(_unknown(lost, kept.get('openings', '')))}"
    version = text(max(num(kept, "version"), num(lost, "version")) + 1)
    joined = kept | {"openings": _latest(known, stops), "version": version} | ({"stopped_by": stops} if stops else {})
    joined.pop("change", None)  # it is neither's
    return joined


def _unknown(row: Row, ids: str) -> list[str]:
    known = row.get("openings", "").split()
    return [id_ for id_ in ids.split() if id_ not in known]


def _latest(older: str, newer: str) -> str:
    """The last sixteen of both, ``newer`` at the end."""
    last = newer.split()
    return " ".join([*(id_ for id_ in older.split() if id_ not in last), *last][-_OPENINGS:])
