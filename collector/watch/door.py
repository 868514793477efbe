"""The door for people: whose token opens it, and an entry in the journal for who came, and from where.

An entry ``login`` is the first use of a token from an address, and again after :data:`IDLE_S` without one: the
dashboard asks every second, so one entry is one sitting. An entry ``login_failed`` is a token that opens nothing; one
of an address is written in full each minute, the others are counted.

What an operator then orders is journaled for itself. So a login that cannot be written now is owed: it keeps nobody
from killing.
"""

from __future__ import annotations

import logging
import threading
from typing import Final

from collector.audit.entry import Note
from collector.audit.journal import Journal, JournalBroken
from collector.readers import Readers
from collector.tokens import Tokens
from collector.watch.counted import Counted
from fusebox import happenings
from fusebox.clock import Clock

IDLE_S: Final = 1_800.0
_MAX_SEEN: Final = 1_000

LOGGED_IN: Final = happenings.declare("operator_came", logging.INFO, "an operator's token was used, first from there")
TURNED_AWAY: Final = happenings.declare("operator_refused", logging.WARNING, "a token that is no operator's was shown")


class Door:
    """Operators' tokens, and who used them.

    Args:
        operators: the tokens that open it.
        readers: theirs open a window in it: they see what operators see, and order nothing.
    """

    def __init__(self, operators: Tokens, readers: Readers, journal: Journal, clock: Clock) -> None:
        self._operators, self._readers, self._journal, self._clock = operators, readers, journal, clock
        self.refused = Counted(journal, clock, full=1)
        self._seen: dict[tuple[str, str], float] = {}
        self._lock = threading.Lock()

    def open(self, token: str | None) -> str | None:
        """The operator whose token this is, or None; writes nothing."""
        principal = self._operators.authenticate(token)
        return principal.name if principal else None

    def window(self, token: str | None) -> str | None:
        """The reader whose token this is, or None; writes nothing."""
        reader = self._readers.known(token)
        return reader.name if reader else None

    def is_news(self, name: str, address: str) -> bool:
        """True when this use of a token is to be written down; writes nothing."""
        now, who = self._clock.monotonic(), (name, address)
        with self._lock:
            last = self._seen.pop(who, None)
            self._seen[who] = now
            if len(self._seen) > _MAX_SEEN:
                del self._seen[next(iter(self._seen))]
        return last is None or now - last > IDLE_S

    def came(self, name: str, address: str) -> None:
        """Write down that an operator came."""
        happenings.emit(LOGGED_IN, operator=name, address=address)
        self._journal.record(Note("login", f"operator:{name}", address, "first use of the token from there"))

    def turned_away(self, address: str, call: str) -> None:
        """Write down, or count, that somebody was not let in."""
        happenings.emit(TURNED_AWAY, address=address, call=call)
        try:
            self.refused.add(address, Note("login_failed", f"address:{address}", call, "no operator has this token"))
        except JournalBroken:
            pass  # the journal itself says so, and nobody was let in
