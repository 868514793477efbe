"""What people order is done only once it is journaled; a kill is the exception, and does not come here."""

from __future__ import annotations

from collector.audit.entry import Note
from collector.audit.journal import Journal, JournalBroken
from collector.watch.refusal import UNAVAILABLE, Refusal


def journal_first(journal: Journal, note: Note) -> int:
    """Write down what is about to be done; the entry's number.

    Raises:
        Refusal: 503, the journal cannot be written.
    """
    try:
        return journal.append(note)
    except JournalBroken as error:
        raise Refusal(UNAVAILABLE, f"{error}; nothing was done") from error
