"""What operators order about the audit log itself: erasing a payload, and the word of a verification."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import orjson

from collector.audit.entry import Entry, Note
from collector.audit.erasure import find
from collector.audit.journal import Journal
from collector.watch.approving import KIND
from collector.watch.journal_first import journal_first
from collector.watch.people_bodies import EraseBody, VerifiedBody
from collector.watch.refusal import CONFLICT, Refusal

Json = dict[str, Any]
_KEPT: Final = frozenset(
    (
        "kill", "resume", "trip", "transition", "key", "erasure", "retention", "operator", "reprice", "config",
        "verification",
    )
)  # fmt: skip
"""Kinds whose payload the state of the installation, or its proof, is made from."""


class Records:
    """Journals orders; *keep* carries an erasure out when it copies the entry."""

    def __init__(self, journal: Journal, root: Path) -> None:
        self._journal, self._root = journal, root

    def erase(self, operator: str, body: EraseBody) -> Json:
        """Have a payload removed.

        Raises:
            Refusal: 409, there is no such payload, or state is made from it; 503, it could not be journaled.
        """
        found = find(self._root / body.writer, body.seq)
        if found is None or not found[2].payload:
            raise Refusal(CONFLICT, f"{body.writer} has no entry {body.seq} with a payload")
        entry = found[2]
        if _stays(entry):
            raise Refusal(CONFLICT, f"the payload of a {entry.kind} stays: what is in force is rebuilt from it")
        payload = {"writer": body.writer, "seq": body.seq, "payload_hash": entry.payload_hash}
        subject = f"{body.writer}/{body.seq}"
        return self._record(Note("erasure", f"operator:{operator}", subject, body.reason, payload=payload))

    def verified(self, operator: str, body: VerifiedBody) -> Json:
        """Record what a verification found.

        Raises:
            Refusal: 503, it could not be journaled.
        """
        payload = {"sizes": dict(body.sizes)}
        return self._record(Note("verification", f"operator:{operator}", "audit", "verified", payload=payload))

    def _record(self, note: Note) -> Json:
        return {"seq": journal_first(self._journal, note)}


def _stays(entry: Entry) -> bool:
    """True when state is made from the payload. What people are asked may be about anybody; what they said, and that it
    was used, keeps an approval from counting twice."""
    if entry.kind == KIND:
        return bool(orjson.loads(entry.payload).get("step") != "asked")
    return entry.kind in _KEPT
