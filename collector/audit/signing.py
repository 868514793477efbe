"""Signs a chain: a thread that makes checkpoints when they are due, hands them to the anchors, changes keys and deletes
what is older than it is kept.

It is a thread of its own so that a kill never waits for a signer.

States of a change of keys: planned (``key.next``) ── entry ``key`` ──► recorded ── checkpoint of the old key ──►
vouched ── the new key replaces the old file, ``key.next`` goes ──► done. A crash before the last step does the whole
again, which a verification allows: the old key counts until the new one's first checkpoint.
"""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from collector.audit import EVERY, EVERY_S, checkpoint, retention
from collector.audit.anchors import Anchor
from collector.audit.checkpoint import Checkpoint
from collector.audit.entry import Note
from collector.audit.files import writers
from collector.audit.keys import KEY, NEXT, Change, SigningFailed, key_id, planned, signer_of
from collector.audit.merkle import Frontier
from fusebox import happenings
from fusebox.clock import Clock
from fusebox.errors import ConfigError, Retryable

_TICK_S: Final = 0.5
_PRUNE_EVERY_S: Final = 3_600.0

FAILED: Final = happenings.declare(
    "checkpoint_failed", logging.CRITICAL, "the audit log could not be signed; it is tried again twice a second"
)
UNCHANGED: Final = happenings.declare(
    "audit_key_unchanged",
    logging.ERROR,
    "a change of the audit key that was ordered cannot be made; key.next is damaged",
)
CHANGED: Final = happenings.declare("audit_key_changed", logging.WARNING, "checkpoints are signed by another key now")


@dataclass(frozen=True, slots=True)
class JournalSettings:
    """How a chain is signed.

    Attributes:
        command: a :class:`collector.audit.keys.CommandSigner`'s command; None for the key file.
        anchors: where each checkpoint goes besides.
        every: entries after which one is made.
        every_s: seconds that an entry waits for one at most.
        keep_s: seconds after which entries are deleted; 0: never.
    """

    command: str | None = None
    anchors: Sequence[Anchor] = field(default=())
    every: int = EVERY
    every_s: float = EVERY_S
    keep_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Mark:
    """Where a chain stands."""

    tree: Frontier
    head: str


