"""Index: which approvals there are, without reading each; one hash at ``fusebox:<tenant>:approvals``.

A field is an approval's id, its value ``"<stage> <until> <agent>"``; ``until`` (unscaled Unix seconds) is when it
expires, or when it ended. It is written after the approval itself and sealed by nobody: it says where to look, and
nothing is decided on it. What has ended is kept for ``keep_s`` seconds, and at most :data:`MAX_OVER` of it.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from typing import Final

from fusebox import happenings
from fusebox.store import Script, Store
from governance.approvals.approval import LIVE, Approval, Stage

MAX_OVER: Final = 5_000

DAMAGED: Final = happenings.declare(
    "approval_index_damaged", logging.ERROR, "an entry of the index of approvals is none; it is made anew, or dropped"
)


def _set(row: dict[str, str], args: tuple[str, ...]) -> int:
    row[args[0]] = args[1]
    return 1


def _drop(row: dict[str, str], args: tuple[str, ...]) -> int:
    return sum(row.pop(id, None) is not None for id in args)


_SET: Final = Script("redis.call('HSET', KEYS[1], ARGV[1], ARGV[2]) return 1", _set)
_DROP: Final = Script("return redis.call('HDEL', KEYS[1], unpack(ARGV))", _drop)


@dataclass(frozen=True, slots=True)
class Entry:
    """What the index says of one approval."""

    id: str
    stage: str
    until: float
    agent: str

    @property
    def live(self) -> bool:
        """True while something can still become of it."""
        return self.stage in LIVE


class Index:
    """The index of one tenant."""

    def __init__(self, store: Store, tenant: str, keep_s: float) -> None:
        self._store, self._key, self._keep_s = store, f"fusebox:{tenant}:approvals", keep_s

    def note(self, approval: Approval, now: float) -> None:
        """This is how it stands."""
        until = approval.expires_at if approval.stage in LIVE else now
        self._store.run(_SET, self._key, approval.id, f"{approval.stage.value} {until!r} {approval.request.agent}")

    def drop(self, *ids: str) -> None:
        """There are none of these."""
        for start in range(0, len(ids), MAX_OVER):
            self._store.run(_DROP, self._key, *ids[start : start + MAX_OVER])

    def entries(self, now: float) -> list[Entry]:
        """All of them; what was kept long enough is dropped."""
        found = [_read(id, text) for id, text in self._store.read(self._key).items()]
        over = sorted((e for e in found if not e.live), key=lambda entry: entry.until, reverse=True)
        gone = {e.id for place, e in enumerate(over) if place >= MAX_OVER or now - e.until > self._keep_s}
        self.drop(*gone)
        return [entry for entry in found if entry.id not in gone]


def _read(id: str, text: str) -> Entry:
    """What is no entry is told, and read as one that is due: whoever ends what is due looks at the approval itself."""
    stage, _, rest = text.partition(" ")
    until, _, agent = rest.partition(" ")
    try:
        if math.isfinite(ends := float(until)):
            return Entry(id, Stage(stage).value, ends, agent)
    except ValueError:
        pass
    happenings.emit(DAMAGED, approval=id)
    return Entry(id, Stage.PENDING.value, 0.0, "")
