"""Every statement leaves a word in the audit journal, and no reader can fill the journal with them.

An entry has kind ``sql``, the reader as actor, the outcome as subject (``answered``, ``failed``, ``refused``) and the
statement as reason (cut at 2,000 characters; hash and length of the whole beside it), with parameters, rows, bytes and
milliseconds. It is on disk before the first byte of the answer leaves: what was read is known, or it was not read.

The first of the same statement (text, parameters, reader, outcome) in a minute is written in full, and 30 of a reader's
at most. The others are counted: with the first statement after the minute (or at the end) one entry of kind
``sql_count`` for each reader says how many of each outcome there were beside those, with the rows and milliseconds of
all of them and the beginning of each statement, of 250 at most: a few cheap ones hide none that follows, and who asks
more is seen to. Who is not let in at all is one reader, ``unauthenticated``.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from collector.audit.entry import Note
from collector.audit.journal import Journal
from collector.sql.statement import Outcome, Statement
from fusebox.clock import Clock

WRITER: Final = "keep"
_MINUTE_S: Final = 60.0
_IN_FULL: Final = 30
_TEXT: Final = 2000
_PARAMETERS: Final = 1000
_DISTINCT: Final = 250
_BEGINNING: Final = 200
_OTHERS: Final = "…"


@dataclass(slots=True)
class _Tally:
    """What one reader did in a minute."""

    in_full: set[str] = field(default_factory=set)
    outcomes: Counter[str] = field(default_factory=Counter)
    statements: Counter[str] = field(default_factory=Counter)
    rows: int = 0
    ms: float = 0.0


class QueryLog:
    """Writes the journal of *keep*; used from one thread at a time."""

    def __init__(self, journal: Journal, clock: Clock) -> None:
        self._journal, self._clock = journal, clock
        self._minute = self._now()
        self._tallies: dict[str, _Tally] = {}

    def record(self, reader: str, statement: Statement, outcome: Outcome, ms: float) -> None:
        """Write or count one statement.

        Raises:
            JournalBroken: it is not on disk; nothing may be answered.
        """
        self.settle()
        word = "refused" if outcome.refused else "failed" if outcome.error else "answered"
        key = _hash(word, statement)
        tally = self._tallies.setdefault(reader, _Tally())
        if key in tally.in_full or len(tally.in_full) >= _IN_FULL:
            self._count(tally, word, statement, outcome, ms)
            return
        self._journal.append(
            Note("sql", reader, word, statement.text[:_TEXT], payload=_payload(statement, outcome, ms))
        )
        tally.in_full.add(key)

    def settle(self, *, now: bool = False) -> None:
        """Write the counts of a minute that is over.

        Args:
            now: of this minute, too: the end has come, so what cannot be written is owed.

        Raises:
            JournalBroken: they are not on disk; they are kept for the next try.
        """
        minute = self._now()
        if minute == self._minute and not now:
            return
        write = self._journal.record if now else self._journal.append
        for reader, tally in list(self._tallies.items()):
            if tally.outcomes:
                write(Note("sql_count", reader, "counted", payload=_counted(tally)))
            del self._tallies[reader]
        self._minute = minute

    def close(self) -> None:
        """Write what is counted, and close the journal."""
        try:
            self.settle(now=True)
        finally:
            self._journal.close()

    def _now(self) -> int:
        return int(self._clock.monotonic() // _MINUTE_S)

    @staticmethod
    def _count(tally: _Tally, word: str, statement: Statement, outcome: Outcome, ms: float) -> None:
        tally.outcomes[word] += 1
        beginning = statement.text[:_BEGINNING]
        known = beginning in tally.statements or len(tally.statements) < _DISTINCT
        tally.statements[beginning if known else _OTHERS] += 1
        tally.rows, tally.ms = tally.rows + outcome.read_rows, tally.ms + ms


def _hash(word: str, statement: Statement) -> str:
    text = json.dumps([word, statement.text, sorted(statement.parameters.items())])
    return hashlib.sha256(text.encode()).hexdigest()


def _payload(statement: Statement, outcome: Outcome, ms: float) -> dict[str, object]:
    whole = statement.text.encode("utf-8", "surrogatepass")
    return {
        "sha256": hashlib.sha256(whole).hexdigest(),
        "length": len(whole),
        "parameters": json.dumps(dict(statement.parameters))[:_PARAMETERS],
        "rows": outcome.rows,
        "read_rows": outcome.read_rows,
        "bytes": outcome.size,
        "ms": round(ms),
        "code": outcome.code,
        "error": outcome.error[:_PARAMETERS],
    }


def _counted(tally: _Tally) -> dict[str, object]:
    return {
        **tally.outcomes,
        "read_rows": tally.rows,
        "ms": round(tally.ms),
        "statements": dict(tally.statements),
    }
