"""The loop of *keep*: spool → batch → database → cursor, for ever.

::

               records        promise fsynced                stored             cursor committed
      idle ──────────► forming ──────────────► promised ─────────────► stored ──────────────────► idle
                                                 ▲    │ engine down, disk full, …
                                                 │    ▼
                                               uncertain ── back off, then probe and complete

A killed process starts in *uncertain* when it finds a promise that the cursor has not passed. Nothing is given up:
the loop tries until the engine works again, while the spool keeps what arrives.
"""

from __future__ import annotations

import logging
import math
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from collector.keep.batch import Batches
from collector.keep.insert import Inserter
from fusebox import happenings
from fusebox.clock import Clock

_POLL_S: Final = 0.05
_FIRST_PAUSE_S: Final = 0.2
_LONGEST_PAUSE_S: Final = 15.0
_STUCK_S: Final = 30.0
_WAITS_AN_INSERT: Final = 3.0
_LONGEST_LINGER_S: Final = 0.5
_LONGEST_GROWTH_S: Final = 2.0
_INSTANT_S: Final = 1e-6
_SIZEABLE: Final = 1 << 20
"""Bytes of a batch of which an insert's fixed cost is a small part."""

DELAYED: Final = happenings.declare("keep_delayed", logging.WARNING, "a batch could not be stored yet; it is retried")


def _nothing() -> None:
    """Nothing else to do."""


class Linger:
    """How long to wait for company: an insert costs nearly the same for one record and for hundreds.

    After a quiet while, only ``shortest`` seconds. While records keep coming, so long that most of the time goes by
    between inserts, but at most half a second: what arrives is visible within one. A sizeable batch is worth an insert
    as it is, and waits no longer once nothing has come for ``shortest`` seconds; while more comes it grows for up to
    two seconds, because then speed is what counts: a span costs a third in a batch ten times as large.
    """

    def __init__(self, shortest: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._shortest, self._monotonic = shortest, monotonic
        self._due = -math.inf

    @property
    def seconds(self) -> float:
        """To wait from now on."""
        return max(self._shortest, self._due - self._monotonic())

    def steps(self, batches: Batches) -> Iterator[float]:
        """Waits that make up :attr:`seconds`, as long as there is something to wait for."""
        least, waited, size = self.seconds, 0.0, -1
        while not batches.full and (batches.size < _SIZEABLE or batches.size > size):
            left = (least if batches.size < _SIZEABLE else _LONGEST_GROWTH_S) - waited
            if left <= _INSTANT_S:
                return
            size, step = batches.size, min(left, self._shortest)
            waited += step
            yield step
            batches.look()

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Around one insert."""
        began = self._monotonic()
        yield
        ended = self._monotonic()
        self._due = ended + min((ended - began) * _WAITS_AN_INSERT, _LONGEST_LINGER_S)


@dataclass(slots=True)
class Flow:
    """How well records flow, for health and metrics. Times are wall-clock Unix seconds, 0 = never."""

    last_stored: float = 0.0
    begun: float = 0.0
    """When the batch at hand was tried first; 0 while there is none."""
    reason: str = ""


class Keeper:
    """One thread that keeps.

    Args:
        linger: real seconds to wait for company, at least, when a batch is not full.
        between: what else the thread that inserts has to do, after each batch and while there is none.
        wait: waits that many seconds, or less; by default real ones, until :meth:`stop`.
    """

    def __init__(
        self,
        batches: Batches,
        inserter: Inserter,
        clock: Clock,
        linger: float,
        between: Callable[[], None] = _nothing,
        wait: Callable[[float], object] | None = None,
    ) -> None:
        self._batches, self._inserter, self._clock = batches, inserter, clock
        self._linger, self._between = Linger(linger), between
        self._flow = Flow()
        self._pause = _FIRST_PAUSE_S
        self._stopping = threading.Event()
        self._wait = wait or self._stopping.wait
        self._thread = threading.Thread(target=self._run, name="keep", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout: float = 10.0) -> None:
        """End after the insert at hand; what is not stored yet stays in the spool."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout)

    @property
    def flow(self) -> Flow:
        """The state of the flow right now."""
        return self._flow

    def lag(self) -> int:
        """Bytes of the spool that are in no table now."""
        return self._batches.lag()

    def trouble(self) -> str:
        """Empty while records flow, else why they have not for half a minute: an insert that hangs has not failed."""
        begun = self._flow.begun
        if not begun or self._clock.wall() - begun <= _STUCK_S:
            return ""
        return self._flow.reason or "the database does not answer; an insert is under way that does not end"

    def _run(self) -> None:
        while not self._stopping.is_set():
            self.turn()

    def turn(self) -> None:
        """One turn of the loop: store a batch, or wait for one, or wait because the last attempt failed."""
        try:
            idle = not self._step()
            self._between()
        except Exception as error:  # whatever it was: the batch is still open, the loop goes on with it
            happenings.emit(DELAYED, error=str(error)[:500])
            self._failed(str(error))
            self._wait(self._pause * random.uniform(0.8, 1.2))
            self._pause = min(self._pause * 2, _LONGEST_PAUSE_S)
            return
        self._pause = _FIRST_PAUSE_S
        if idle:
            self._wait(_POLL_S)

    def _step(self) -> bool:
        """Store one batch; False when there is none."""
        if not self._batches.look():
            return False
        for seconds in self._linger.steps(self._batches):
            self._wait(seconds)
        batch = self._batches.next()
        if batch:
            self._begin()
            with self._linger.timed():
                self._inserter.write(batch)
                self._batches.done(batch)
            self._flow.last_stored, self._flow.begun, self._flow.reason = self._clock.wall(), 0.0, ""
        return batch is not None

    def _failed(self, reason: str) -> None:
        self._flow.reason = reason
        self._begin()

    def _begin(self) -> None:
        self._flow.begun = self._flow.begun or self._clock.wall()
