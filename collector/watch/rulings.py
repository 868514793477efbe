"""What guards of agent processes ruled, and how ended what people had agreed to: each row is an entry of the journal.

A client counts what repeats and sends one row a minute of each kind (:mod:`governance.audit`). A process that does not
keep to that fills :data:`IN_FULL` entries a minute and no more; the rest is counted.
"""

from __future__ import annotations

from typing import Final

from collector.audit.entry import Note
from collector.audit.journal import Journal, JournalBroken
from collector.watch.counted import Counted
from collector.watch.process_bodies import Commits, Denial, Denials
from collector.watch.refusal import UNAVAILABLE, Refusal
from collector.watch.roll import Roll
from fusebox.clock import Clock
from fusebox.records import Decision

IN_FULL: Final = 200
_ABOUT: Final = ("operation", "target", "workflow", "revision", "decision_id")
_KINDS: Final = {Decision.DENY: "denial", Decision.HOLD: "hold", Decision.ALLOW: "allow"}


class Rulings:
    """Journals rows of ``denials`` and shows denials on the board."""

    def __init__(self, journal: Journal, roll: Roll, clock: Clock) -> None:
        self.counted = Counted(journal, clock, IN_FULL)
        self._roll = roll

    def take(self, principal: str, body: Denials) -> None:
        """Take in what a process says.

        Raises:
            Refusal: 503, not all of it could be journaled; say it again.
        """
        for row in body.rows:
            self._add(principal, _note(row, body.process), row.count)
            if row.decision is Decision.DENY:
                self._roll.denied(row.agent, row.count)

    def committed(self, principal: str, body: Commits) -> None:
        """Take in how actions ended.

        Raises:
            Refusal: 503, not all of it could be journaled; say it again.
        """
        for row in body.rows:
            told = {"process": body.process}
            note = Note("commit", f"agent:{row.agent}", row.approval, row.outcome, row.trace_id, payload=told)
            self._add(principal, note)

    def _add(self, principal: str, note: Note, count: int = 1) -> None:
        try:
            self.counted.add(principal, note, count)
        except JournalBroken as error:
            raise Refusal(UNAVAILABLE, str(error)) from error


def _note(row: Denial, process: str) -> Note:
    payload = {"process": process, "action": row.action, "minute": row.minute}
    payload |= {name: value for name in _ABOUT if (value := getattr(row, name))}
    return Note(_KINDS[row.decision], row.guard, row.agent, row.reason, row.trace_id, payload=payload)
