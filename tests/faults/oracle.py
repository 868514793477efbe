"""Oracle: issues parcels, is told what became of each, and says what must never have happened.

The life of a parcel::

    issued ─► publish returned: confirmed ──────────┐
       └────► publish raised: may arrive all the same ┴─► started ─► finished ─► completed (its claim says done)
                                                            ▲ └──── its process died: interrupted, starts again
                                                            └───────┘

What it finds wrong
    lost        confirmed, and never handled to its last line when everything has had its time
    rerun       started after it was completed, or completed twice
    doubled     started while its handler was at work in a process that lives
    overlong    a publish returned, or raised, later than its deadline and the allowance for a busy machine
    forged      handled but never issued, or with another body
    refused     a publish raised what no later try could heal
    stray       dead-lettered, or held, where nothing was wrong with it

A handler whose process is killed after its last line and before its claim says done runs again, as
:mod:`rabbitmq.claims` documents; such runs are counted apart (``unrecorded``). Only a process that died excuses one.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from fusebox.errors import FuseboxError, Retryable
from tests.faults.notes import Note, Notes

ALLOWANCE_S: Final = 1.0
"""How late a thread may be scheduled on a machine that others keep busy, two file syncs of an outbox included."""
_STRAYED: Final = frozenset({"message_dead", "message_held"})


@dataclass(frozen=True, slots=True)
class Parcel:
    """A message as it is published."""

    id: str
    body: bytes


@dataclass(slots=True)
class Life:
    """What is known of one parcel."""

    digest: str
    confirmed: bool = False
    at_work: dict[int, None] = field(default_factory=dict)
    starts: int = 0
    finishes: int = 0
    completions: int = 0


def digest(body: bytes) -> str:
    """What is compared of a body."""
    return hashlib.sha256(body).hexdigest()[:16]


class Oracle:
    """See the module. Thread-safe."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._lives: dict[str, Life] = {}
        self._dead: set[int] = set()
        self._lock = threading.RLock()
        self.seen: defaultdict[str, list[str]] = defaultdict(list)
        """Details of all other notes, by ``kind`` or, of happenings, by their event."""
        self.errors: Counter[str] = Counter()
        """Publishes that raised, by the error's name."""
        self.violations: list[str] = []
        self.slowest = 0.0
        """Seconds: the longest publish."""
        self.unrecorded = 0

    # --- publishing -------------------------------------------------------------------------------------------------
    def issue(self, **content: Any) -> Parcel:
        """A new parcel with this content."""
        with self._lock:
            number = f"p{len(self._lives):06d}"
            body = json.dumps({"id": number, **content}).encode()
            self._lives[number] = Life(digest(body))
        return Parcel(number, body)

    @contextmanager
    def publishing(self, parcel: Parcel, deadline: float) -> Iterator[None]:
        """Around one publish: it confirms the parcel when it returns, in time, and swallows what may be tried again."""
        began = time.monotonic()
        try:
            yield
        except Retryable as error:
            self.errors[type(error).__name__] += 1
        except FuseboxError as error:
            self._wrong("refused", parcel.id, repr(error))
        else:
            self._lives[parcel.id].confirmed = True
        finally:
            self._took(parcel, time.monotonic() - began, deadline)

    def is_confirmed(self, parcel: Parcel) -> bool:
        """True once its publish returned."""
        return self._lives[parcel.id].confirmed

    def _took(self, parcel: Parcel, seconds: float, deadline: float) -> None:
        self.slowest = max(self.slowest, seconds)
        if seconds > deadline + ALLOWANCE_S:
            self._wrong("overlong", parcel.id, f"{seconds:.2f} s, deadline {deadline:g} s")

    # --- what became of it --------------------------------------------------------------------------------------------
    def read(self) -> None:
        """Take in what was noted meanwhile."""
        with self._lock:
            for note in self._notes.read():
                {"started": self._started, "finished": self._finished, "completed": self._completed}.get(
                    note.kind, self._other
                )(note)

    def lost(self) -> list[str]:
        """Confirmed parcels that were not handled to the last line (yet)."""
        with self._lock:
            self.read()
            return [number for number, life in self._lives.items() if life.confirmed and not life.finishes]

    def at_work(self) -> list[str]:
        """Parcels in the hands of a living process."""
        with self._lock:
            self.read()
            return [number for number, life in self._lives.items() if life.at_work.keys() - self._dead]

    def verdict(self) -> list[str]:
        """All that is wrong, once everything has had its time."""
        lost = [f"lost: {number}: confirmed, never handled to its end" for number in self.lost()]
        return self.violations + lost

    def is_completed(self, parcel: Parcel) -> bool:
        """True once its handler was recorded as done."""
        self.read()
        return self._lives[parcel.id].completions > 0

    def count(self) -> dict[str, int]:
        """Figures for people."""
        lives = list(self._lives.values())
        return {
            "issued": len(lives),
            "confirmed": sum(life.confirmed for life in lives),
            "handled though unconfirmed": sum(bool(life.finishes) and not life.confirmed for life in lives),
            "interrupted and run again": sum(max(0, life.starts - 1) for life in lives),
            "of these unrecorded": self.unrecorded,
        }

    def _started(self, note: Note) -> None:
        life = self._lives.get(note.subject)
        if life is None or life.digest != note.detail:
            self._wrong("forged", note.subject, "never issued" if life is None else "its body was changed")
            return
        if life.completions:
            self._wrong("rerun", note.subject, f"started in {note.pid} after it was completed")
        if life.at_work.keys() - self._dead:
            self._wrong("doubled", note.subject, f"started in {note.pid} while at work in {list(life.at_work)}")
        life.at_work[note.pid] = None
        life.starts += 1

    def _finished(self, note: Note) -> None:
        if life := self._lives.get(note.subject):
            life.finishes += 1
            if life.finishes > 1 and not life.completions:
                self.unrecorded += 1

    def _completed(self, note: Note) -> None:
        if life := self._lives.get(note.subject):
            life.at_work.pop(note.pid, None)
            life.completions += 1
            if life.completions > 1:
                self._wrong("rerun", note.subject, f"completed {life.completions} times")

    def _other(self, note: Note) -> None:
        if note.kind == "ended":
            self._dead.add(int(note.detail))
        elif note.kind == "confirmed":
            self._lives[note.subject].confirmed = True
        else:
            kind = note.subject if note.kind == "happening" else note.kind
            self.seen[kind].append(note.detail)
            if kind in _STRAYED:
                self._wrong("stray", "", note.detail)

    def _wrong(self, kind: str, parcel: str, what: str) -> None:
        with self._lock:
            self.violations.append(f"{kind}: {parcel}: {what}")
