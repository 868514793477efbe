"""The quota's one atomic step, said twice: as Lua for Redis (``quota.lua``), as Python for memory.

One hash holds a tenant's quota, so a step sees and changes all its rows at once:

* ``w:<row>``: a row, see :mod:`gateway.limits.rows`;
* ``r:<id>``: an open reservation: the end of its lease (Unix seconds), then a line ``slot units row`` for each row;
* ``swept``: when somebody last looked for what is over (``turn`` lets one worker do it at a time), and ``at``: where;
* ``born``: drawn when the hash came into being. A step that finds another one knows that the store lost its rows.

A reservation's states::

              reserve ──────────────► short          a row has too little left: nothing changes
                 │ ok
                 ▼
    ┌───────► open ── settle(spent) ─► settled        the difference goes back into the slot it was taken from
    └ renew,──┘ │                                     (spent 0 is a refund)
      lessen    │                                     part of it goes back early
                └──── expire ────────► expired        its lease is over: it counts as spent in full
    anything after the end ──────────► gone           so each reservation ends once, however often that is asked

Invariants, which the model in the tests checks:

1. ``reserve`` answers ok only when every row then holds at most its limit: nothing is admitted above it.
2. A row's ``held`` is the sum of its open reservations, and they are part of its slots.
3. The end of a reservation never raises a row by more than what was spent above what was reserved.
4. ``expire`` changes no total: what a dead worker may have used upstream stays counted until its slot is over.

The argument is a JSON document ``{"born", "ops": [{"op": …}]}``, its ops made in order. The answer is one text: a line
with ``born``, then a line for each op with its words (a row is one), parted by tabs. ``reserve`` may ask for ``more``
calls than the one at hand, and is told how many it got. ``charge`` counts what was let
through while the store was away, above the limit if need be. ``over`` names, of the next ``count`` fields or so, the
reservations whose lease is over and the rows that say nothing any more: a hash may hold the rows of a million runs, and
who read it whole would keep all calls waiting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import orjson

from fusebox.store import Script
from gateway.limits.rows import Place, State

OK: Final = "ok"
SHORT: Final = "short"
GONE: Final = "gone"
_SPARE: Final = 8
"""One part in so many of what a row has left may be granted beyond the call at hand."""

Op = dict[str, Any]
_Hash = dict[str, str]

_LUA: Final = Path(__file__).with_name("quota.lua").read_text()


def _twin(hash_: _Hash, args: tuple[str, ...]) -> str:
    wish = orjson.loads(args[0])
    born = hash_.setdefault("born", wish["born"])
    return "\n".join([born, *("\t".join(_OPS[op["op"]](hash_, op)) for op in wish["ops"])])


def _reserve(hash_: _Hash, op: Op) -> list[str]:
    rows = [(ask, _rolled(hash_, ask)) for ask in op["rows"]]
    fits = all(ask.get("limit") is None or not ask["n"] or row.total + ask["n"] <= ask["limit"] for ask, row in rows)
    calls = 1 + (_more(op.get("more", 0), rows) if fits else 0)
    if fits:
        for ask, row in rows:
            row.charge(ask["n"] * calls)
            row.held += ask["n"] * calls
            _save(hash_, ask["row"], row)
        mine = "".join(f"\n{row.newest} {ask['n'] * calls} {ask['row']}" for ask, row in rows)
        hash_[f"r:{op['id']}"] = f"{op['lease']}{mine or chr(10)}"
    return [OK if fits else SHORT, str(calls - 1), *(row.text() for _, row in rows)]


def _more(wished: int, rows: Iterable[tuple[Op, State]]) -> int:
    """For how many further calls there is room to spare: an eighth of what is left behind this one."""
    room = (int(ask["limit"] - row.total - ask["n"]) // (_SPARE * ask["n"]) for ask, row in rows if ask["n"])
    return int(min([wished, *room]))


def _settle(hash_: _Hash, op: Op) -> list[str]:
    if f"r:{op['id']}" not in hash_:
        return [GONE]
    _close(hash_, op["id"], op["spent"])
    return [OK]


def _lessen(hash_: _Hash, op: Op) -> list[str]:
    held = hash_.get(f"r:{op['id']}")
    if held is None:
        return [GONE]
    lease, *lines = held.split("\n")
    kept = [lease]
    for line in filter(None, lines):
        slot, units, name = line.split(" ", 2)
        less = min(int(units), op["back"].get(name, 0))
        row = State.parse(hash_.get(f"w:{name}"))
        row.held = max(0, row.held - less)
        row.correct(int(slot), -less)
        _save(hash_, name, row)
        kept.append(f"{slot} {int(units) - less} {name}")
    hash_[f"r:{op['id']}"] = "\n".join(kept) if len(kept) > 1 else held
    return [OK]


def _renew(hash_: _Hash, op: Op) -> list[str]:
    field = f"r:{op['id']}"
    if field not in hash_:
        return [GONE]
    hash_[field] = f"{op['lease']}\n{hash_[field].partition(chr(10))[2]}"
    return [OK]


def _charge_rows(hash_: _Hash, op: Op) -> list[str]:
    for ask in op["rows"]:
        row = _rolled(hash_, ask)
        row.charge(ask["n"])
        _save(hash_, ask["row"], row)
    return [OK]


def _expire(hash_: _Hash, op: Op) -> list[str]:
    held = hash_.get(f"r:{op['id']}")
    if held is None or int(held.partition("\n")[0]) > op["now"]:
        return [GONE]
    _close(hash_, op["id"], None)
    return [OK]


def _forget(hash_: _Hash, op: Op) -> list[str]:
    row = State.parse(hash_.get(f"w:{op['row']}"))
    if row.held or row.until > op["now"]:
        return ["kept"]
    hash_.pop(f"w:{op['row']}", None)
    return [OK]


def _over(hash_: _Hash, op: Op) -> list[str]:
    """In memory there are no pieces."""
    found = [field for field, text in hash_.items() if field[:2] in ("r:", "w:") and int(text.split()[0]) <= op["now"]]
    return [OK, "0", orjson.dumps(sorted(found)).decode()]


def _turn(hash_: _Hash, op: Op) -> list[str]:
    if op["now"] - int(hash_.get("swept", "0")) < op["every"]:
        return ["kept"]
    hash_["swept"] = str(op["now"])
    return [OK]


_OPS: Final[dict[str, Callable[[_Hash, Op], list[str]]]] = {
    "reserve": _reserve,
    "settle": _settle,
    "lessen": _lessen,
    "renew": _renew,
    "charge": _charge_rows,
    "expire": _expire,
    "forget": _forget,
    "over": _over,
    "turn": _turn,
}


def _close(hash_: _Hash, reservation: str, spent: dict[str, int] | None) -> None:
    for line in hash_.pop(f"r:{reservation}").split("\n")[1:]:
        if line:
            slot, units, name = line.split(" ", 2)
            row = State.parse(hash_.get(f"w:{name}"))
            row.held = max(0, row.held - int(units))
            if spent is None:
                row.expired += int(units)
            else:
                row.correct(int(slot), spent.get(name, 0) - int(units))
            _save(hash_, name, row)


def _rolled(hash_: _Hash, ask: Op) -> State:
    row = State.parse(hash_.get(f"w:{ask['row']}"))
    row.roll(Place(ask["keep"], ask["slot"], ask["until"]))
    return row


def _save(hash_: _Hash, name: str, row: State) -> None:
    hash_[f"w:{name}"] = row.text()


STEP: Final = Script(_LUA, _twin)


def encoded(born: str, ops: list[Op]) -> str:
    """The step's argument."""
    return orjson.dumps({"born": born, "ops": ops}).decode()


def decoded(answer: str) -> tuple[str, list[list[str]]]:
    """``born``, and the words of each op's answer."""
    born, *lines = answer.split("\n")
    return born, [line.split("\t") for line in lines]


def end_of(field: str, now: int) -> Op:
    """The op that ends what ``over`` has named."""
    kind, _, name = field.partition(":")
    return {"op": "expire", "id": name, "now": now} if kind == "r" else {"op": "forget", "row": name, "now": now}
