"""The journal: appends notes to a chain, durably and in groups; what it must not do it refuses.

Threads that append at the same time share one ``fdatasync``: the first to come writes for all that wait.

States: open ── write or sync fails ──► broken ── next append succeeds in a new file ──► open. While it is broken, an
append raises :class:`JournalBroken`; what may not wait (a kill) is kept by :meth:`Journal.owe` and written first when
the journal works again.

unsound: at the start the end of the chain is damaged, or the chain is older than a checkpoint that somebody has (its
own, another writer's, the anchor file's). No crash does that, so nothing is appended until a person has brought back
the files: every append raises JournalBroken. Kills still act, and are owed. So the role starts, people can cut agents
off, and nobody can let them run again on a record that was tampered with.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from collector.audit import AT_ONCE, checkpoint
from collector.audit.anchors import anchors_of
from collector.audit.chain import End, Unsound
from collector.audit.checkpoint import BadCheckpoint, Checkpoint
from collector.audit.entry import START, Entry, Note, make, payload_of
from collector.audit.files import refuse_older_format, writers
from collector.audit.merkle import Frontier
from collector.audit.owed import LOST, Owed
from collector.audit.signing import JournalSettings, Mark, Signing
from fusebox import happenings
from fusebox.clock import Clock
from fusebox.config import Config
from fusebox.errors import Retryable
from fusebox.secrets_file import private_folder

UNSOUND: Final = happenings.declare(
    "journal_unsound",
    logging.CRITICAL,
    "the journal is damaged or older than what was signed; only kills work: run 'fusebox audit verify'",
)
ANCHORS_LOST: Final = happenings.declare(
    "anchors_lost",
    logging.ERROR,
    "checkpoints in the anchor file are gone, by which a journal put back in time is told",
)


class JournalBroken(Retryable):
    """The journal cannot be written; nothing that needs it was done."""


class _Ticket:
    """One append that waits."""

    __slots__ = ("broken", "note", "payload", "seq", "time")

    def __init__(self, time: float, note: Note) -> None:
        self.time, self.note, self.payload = time, note, payload_of(note)
        self.seq = -1
        self.broken: JournalBroken | None = None


class Journal:
    """Appends entries to one writer's chain; thread-safe. One process per chain (the caller holds the lock).

    Args:
        root: ``<data_dir>/journal``; the chain is in the folder ``writer`` below it.
        settings: how checkpoints are made, how long entries are kept.
        remembered: checkpoints that somebody else has; the chain must not be older.

    Attributes:
        unsound: why nothing may be appended; empty when it may.

    Raises:
        ConfigError: the journal is of an earlier Fusebox, or its key does not work.
    """

    def __init__(
        self, root: Path, clock: Clock, writer: str = "watch", settings: JournalSettings | None = None,
        remembered: Sequence[Checkpoint] = (),
    ) -> None:  # fmt: skip
        refuse_older_format(root)
        self._folder, self._clock, self._writer = root / writer, clock, writer
        private_folder(self._folder)
        self._queue, self._writing = threading.Lock(), threading.Lock()
        self._waiting: list[_Ticket] = []
        self._owed = Owed(self._folder)
        self.unsound = ""
        self._end = self._open(remembered)
        last = self._end.signed if self._end else None
        self._signing = Signing(self._folder, clock, settings or JournalSettings(), last, self._mark, self.append)
        if self._end:
            self._take_over(self._end)

    @classmethod
    def of(cls, config: Config, clock: Clock, writer: str) -> Journal:
        """The journal that ``config`` asks for.

        Raises:
            ConfigError: as above, or an anchor is not usable.
        """
        settings = JournalSettings(config.audit_signer, anchors_of(config), keep_s=config.audit_keep_days * 86_400.0)
        root, file = config.data_dir / "journal", config.audit_anchor_file
        return cls(root, clock, writer, settings, _anchored(file, root / writer) if file else [])

    def append(self, note: Note) -> int:
        """Write one entry durably; its number.

        Raises:
            JournalBroken: it is not on disk.
        """
        ticket = _Ticket(self._clock.now(), note)
        with self._queue:
            self._waiting.append(ticket)
        with self._writing:
            if ticket.seq < 0 and ticket.broken is None:
                self._write()
        if ticket.seq < 0:
            raise ticket.broken or JournalBroken(f"an entry of the journal in {self._folder} was not written")
        return ticket.seq

    def record(self, note: Note) -> None:
        """Write down what has happened: now, or once the journal can be written."""
        try:
            self.append(note)
        except JournalBroken:
            self.owe(note)

    def owe(self, note: Note) -> None:
        """Keep an entry that could not be written, for later."""
        with self._writing:
            self._owed.add(self._clock.now(), note)

    @property
    def owing(self) -> bool:
        """True while entries wait that could not be written."""
        return bool(self._owed)

    @property
    def unsigned_s(self) -> float:
        """Seconds that the oldest entry without a checkpoint has waited."""
        return self._signing.waiting_s

    def settle(self) -> bool:
        """Try to write what is owed; True when nothing is left."""
        with self._writing:
            if self._owed:
                self._write()
            return not self._owed

    def sign(self) -> bool:
        """Make a checkpoint now; False when that failed."""
        return self._signing.sign()

    def change_key(self) -> None:
        """Change to the key that is planned, now instead of soon.

        Raises:
            FuseboxError: not now; it is tried again.
        """
        self._signing.change_key()

    def close(self) -> None:
        """Write what is owed, sign, close. Legal twice; what is still owed is counted as lost."""
        if not self.settle():
            happenings.emit(LOST, count=len(self._owed), reason="at exit; it is in owed.jsonl if that could be written")
        self._signing.stop()
        with self._writing:
            if self._end:
                self._end.leave()

    def _write(self) -> None:
        """Write what is owed and what waits, as one group; the caller holds the lock."""
        with self._queue:
            tickets, self._waiting = self._waiting, []
        owed = [_Ticket(time, note) for time, note in self._owed.all()]
        try:
            self._commit([*owed, *tickets])
        except (OSError, Unsound) as error:
            why = f"the journal in {self._folder} cannot be written ({error}); free or mount its disk"
            for ticket in tickets:
                ticket.broken = JournalBroken(self.unsound or why)
            return
        self._owed.paid(len(owed))

    def _commit(self, tickets: Sequence[_Ticket]) -> None:
        """
        Raises:
            OSError, Unsound: nothing was written.
        """
        if self._end is None:
            raise Unsound(self.unsound)
        if not tickets:
            return
        seq, prev = self._end.seq, self._end.head
        made: list[Entry] = []
        for ticket in tickets:
            made.append(make(seq + len(made), self._writer, ticket.time, ticket.note, ticket.payload, prev))
            prev = made[-1].hash
        self._end.append(made)
        for number, ticket in enumerate(tickets):
            ticket.seq = seq + number
        self._signing.due(self._end.seq, now=any(entry.kind in AT_ONCE for entry in made))

    def _mark(self) -> Mark:
        with self._writing:
            return Mark(self._end.tree.copy(), self._end.head) if self._end else Mark(Frontier(), START)

    def _open(self, remembered: Sequence[Checkpoint]) -> End | None:
        try:
            end = End(self._folder)
            self._refuse_older(end, remembered)
        except Unsound as error:
            self.unsound = f"{error}; nothing is recorded or resumed before it is brought back: 'fusebox audit verify'"
            happenings.emit(UNSOUND, folder=str(self._folder), error=str(error))
            return None
        return end

    def _refuse_older(self, end: End, remembered: Sequence[Checkpoint]) -> None:
        root = self._folder.parent
        others = [checkpoint.last(root / name) for name in writers(root) if name != self._writer]
        sizes = [int(other.writers.get(self._writer, {}).get("size", 0)) for other in others if other]
        sizes += [each.size for each in remembered if each.writer == self._writer]
        if max(sizes, default=0) > end.seq:
            raise Unsound(f"{self._folder} ends before entry {end.seq}, but {max(sizes)} entries were signed")

    def _take_over(self, end: End) -> None:
        """Say what a crash left, and sign it; say that another key signs."""
        signed = end.signed.size if end.signed else 0
        if end.torn or end.seq > signed:
            payload = {"unsigned_from": signed, "unsigned_to": end.seq, "torn_bytes": end.torn}
            self.record(Note("recovered", self._writer, self._writer, "it ended without a word", payload=payload))
        if note := self._signing.foreign_key():
            self.record(note)


def _anchored(path: Path, folder: Path) -> list[Checkpoint]:
    """What the anchor file holds; that it lacks what it should hold is told, since nobody else would notice."""
    texts, found = checkpoint.lines(path), []
    for text in texts:
        try:
            found.append(checkpoint.parse(text))
        except BadCheckpoint as error:
            happenings.emit(ANCHORS_LOST, file=str(path), error=str(error))
    if not texts and checkpoint.last(folder):
        happenings.emit(ANCHORS_LOST, file=str(path), error="it is missing or empty, and this journal has checkpoints")
    return found
