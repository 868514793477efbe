"""Live detection: spool → events → strangers, figures, panel → circuits.

One thread reads the spool some twenty times a second. Its cursor stays :data:`OVERLAP_S` seconds of event time (at
most :data:`MAX_OVERLAP` bytes) behind what it has judged, so that a restart re-reads the recent past and detectors go
on with their state instead of an empty one. Judging an event twice does no harm: what is older than the last recorded
transition of its agent's circuit is ignored, an opening that is recorded is not a new one, and a stranger is announced
once.

The same rule keeps a backlog from tripping an agent that was resumed meanwhile.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, TypeVar

from breakers.detectors.burn import Burn
from breakers.panel import Panel
from collector.otlp import facts_of
from collector.spool import Reader, Record
from collector.watch.completeness import Completeness
from collector.watch.history import History
from collector.watch.outages import Outage, Outages
from collector.watch.roll import Roll
from collector.watch.trips import Trips
from fusebox import happenings
from fusebox.clock import Clock
from fusebox.eventmap import SpanFacts, event_of, told_elsewhere
from fusebox.records import ActionKind, Event, Finding
from fusebox.registry import Registry
from governance.registry import Strangers

INTERVAL_S: Final = 0.05
OVERLAP_S: Final = 1800.0
MAX_OVERLAP: Final = 16 << 20
MAX_STRANGERS: Final = 1_000
COMMIT_S: Final = 1.0
"""How often the cursor moves at most: each move waits for the disk, and a restart reads the overlap again anyway."""
BEHIND_S: Final = 30.0
_BATCH: Final = 256
_CONTENT: Final = (ActionKind.TOOL_CALL, ActionKind.MODEL_CALL)
_BATCH_BYTES: Final = 4 << 20

T = TypeVar("T")
R = TypeVar("R")

LIVE_FAILED: Final = happenings.declare(
    "live_record_failed",
    logging.ERROR,
    "a spool record, or one span of it, could not be judged; keep has it all the same",
)
STRANGERS_FULL: Final = happenings.declare(
    "strangers_overflow",
    logging.WARNING,
    "events of more unregistered agents at a time than are judged were not judged",
)
STRANGERS_UNTOLD: Final = happenings.declare(
    "strangers_untold", logging.INFO, "one more unregistered agent is judged, and no alert says so: there were enough"
)
WARNED: Final = happenings.declare("finding_warned", logging.WARNING, "a detector warns without opening the circuit")
OBSERVED: Final = happenings.declare("finding_observed", logging.INFO, "a rule that only observes has a finding")
UNTOLD: Final = happenings.declare(
    "content_missing",
    logging.INFO,
    "spans of an agent say neither what was asked nor what came of it; repetition and cycle cannot judge it",
)
LIVE_BROKEN: Final = happenings.declare("live_broken", logging.CRITICAL, "live detection could not read the spool")


class Judge:
    """Judges one event at a time.

    Args:
        stranger: called once for each unregistered agent.
        burning: called with every warning that an agent uses more than its budget.
        outage: called with what has become an outage of a model.
        complete: knows which spans are missing.
    """

    def __init__(
        self, panel: Panel, registry: Registry, roll: Roll, trips: Trips, history: History, clock: Clock, *,
        stranger: Callable[[Event], None], burning: Callable[[Finding], None],
        outage: Callable[[Outage], None], complete: Completeness,
    ) -> None:  # fmt: skip
        self._panel, self._registry, self._roll = panel, registry, roll
        self._trips, self._history, self._clock, self._stranger = trips, history, clock, stranger
        self._burning, self._complete, self._outages = burning, complete, Outages(outage)
        self._strangers = Strangers(registry, MAX_STRANGERS)
        self._untold: set[str] = set()
        self._told = self._passed_over = 0
        self.watermark = 0.0

    def read(self, span: SpanFacts) -> Event | None:
        """Take a span in: count it, and say which event it reports that is to be judged."""
        if self._complete.look(span):
            self._mark(span.end)
        return None if told_elsewhere(span) else event_of(span)

    def judge(self, event: Event) -> None:
        """Count the event, show it to the detectors, act on what they find."""
        if event.time > self.watermark:
            self._mark(event.time)
        if not self._admitted(event):
            return
        self._roll.observe(event)
        self._outages.observe(event)
        if not event.request and event.action in _CONTENT:
            self._tell_once(event.agent)
        if event.time <= self._history.since(event.agent):
            return
        finding = self._panel.observe(event)
        if finding is None:
            return
        finding = self._complete.doubt(finding)
        if finding.action == "open":
            self._trips.found(finding)
        else:
            kind = WARNED if finding.action == "warn" else OBSERVED
            happenings.emit(kind, agent=finding.agent, detector=finding.detector, reason=finding.reason)
            if kind is WARNED:
                self._roll.warned(finding)
                if finding.detector == Burn.name:
                    self._burning(finding)

    def _mark(self, time: float) -> None:
        self.watermark = max(self.watermark, min(time, self._clock.now()))

    def _tell_once(self, agent: str) -> None:
        """A detector without data does not judge, and somebody should know."""
        if agent not in self._untold and len(self._untold) < MAX_STRANGERS:
            self._untold.add(agent)
            happenings.emit(UNTOLD, agent=agent)

    def _admitted(self, event: Event) -> bool:
        """Registered agents always; strangers up to a bound of those that spoke lately, each announced once."""
        if self._strangers.notice(event.agent, self._clock.now()):
            self._announce(event)
        if event.agent in self._registry.agents or event.agent in self._strangers:
            return True
        self._passed_over += 1
        return False

    def _announce(self, event: Event) -> None:
        """Of each to people, up to a bound since the start: where ids are made up, more alerts say nothing more."""
        if self._told >= MAX_STRANGERS:
            happenings.emit(STRANGERS_UNTOLD, agent=event.agent)
            return
        self._told += 1
        self._stranger(event)

    def tell(self) -> None:
        """Say how many events were not judged: once for a record, not for each, or made-up ids would fill the log."""
        if self._passed_over:
            happenings.emit(STRANGERS_FULL, count=self._passed_over, events=self._passed_over)
            self._passed_over = 0


class Live:
    """Reads the spool on a thread of its own; a :class:`fusebox.lifecycle.Service`."""

    def __init__(self, reader: Callable[[], Reader], judge: Judge) -> None:
        self._open = reader
        self._judge = judge
        self._reader: Reader | None = None
        self._behind: deque[tuple[float, int, int]] = deque()
        self._behind_bytes = 0
        self.position = 0
        """Number of the last spool record that was judged."""
        self._level = self._commit_due = time.monotonic()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch-live", daemon=True)

    def start(self) -> None:
        self._reader = self._open()
        self._thread.start()

    def stop(self, timeout: float = 10.0) -> None:
        self._stopping.set()
        if self._thread.ident:
            self._thread.join(timeout)
        if self._reader:
            self._reader.close()
            self._reader = None

    @property
    def running(self) -> bool:
        """False when live detection has ended although it should not."""
        return self._thread.is_alive()

    @property
    def behind(self) -> float:
        """Seconds for which there has been more to read than one round takes."""
        return time.monotonic() - self._level

    def _run(self) -> None:
        assert self._reader is not None
        while not self._stopping.is_set():
            try:
                records = self._reader.read(_BATCH, _BATCH_BYTES)
                self._judge_all(records)
                self._commit(self._reader)
                if len(records) < _BATCH and sum(len(record.payload) for record in records) < _BATCH_BYTES // 2:
                    self._level = time.monotonic()
            except Exception as error:  # whatever it was, the next round may work; blind for good is worse
                happenings.emit(LIVE_BROKEN, error=repr(error))
                records = []
            if not records:
                self._stopping.wait(INTERVAL_S)

    def _judge_all(self, records: Iterable[Record]) -> None:
        for record in records:
            try:
                self._judge_record(record)
            except Exception as error:  # a record that cannot be read must not blind watch to the next one
                happenings.emit(LIVE_FAILED, record=record.number, error=repr(error))
            self._behind.append((self._judge.watermark, record.number, len(record.payload)))
            self._behind_bytes += len(record.payload)
            self.position = record.number

    def _judge_record(self, record: Record) -> None:
        """Step by step for all spans, not span by span: what does one step stays in the processor's caches."""
        events = _each(self._judge.read, list(facts_of(record.payload)), record)
        _each(self._judge.judge, filter(None, events), record)
        self._judge.tell()

    def _commit(self, reader: Reader) -> None:
        """Let go of what no detector needs any more."""
        if time.monotonic() < self._commit_due:
            return
        done = 0
        horizon = self._judge.watermark - OVERLAP_S
        while self._behind and (self._behind[0][0] < horizon or self._behind_bytes > MAX_OVERLAP):
            _, number, size = self._behind.popleft()
            self._behind_bytes -= size
            done = number
        if done:
            reader.commit(done)
            self._commit_due = time.monotonic() + COMMIT_S


def _each(act: Callable[[T], R], items: Iterable[T], record: Record) -> list[R]:
    """What ``act`` makes of each; one span it fails on must not hide the others of its record."""
    made = []
    for item in items:
        try:
            made.append(act(item))
        except Exception as error:
            happenings.emit(LIVE_FAILED, record=record.number, error=repr(error))
    return made
