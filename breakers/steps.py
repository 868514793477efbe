"""The one atomic step of a circuit's row, said twice: as Lua for Redis (``step.lua``), as Python for memory.

A *wish* is flat pairs of text; ``kind`` says which. Times are seconds; ``now`` is business time, ``wall`` real time.
What a row is made of: :mod:`breakers.rows`.

Rules: a probe is admitted when the open time is over (which makes the circuit half-open), and then while living permits
and successes are fewer than ``probes`` of the wish. Only the holder of a permit can close or re-open by its probe; as
many successes as ``probes`` close. A wish with ``expect`` is refused when the row has moved on.

A row that is older than what the asker has seen (``seen``), or that does not know the openings by which the asker saw
the agent stopped (``stopped_by``), was lost, flushed or restored from a backup: nothing is decided on it, the answer is
``lost``. ``restore`` puts back the row that the asker knows. Where one side is stopped by an opening that the other
does not know, the circuit stays open: so no opening is forgotten, whoever puts back what.

``forget`` deletes a row that is over, unless it has changed (``expect``) or moved since ``before``.

A clock that ran ahead must not keep the circuit open longer than meant: times in the future are brought back to
``now`` by the next who asks.

The answer is ``(word, state before, mode before, field, value, …)``; word is ``moved`` (a transition), ``done`` (no
transition), ``refused`` or ``lost``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Final

from breakers.rows import PROBE, Row, is_over, knows, num, permits, put_back, remember, stopped_by, text
from fusebox.store import Script

MOVED: Final = "moved"
DONE: Final = "done"
REFUSED: Final = "refused"
LOST: Final = "lost"

_OF_WISH: Final = frozenset({"kind", "now", "seen", "id"})
"""What a ``restore`` says beside the row."""
_LUA: Final = Path(__file__).with_name("step.lua").read_text()


def _twin(hash_: Row, args: tuple[str, ...]) -> list[str]:
    w = dict(zip(args[::2], args[1::2], strict=True))
    if w["kind"] == "restore":
        word = DONE if put_back(hash_, {k: v for k, v in w.items() if k not in _OF_WISH}) else REFUSED
        if word == DONE and "change" not in hash_:
            _changed(hash_, w)
        return [word, hash_.get("state", ""), hash_.get("mode", ""), *_flat(hash_)]
    if num(hash_, "version") < num(w, "seen") or not knows(hash_, stopped_by(w)):
        return [LOST, "", ""]
    row = {"state": "closed", "mode": "normal", **hash_}
    state, mode = row["state"], row["mode"]
    if w["kind"] == "forget":
        if not is_over(row, num(w, "before")) or num(row, "version") != num(w, "expect"):
            return [REFUSED, state, mode, *_flat(row)]
        hash_.clear()
        return [DONE, state, mode]
    kind = KINDS.get(w["kind"])
    word = kind(row, w) if kind else REFUSED
    if word != REFUSED:
        row["version"] = text(num(row, "version") + 1)
        _changed(row, w)
        hash_.clear()
        hash_.update(row)
    return [word, state, mode, *_flat(row)]


STEP: Final = Script(_LUA, _twin)


def _changed(row: Row, w: Row) -> None:
    row["change"] = f"{row['version']} {w.get('id', '')}"


def _flat(row: Row) -> list[str]:
    return [part for pair in row.items() for part in pair]


def _entered(row: Row, to: str, at: float) -> None:
    row["state"], row["since"] = to, text(at)
    _drop(row, "passed", "retry_at", "open_for", *permits(row), *(["stopped_by"] if to == "closed" else []))


def _drop(row: Row, *names: str) -> None:
    for name in names:
        row.pop(name, None)


def _moved(row: Row, w: Row, at: float) -> str:
    row.update(moved=text(at), last=w["id"], actor=w["actor"], reason=w["reason"])
    return MOVED


def _opened(row: Row, w: Row, at: float) -> None:
    forgiven = max(0, math.floor((at - num(row, "tripped_at")) / num(w, "max")))
    trips = max(0.0, num(row, "trips") - forgiven)
    span = num(w, "open_s") if w["open_s"] else min(num(w, "max"), num(w, "base") * _power(num(w, "growth"), trips))
    _entered(row, "open", at)
    row.update(trips=text(trips + 1), tripped_at=text(at), finding=w["finding"], opener=w["actor"])
    remember(row, w["id"])
    row.update(open_for=text(span), retry_at=text(at + span))


def _power(base: float, exponent: float) -> float:
    try:
        return float(base**exponent)
    except OverflowError:
        return math.inf


def _permit(row: Row, w: Row) -> None:
    row[PROBE + w["holder"]] = text(num(w, "wall") + num(w, "lease_s"))


def _holds(row: Row, w: Row) -> bool:
    return row["state"] == "half_open" and PROBE + w["holder"] in row


def _trip(row: Row, w: Row) -> str:
    now = num(w, "now")
    if row["mode"] != "normal" or (w["expect"] and num(w, "expect") != num(row, "version")):
        return REFUSED
    if w["holder"] and not _holds(row, w):
        return REFUSED
    if row["state"] != "open":
        _opened(row, w, now)
        return _moved(row, w, now)
    if not w["open_s"] or now + num(w, "open_s") <= num(row, "retry_at"):
        return REFUSED
    row.update(open_for=w["open_s"], retry_at=text(now + num(w, "open_s")))
    return DONE


def _half_open(row: Row, w: Row) -> str:
    if row["state"] != "open":
        return REFUSED
    _entered(row, "half_open", num(w, "now"))
    return _moved(row, w, num(w, "now"))


def _reset(row: Row, w: Row) -> str:
    if row["state"] == "closed":
        return REFUSED
    _entered(row, "closed", num(w, "now"))
    _drop(row, "trips", "finding", "opener")
    return _moved(row, w, num(w, "now"))


def _mode(row: Row, w: Row) -> str:
    if row["mode"] == w["mode"]:
        return REFUSED
    row["mode"] = w["mode"]
    return _moved(row, w, num(w, "now"))


def _probe(row: Row, w: Row) -> str:
    if row["mode"] != "normal":
        return REFUSED
    if row["state"] == "open":
        return _probe_open(row, w)
    return _probe_half_open(row, w) if row["state"] == "half_open" else REFUSED


def _probe_open(row: Row, w: Row) -> str:
    now = num(w, "now")
    if "retry_at" in row and now >= num(row, "retry_at"):
        _entered(row, "half_open", now)
        _permit(row, w)
        return _moved(row, w, now)
    if "retry_at" not in row or num(row, "since") <= now:
        return REFUSED
    row.update(since=text(now), retry_at=text(now + num(row, "open_for")))
    return DONE


def _probe_half_open(row: Row, w: Row) -> str:
    wall, latest = num(w, "wall"), num(w, "wall") + num(w, "lease_s")
    ahead = [name for name in permits(row) if num(row, name) > latest]
    row.update(dict.fromkeys(ahead, text(latest)))
    others = [name for name in permits(row) if name != PROBE + w["holder"]]
    living = [name for name in others if num(row, name) > wall]
    passed = min(num(row, "passed"), _wanted(w) - 1)
    if len(living) + passed >= _wanted(w):
        return DONE if ahead else REFUSED
    _drop(row, *(name for name in others if name not in living))
    _permit(row, w)
    return DONE


def _wanted(w: Row) -> float:
    return max(1.0, num(w, "probes"))


def _close(row: Row, w: Row) -> str:
    if not _holds(row, w):
        return REFUSED
    _drop(row, PROBE + w["holder"])
    passed = num(row, "passed") + 1
    if passed < _wanted(w):
        row["passed"] = text(passed)
        return DONE
    _entered(row, "closed", num(w, "now"))
    _drop(row, "finding", "opener")
    return _moved(row, w, num(w, "now"))


def _renew(row: Row, w: Row) -> str:
    if not _holds(row, w):
        return REFUSED
    _permit(row, w)
    return DONE


def _release(row: Row, w: Row) -> str:
    if not _holds(row, w):
        return REFUSED
    _drop(row, PROBE + w["holder"])
    return DONE


def _adopt(row: Row, w: Row) -> str:
    state, mode, at = row["state"], row["mode"], min(num(w, "time"), num(w, "now"))
    if row.get("last") == w["id"] or at < num(row, "moved"):
        return REFUSED
    row["mode"] = w["mode"] or mode
    if w["state"] == "open" != state:
        _opened(row, w, at)
    elif w["state"] not in ("", state):
        _entered(row, w["state"], at)
    return REFUSED if (row["state"], row["mode"]) == (state, mode) else _moved(row, w, at)


KINDS: Final[dict[str, Callable[[Row, Row], str]]] = {
    "trip": _trip,
    "half_open": _half_open,
    "reset": _reset,
    "mode": _mode,
    "probe": _probe,
    "renew": _renew,
    "close": _close,
    "release": _release,
    "adopt": _adopt,
}
