"""Entries that anybody could cause without end: some in full, the rest counted, so that nobody floods the journal.

Whoever causes them (a token, an address) has some entries a minute written as they are, each durable when
:meth:`Counted.add` returns. What comes on top is counted by kind, actor and subject; when the minute is over each of
these becomes one entry that says how many there were (``payload.count``, and ``payload.minute`` in Unix seconds). So
the sum of ``payload.count`` is exact, but for the counts of one minute when *watch* is killed.

At most :data:`MAX_KINDS` kinds of a cause are told apart, and :data:`MAX_CAUSES` causes; beyond that they share one.
"""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Final

from collector.audit.entry import Note
from collector.audit.journal import Journal, JournalBroken
from fusebox.clock import Clock

MAX_KINDS: Final = 100
MAX_CAUSES: Final = 1_000
OTHERS: Final = "others"
_MINUTE_S: Final = 60

_Kind = tuple[str, str, str]
"""Kind, actor and subject of an entry."""


@dataclass(slots=True)
class _Tally:
    """What one cause did in this minute."""

    full: int = 0
    more: Counter[_Kind] = field(default_factory=Counter)


class Counted:
    """Writes or counts; thread-safe.

    Args:
        full: entries of one cause that are written as they are, each minute.
    """

    def __init__(self, journal: Journal, clock: Clock, full: int) -> None:
        self._journal, self._clock, self._full = journal, clock, full
        self._lock = threading.Lock()
        self._minute = self._now()
        self._tallies: dict[str, _Tally] = {}

    def add(self, cause: str, note: Note, count: int = 1) -> None:
        """Write the entry, or count it; ``count`` is how many times it stands for.

        Raises:
            JournalBroken: it is neither written nor counted.
        """
        with self._lock:
            self._turn()
            tally = self._tally(cause)
            if tally.full >= self._full:
                kind = (note.kind, note.actor, note.subject)
                known = kind in tally.more or len(tally.more) < MAX_KINDS
                tally.more[kind if known else (note.kind, OTHERS, OTHERS)] += count
                return
            tally.full += 1
        try:  # without the lock: others may share the journal's fdatasync
            self._journal.append(replace(note, payload={**note.payload, "count": count}))
        except JournalBroken:
            with self._lock:
                tally.full -= 1
            raise

    def settle(self, *, now: bool = False) -> bool:
        """Write the counts of a minute that is over; False when the journal is broken.

        Args:
            now: of this minute, too: the end has come, so what cannot be written is owed.
        """
        with self._lock:
            try:
                self._turn(now=now)
            except JournalBroken:
                return False
            return True

    def _turn(self, *, now: bool = False) -> None:
        """Begin a new minute when it is time. What could not be written is kept for the next try."""
        minute = self._now()
        if minute == self._minute and not now:
            return
        write = self._journal.record if now else self._journal.append
        for cause, tally in list(self._tallies.items()):
            for kind, count in list(tally.more.items()):
                payload = {"count": count, "minute": self._minute, "cause": cause}
                write(Note(*kind, "more of the same minute, counted", payload=payload))
                del tally.more[kind]
            del self._tallies[cause]
        self._minute = minute

    def _tally(self, cause: str) -> _Tally:
        room = cause in self._tallies or len(self._tallies) < MAX_CAUSES
        return self._tallies.setdefault(cause if room else OTHERS, _Tally())

    def _now(self) -> int:
        return int(self._clock.now() // _MINUTE_S * _MINUTE_S)