class Signing:
    """Checkpoints of one chain; the thread runs from the first :meth:`due` on.

    Args:
        folder: of the chain.
        mark: says where the chain stands.
        append: writes an entry into it.
        last: the newest checkpoint there is.

    Raises:
        ConfigError: the key, or the command, does not work.
    """

    def __init__(
        self, folder: Path, clock: Clock, settings: JournalSettings, last: Checkpoint | None,
        mark: Callable[[], Mark], append: Callable[[Note], object],
    ) -> None:  # fmt: skip
        self._folder, self._clock, self._settings = folder, clock, settings
        self._mark, self._append = mark, append
        self._signer = signer_of(folder, settings.command)
        self._last = last
        self._lock, self._changing = threading.Lock(), threading.Lock()
        self._wake, self._stopping = threading.Event(), threading.Event()
        self._waiting_since: float | None = None
        self._thread: threading.Thread | None = None
        self._pruned = -math.inf
        self._complained = ""

    @property
    def waiting_s(self) -> float:
        """Seconds that the oldest entry without a checkpoint has waited."""
        since = self._waiting_since
        return 0.0 if since is None else self._clock.monotonic() - since

    def due(self, size: int, *, now: bool) -> None:
        """The chain has grown to ``size`` entries; ``now`` when it must be signed at once. Never waits."""
        if self._waiting_since is None:
            self._waiting_since = self._clock.monotonic()
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name=f"audit-{self._folder.name}", daemon=True)
            self._thread.start()
        if now or size - (self._last.size if self._last else 0) >= self._settings.every:
            self._wake.set()

    def sign(self) -> bool:
        """Make a checkpoint of everything, if there is something new; False when that failed."""
        with self._lock:
            return self._signed()

    def stop(self) -> None:
        """Sign what is there, end the thread."""
        self._stopping.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
        self.sign()
        for anchor in self._settings.anchors:
            anchor.stop()

    def _run(self) -> None:
        while not self._stopping.is_set():
            asked = self._wake.wait(_TICK_S)
            self._wake.clear()
            self._tend()
            if asked or self.waiting_s >= self._settings.every_s:
                while not self.sign() and not self._stopping.wait(_TICK_S):
                    pass

    def _tend(self) -> None:
        for act in (self._change_if_planned, self._prune):
            try:
                act()
            except Retryable:
                continue  # the journal is broken, which was said: next time
            except OSError as error:
                happenings.emit(FAILED, folder=str(self._folder), error=str(error))

    def _change_if_planned(self) -> None:
        try:
            self.change_key()
        except ConfigError as error:
            if str(error) != self._complained:  # once, not twice a second
                happenings.emit(UNCHANGED, folder=str(self._folder), error=str(error))
            self._complained = str(error)

    def _signed(self, next: str = "") -> bool:
        try:
            self._sign(next)
        except (OSError, SigningFailed) as error:
            happenings.emit(FAILED, folder=str(self._folder), error=str(error))
            return False
        return True

    def _sign(self, next: str) -> None:
        """Make a checkpoint; the caller holds the lock.

        Args:
            next: the public key that the chain changes to behind it.

        Raises:
            OSError, SigningFailed: there is no checkpoint.
        """
        since = self._clock.monotonic()
        mark = self._mark()
        if mark.tree.size > (self._last.size if self._last else 0):
            made = self._checkpoint(mark, next).signed(self._signer)
            checkpoint.append(self._folder, made)
            self._last = made
            for anchor in self._settings.anchors:
                anchor.offer(made)
        self._waiting_since = None if self._mark().tree.size == mark.tree.size else since

    def _checkpoint(self, mark: Mark, next: str) -> Checkpoint:
        root = self._folder.parent
        seen = {name: checkpoint.last(root / name) for name in writers(root) if name != self._folder.name}
        others = {name: {"size": other.size, "root": other.root} for name, other in seen.items() if other}
        return Checkpoint(
            self._folder.name, mark.tree.size, mark.tree.root().hex(), mark.head,
            tuple(peak.hex() for peak in mark.tree.peaks), round(self._clock.now() * 1e6), others,
            self._last.signature if self._last else "", "", next,
        )  # fmt: skip

    def _prune(self) -> None:
        """Once an hour: say what goes, have it signed, delete it.

        Raises:
            FuseboxError: not now.
        """
        if not self._settings.keep_s or self._clock.monotonic() - self._pruned < _PRUNE_EVERY_S:
            return
        self._pruned = self._clock.monotonic()
        oldest = self._clock.now() - self._settings.keep_s
        below = retention.prunable(self._folder, oldest, self._last.size if self._last else 0)
        if below:
            writer, reason = self._folder.name, f"older than {self._settings.keep_s / 86_400:g} days"
            self._append(Note("retention", writer, writer, reason, payload={"below": below}))
            if self.sign():
                retention.delete(self._folder, below)

    def foreign_key(self) -> Note | None:
        """The entry about a key that no checkpoint of the one before names: one behind a command changes without our
        doing."""
        last, public = self._last, self._signer.public
        if last and last.key != key_id(public) and last.next != public:
            return _change_of(public, last.key, "signer", "it came with another key")
        return None

    def change_key(self) -> None:
        """Change to the key that is planned, if one is. The thread does it within half a second.

        Raises:
            FuseboxError: not now.
        """
        with self._changing:
            change = planned(self._folder)
            if change is not None:
                self._change(change)

    def _change(self, change: Change) -> None:
        if change.signer.public != self._signer.public:
            with self._lock:  # nobody else may sign the entry: theirs would not name the next key
                old, new = key_id(self._signer.public), change.signer.public
                self._append(_change_of(new, old, change.actor, change.reason))
                if not self._signed(change.signer.public):
                    return
                change.signer.save(self._folder / KEY)
                self._signer = change.signer
            happenings.emit(CHANGED, folder=str(self._folder), key=key_id(change.signer.public), reason=change.reason)
        (self._folder / NEXT).unlink()


def _change_of(public: str, replaces: str, actor: str, reason: str) -> Note:
    """The entry about a change of keys."""
    payload = {"public": public, "replaces": replaces}
    return Note("key", actor, key_id(public), reason, payload=payload)
