"""The audit client of an agent process: tells *watch* what guards ruled, and how ended what people had agreed to.

The first ruling of each (agent, guard, decision, reason) leaves at once; those that follow are counted and leave once a
minute as one row, so an agent that hammers at a closed door costs one row a minute. Reasons that differ in numbers only
are one reason, and beyond :data:`MAX_REASONS` of a guard in a minute the others share one row: a loop that makes up a
new reason each time cannot flood its own audit, and the sum of the counts stays exact. What an action was about and
what it was ruled by is told of the first of each row; what policy ruled has a row for each operation and target, as
another policy may tell apart what this one does not (``fusebox policy diff``).

Rows wait in memory, bounded by :data:`MAX_ROWS`; a further row is dropped and counted (:data:`DENIALS_DROPPED`), as
is everything the API refuses for good. An unreachable *watch* is asked again with growing pauses. A row whose answer
was lost is sent twice: counts are at least what happened, never less while nothing was dropped. So it is with commits.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fusebox import happenings
from fusebox.clock import Clock
from fusebox.errors import FuseboxError, Retryable
from fusebox.fingerprint import normalise
from fusebox.guard import POLICY
from fusebox.records import Action, Decision, Verdict

Send = Callable[[str, Mapping[str, Any]], object]
"""``send(kind, body)``: one call of the control protocol; raises an error of :mod:`fusebox.errors`."""

MAX_ROWS: Final = 1000
MAX_REASONS: Final = 50
OTHERS: Final = "other reasons of the same minute"
MINUTE: Final = 60
_BATCH: Final = 100
_MAX_REASON: Final = 500
_ABOUT: Final = ("operation", "target", "workflow", "revision", "decision_id")
_TICK_S: Final = 0.25
_MAX_PAUSE_S: Final = 30.0

DENIED: Final = happenings.declare("action_denied", logging.DEBUG, "a guard denied an action")
DENIALS_DROPPED: Final = happenings.declare(
    "denials_dropped",
    logging.WARNING,
    "rulings and commits that watch was not told about: too many, refused, late at exit",
)

_Place = tuple[str, str, str]
"""Agent, guard, decision."""
_Key = tuple[_Place, str]


@dataclass(slots=True)
class _Row:
    agent: str
    guard: str
    decision: str
    reason: str
    action: str
    minute: int
    trace_id: str
    about: tuple[str, ...]
    """Values for :data:`_ABOUT`."""
    count: int = 1

    def body(self) -> dict[str, object]:
        told = {name: getattr(self, name) for name in self.__slots__ if name != "about"}
        return told | {name: value for name, value in zip(_ABOUT, self.about, strict=True) if value}


class AuditClient:
    """Collects rulings and sends them in the background; a :class:`fusebox.lifecycle.Service`.

    Args:
        send: how *watch* is reached.
        clock: where minutes come from.
        process: this process's id, as in its lease.
    """

    def __init__(self, send: Send, clock: Clock, *, process: str) -> None:
        self._process = process
        self._send = send
        self._clock = clock
        self._counting: dict[_Key, _Row] = {}
        self._ready: list[_Row] = []
        self._sending: list[_Row] = []
        self._commits: list[dict[str, str]] = []
        self._known: dict[_Key, int] = {}
        self._reasons: dict[_Place, set[str]] = {}
        self._minute = 0
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def ruled(self, action: Action, verdict: Verdict, count: int = 1) -> None:
        """Note what a guard ruled, and how many times. Never blocks on I/O and never raises."""
        if verdict.decision is Decision.DENY:
            happenings.emit(DENIED, agent=action.agent, guard=verdict.guard)
        minute = int(self._clock.now() // MINUTE * MINUTE)
        with self._lock:
            self._note(action, verdict, minute, count)

    def committed(self, action: Action, approval: str, outcome: str) -> None:
        """Note how an action ended that people had agreed to. Never blocks on I/O and never raises.

        Args:
            outcome: ``http_<status>``, or a short name of what went wrong.
        """
        row = {"agent": action.agent, "approval": approval, "outcome": outcome, "trace_id": action.trace_id}
        with self._lock:
            if len(self._commits) < MAX_ROWS:
                self._commits.append(row)
                self._wake.set()
                return
        happenings.emit(DENIALS_DROPPED, agent=action.agent, count=1, reason="too many commits wait")

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="fusebox-audit", daemon=True)
        self._thread.start()

    def stop(self, timeout: float = 10.0) -> None:
        """Send what can be sent within ``timeout`` seconds; the rest is counted as dropped."""
        self._stopping.set()
        self._wake.set()
        if self._thread:
            self._thread.join(timeout)
            self._thread = None
        self._drop(self._waiting())

    @property
    def pending(self) -> int:
        """Rulings (not rows) and commits that *watch* has not been told about."""
        with self._lock:
            rulings = sum(row.count for row in (*self._counting.values(), *self._ready, *self._sending))
            return rulings + len(self._commits)

    def _note(self, action: Action, verdict: Verdict, minute: int, count: int) -> None:
        place = (action.agent, verdict.guard, verdict.decision.value)
        reason = verdict.reason[:_MAX_REASON]
        kind = normalise(f"{reason} {action.operation} {action.target}" if verdict.guard == POLICY else reason)
        if not self._has_room(place, kind, minute):
            reason = kind = OTHERS
        key = (place, f"{kind}\n{verdict.revision}")
        row = self._counting.get(key)
        if row is not None and row.minute == minute:
            row.count += count
            return
        if len(self._counting) + len(self._ready) + len(self._sending) >= MAX_ROWS:
            happenings.emit(DENIALS_DROPPED, agent=action.agent, count=count, reason="too many rows wait")
            return
        if row is not None:
            self._ready.append(self._counting.pop(key))
        about = (action.operation, action.target, action.workflow, verdict.revision, verdict.decision_id)
        short = tuple(each[:_MAX_REASON] for each in about)
        self._place(key, _Row(*place, reason, action.kind.value, minute, action.trace_id, short, count))

    def _has_room(self, place: _Place, kind: str, minute: int) -> bool:
        """False when the guard has given too many other reasons already in this minute."""
        if minute != self._minute:
            self._minute, self._reasons = minute, {}
        if place not in self._reasons and len(self._reasons) >= MAX_ROWS:
            return False
        known = self._reasons.setdefault(place, set())
        if len(known) < MAX_REASONS:
            known.add(kind)
        return kind in known

    def _place(self, key: _Key, row: _Row) -> None:
        """The first of its kind leaves at once; a kind that was quiet for a whole minute is new again."""
        recent = self._known.pop(key, -MINUTE)
        self._known[key] = row.minute
        if len(self._known) > MAX_ROWS:
            del self._known[next(iter(self._known))]
        if row.minute - recent <= MINUTE:
            self._counting[key] = row
            return
        self._ready.append(row)
        self._wake.set()

    def _run(self) -> None:
        pause = _TICK_S
        while not self._stopping.is_set():
            self._wake.wait(pause)
            self._wake.clear()
            pause = _TICK_S if self._flush() else min(_MAX_PAUSE_S, pause * 2)
        self._flush(everything=True)

    def _flush(self, *, everything: bool = False) -> bool:
        """Send what is ready; False when *watch* did not take it yet."""
        self._collect(everything)
        while commits := self._commits[:_BATCH]:
            if not self._tell("commits", commits, len(commits)):
                return False
            with self._lock:
                del self._commits[: len(commits)]
        while rulings := self._sending[:_BATCH]:
            if not self._tell("denials", [row.body() for row in rulings], sum(row.count for row in rulings)):
                return False
            with self._lock:
                del self._sending[: len(rulings)]
        return True

    def _tell(self, kind: str, rows: Sequence[Mapping[str, Any]], count: int) -> bool:
        """False when *watch* is to be told again."""
        try:
            self._send(kind, {"process": self._process, "rows": rows})
        except Retryable:
            return False
        except FuseboxError as error:
            happenings.emit(DENIALS_DROPPED, count=count, reason=str(error))
        return True

    def _collect(self, everything: bool) -> None:
        minute = int(self._clock.now() // MINUTE * MINUTE)
        with self._lock:
            over = [key for key, row in self._counting.items() if everything or row.minute != minute]
            self._sending += self._ready + [self._counting.pop(key) for key in over]
            self._ready.clear()

    def _waiting(self) -> int:
        waiting = self.pending
        with self._lock:
            self._counting.clear()
            self._ready.clear()
            self._sending.clear()
            self._commits.clear()
        return waiting

    @staticmethod
    def _drop(count: int) -> None:
        if count:
            happenings.emit(DENIALS_DROPPED, count=count, reason="not delivered at exit")
