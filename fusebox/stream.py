"""The Redis stream that carries Commands: *watch* appends, every process reads all of it at its own pace.

::

    fusebox:commands:<tenant>      one entry for each Command, the newest :data:`KEPT` or a few more
        signed                     the signed bytes: all that a reader believes
        id, scope                  of the Command, by which a RESUME takes the kills that it lifts out again

Invariants

* A reader begins at the oldest entry, so it meets the kills that are in force. It never meets one that is lifted:
  by then the RESUME may be too old to be obeyed.
* What stood there when a reader began is told as ``past``: the board, which is in the same Redis, has moved on since,
  and a trip of minutes ago must not open again what has closed.
* No entry is passed over. An id stands in a stream once, so after each read a reader looks whether the entry it read
  last still stands. Where it does not (flushed, restored from a backup, trimmed or resumed, recreated by a Redis whose
  clock is behind), it begins anew; Commands that come twice are obeyed once.
* Anybody who may write to Redis may append or remove. What is appended must be signed; against what is removed there
  are the other carriers.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, cast

from fusebox.command import Command
from fusebox.store import connect, redis_errors

KEPT: Final = 500
"""Half of the lifted kill ids that a snapshot teaches: a process may meet a kill and its lift in any order."""
_BATCH: Final = 100
_START: Final = b"0-0"

_Entry = tuple[bytes, dict[bytes, bytes] | None]


class CommandStream:
    """One end of the stream; a reader's position is its own. Reading is for one thread.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://`` address.
        timeout: seconds a call may take, beside the wait of a read.
        wait: seconds for which a read waits while there is nothing.

    Attributes:
        past: True when what was read last stood there before this reader began.

    Raises:
        ConfigError: the address cannot be read.

    Every method but ``close`` raises:
        StoreUnavailable: Redis did not answer, or refused.
    """

    def __init__(self, url: str, tenant: str, *, timeout: float = 1.0, wait: float = 0.5) -> None:
        self._key = f"fusebox:commands:{tenant}"
        self._wait_ms = round(wait * 1000)
        # Answers stay bytes: an entry that is no text must not end the reading.
        self._redis = connect(url, timeout + wait, protocol=2)
        self._position = _START
        self._began: bytes | None = None
        """The newest entry when this reader began."""
        self.past = False

    def append(self, signed: bytes, command: Command) -> None:
        """Add a Command; a RESUME also takes out the kills that it lifts."""
        with redis_errors():
            entry = {"signed": signed, "id": command.id, "scope": command.scope}
            self._redis.xadd(self._key, entry, maxlen=KEPT, approximate=True)  # type: ignore[arg-type]
            if command.lifts:
                self._remove(frozenset(kill.encode() for kill in command.lifts))

    def restate(self, kills: Iterable[tuple[bytes, Command]]) -> int:
        """Add those of these KILLs that do not stand here signed by the same key; how many. Those that they replace go.

        After a change of the key nobody who starts believes what the old one has signed.
        """
        with redis_errors():
            entries = [(id, fields) for id, fields in self._all() if fields and fields.keys() >= {b"id", b"signed"}]
            standing = {(fields[b"id"], _signed_by(fields[b"signed"])) for _, fields in entries}
            new = [(s, kill) for s, kill in kills if (kill.id.encode(), _signed_by(s)) not in standing]
            for signed, kill in new:
                self.append(signed, kill)
            ids = {kill.id.encode() for _, kill in new}
            self._delete([id for id, fields in entries if fields[b"id"] in ids])
        return len(new)

    def read(self) -> list[bytes]:
        """Signed bytes that were not read yet; waits a moment while there are none."""
        with redis_errors():
            standing = self._standing()
            entries = standing or self._after(self._position)
            if self._lost():
                self._position = self._began = _START
                return []
        self.past = bool(standing)
        if entries:
            self._position = entries[-1][0]
        return [fields[b"signed"] for _, fields in entries if fields and b"signed" in fields]

    def close(self) -> None:
        """Release the connection; legal twice."""
        self._redis.close()

    def _standing(self) -> list[_Entry]:
        """The next of those that stood here when this reader began."""
        if self._began is None:
            newest = cast(list[_Entry], self._redis.xrevrange(self._key, count=1))
            self._began = newest[0][0] if newest else _START
        from_here: Any = self._redis.xrange(self._key, self._position, self._began, count=_BATCH + 1)
        return [entry for entry in from_here if entry[0] != self._position]  # before 6.2 Redis knows no "behind"

    def _after(self, position: bytes) -> list[_Entry]:
        found: Any = self._redis.xread({self._key: position}, count=_BATCH, block=self._wait_ms)
        return cast(list[_Entry], found[0][1]) if found else []

    def _lost(self) -> bool:
        """True when the entry we read last is gone."""
        return self._position != _START and not self._redis.xrange(self._key, self._position, self._position)

    def _remove(self, kills: frozenset[bytes]) -> None:
        self._delete([id for id, fields in self._all() if fields and not kills.isdisjoint(_names(fields))])

    def _all(self) -> list[_Entry]:
        return cast(list[_Entry], self._redis.xrange(self._key))

    def _delete(self, entries: list[bytes]) -> None:
        if entries:
            self._redis.xdel(self._key, *entries)


def _names(fields: dict[bytes, bytes]) -> tuple[bytes, bytes]:
    """What a lift may call the kill of an entry, see :mod:`breakers.latch`."""
    id = fields.get(b"id", b"")
    return id, b"%b %b" % (fields.get(b"scope", b""), id)


def _signed_by(signed: bytes) -> tuple[bytes, ...]:
    """Version and key of signed bytes."""
    return tuple(signed.split(b".", 2)[:2])
