"""The one atomic step of a circuit's row, said twice: as Lua for Redis (``step.lua``), as Python for memory.

A *wish* is flat pairs of text; ``kind`` says which. Times are seconds; ``now`` is business time, ``wall`` real time.
A row's fields (absent row: closed, version 0):

========== ==========================================================================================================
state      ``closed``, ``open`` or ``half_open``
mode       ``normal``, ``observe_only`` or ``disabled``: modes leave the state where it is
since      when the state was entered
moved      time of the last transition, ``last`` its id, ``actor`` who did it
reason     of the last transition; ``finding``: id of the Finding that opened the circuit
retry_at   when a probe may be admitted (open only), ``open_for`` after how many seconds that is
trips      trips in a row: open time is ``base * growth ** (trips - 1)``, at most ``max``. One is forgiven for every
           ``max`` seconds since the last, all are by a reset
tripped_at time of the last trip
probe      who holds the probe permit (half_open only), ``lease``: the wall time at which it expires
version    grows with every change of the row
========== ==========================================================================================================

Rules: a probe is admitted when the open time is over (which makes the circuit half-open) or when no living probe holds
the permit. Only the holder of the permit can close or re-open by its probe. A wish with ``expect`` is refused when the
row has moved on. A row that is older than what the asker has seen (``seen``) was lost, flushed or restored from a
backup: nothing is decided on it, the answer is ``lost``. ``restore`` puts a newer row back.

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

from fusebox.store import Script

Row = dict[str, str]

MOVED: Final = "moved"
DONE: Final = "done"
REFUSED: Final = "refused"
LOST: Final = "lost"

_LUA: Final = Path(__file__).with_name("step.lua").read_text()


def _twin(hash_: Row, args: tuple[str, ...]) -> list[str]:
    w = dict(zip(args[::2], args[1::2], strict=True))
    if w["kind"] == "restore":
        return _restore(hash_, w)
    if num(hash_, "version") < num(w, "seen"):
        return [LOST, "", ""]
    row = {"state": "closed", "mode": "normal", **hash_}
    state, mode = row["state"], row["mode"]
    kind = _KINDS.get(w["kind"])
    word = kind(row, w) if kind else REFUSED
    if word != REFUSED:
        row["version"] = text(num(row, "version") + 1)
        hash_.clear()
        hash_.update(row)
    return [word, state, mode, *_flat(row)]


STEP: Final = Script(_LUA, _twin)


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


def _flat(row: Row) -> list[str]:
    return [part for pair in row.items() for part in pair]


def _restore(hash_: Row, w: Row) -> list[str]:
    if num(hash_, "version") >= num(w, "version"):
        return [REFUSED, hash_.get("state", ""), hash_.get("mode", ""), *_flat(hash_)]
    hash_.clear()
    hash_.update({k: v for k, v in w.items() if k not in ("kind", "now", "seen")})
    return [DONE, hash_["state"], hash_["mode"], *_flat(hash_)]


def _entered(row: Row, to: str, at: float) -> None:
    row["state"], row["since"] = to, text(at)
    _drop(row, "probe", "lease", "retry_at", "open_for")


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
    row.update(trips=text(trips + 1), tripped_at=text(at), finding=w["finding"])
    row.update(open_for=text(span), retry_at=text(at + span))


def _power(base: float, exponent: float) -> float:
    try:
        return float(base**exponent)
    except OverflowError:
        return math.inf


def _permit(row: Row, w: Row) -> None:
    row.update(probe=w["holder"], lease=text(num(w, "wall") + num(w, "lease_s")))


def _trip(row: Row, w: Row) -> str:
    now = num(w, "now")
    if row["mode"] != "normal" or (w["expect"] and num(w, "expect") != num(row, "version")):
        return REFUSED
    if w["holder"] and (row["state"] != "half_open" or row.get("probe") != w["holder"]):
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
    _drop(row, "trips", "finding")
    return _moved(row, w, num(w, "now"))


def _mode(row: Row, w: Row) -> str:
    if row["mode"] == w["mode"]:
        return REFUSED
    row["mode"] = w["mode"]
    return _moved(row, w, num(w, "now"))


def _probe(row: Row, w: Row) -> str:
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
    held = "probe" in row and row["probe"] != w["holder"] and num(row, "lease") > wall
    if held and num(row, "lease") <= latest:
        return REFUSED
    if held:
        row["lease"] = text(latest)
    else:
        _permit(row, w)
    return DONE


def _close(row: Row, w: Row) -> str:
    if row["state"] != "half_open" or row.get("probe") != w["holder"]:
        return REFUSED
    _entered(row, "closed", num(w, "now"))
    _drop(row, "finding")
    return _moved(row, w, num(w, "now"))


def _renew(row: Row, w: Row) -> str:
    if row["state"] != "half_open" or row.get("probe") != w["holder"]:
        return REFUSED
    _permit(row, w)
    return DONE


def _release(row: Row, w: Row) -> str:
    if row.get("probe") != w["holder"]:
        return REFUSED
    _drop(row, "probe", "lease")
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


_KINDS: Final[dict[str, Callable[[Row, Row], str]]] = {
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
