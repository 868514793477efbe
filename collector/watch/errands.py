"""What people do with messages by themselves, on the broker: journaled as intent before, as outcome after."""

from __future__ import annotations

from typing import Any

from collector.audit.entry import Note
from collector.audit.journal import Journal, JournalBroken
from collector.watch.people_bodies import MessagesBody, OutcomeBody
from collector.watch.refusal import UNAVAILABLE, Refusal
from fusebox.records import new_id

Json = dict[str, Any]


class Errands:
    """Replays and discards of held and dead messages: ``fusebox dlq`` and ``fusebox held`` do them, *watch* notes."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def messages(self, operator: str, body: MessagesBody) -> Json:
        """Note what an operator is about to do; the answer's ``order`` names it.

        Raises:
            Refusal: 503, it could not be journaled; nothing may be done.
        """
        order = new_id("msgs")
        payload = {"order": order, "queue": body.queue, "chosen": body.chosen}
        self._record(Note(body.act, f"operator:{operator}", body.agent, body.chosen, payload=payload))
        return {"order": order}

    def outcome(self, operator: str, body: OutcomeBody) -> Json:
        """Note what became of it.

        Raises:
            Refusal: 503, it could not be journaled; say it again.
        """
        payload = {"count": body.count}
        self._record(Note("outcome", f"operator:{operator}", body.order, body.error or "done", payload=payload))
        return {}

    def _record(self, note: Note) -> None:
        try:
            self._journal.append(note)
        except JournalBroken as error:
            raise Refusal(UNAVAILABLE, str(error)) from error
