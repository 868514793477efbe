"""The outbox: alerts on disk until somebody got them, each sink with a thread of its own.

At least once, and at most one duplicate for each crash: an attempt and its end are two steps. What a crash (or a lost
answer) delivers again comes under the same id. A dead receiver delays nobody else.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from collector.alerts.alert import Alert
from collector.alerts.box import DISABLED, Box, Told
from collector.alerts.folder import Folder
from collector.alerts.parcel import single
from collector.alerts.sinks import Fate, Outcome, Sink
from collector.alerts.waiting import Grouping
from fusebox import happenings
from fusebox.clock import Clock

TROUBLE_S: Final = 1.0
"""Pause after a round that an error ended."""

TROUBLED: Final = happenings.declare(
    "outbox_troubled", logging.ERROR, "a round of a sink ended in an error; it goes on"
)


class Outbox:
    """Stores alerts and keeps trying; a :class:`fusebox.lifecycle.Service`.

    Args:
        folder: where alerts wait.
        sinks: destinations, and how each groups; names are folder names.
        told: hears of every end of an alert.
    """

    def __init__(self, folder: Path, sinks: Sequence[tuple[Sink, Grouping]], clock: Clock, told: Told) -> None:
        self._workers = {
            sink.name: _Worker(Box(Folder(folder / sink.name), sink, grouping, clock, told)) for sink, grouping in sinks
        }
        self._clock = clock

    def start(self) -> None:
        for worker in self._workers.values():
            worker.start()

    def stop(self, timeout: float = 10.0) -> None:
        """End the threads; what was not delivered waits on disk."""
        for worker in self._workers.values():
            worker.ask_to_stop()
        for worker in self._workers.values():
            worker.join(timeout)

    def put(self, alert: Alert, sinks: Iterable[str] | None = None) -> None:
        """Store an alert, for every sink or some. One that waits or was given up already is not stored again."""
        for name in self._workers if sinks is None else sinks:
            self._workers[name].box.put(alert)
            self._workers[name].wake()

    def withdraw(self, id: str) -> list[str]:
        """Send an alert no more; the sinks for which it still waited."""
        return [name for name, worker in self._workers.items() if worker.box.withdraw(id)]

    def send(self, alert: Alert, sink: str) -> Outcome:
        """Deliver at once, past outbox and circuit; nothing is kept, and a disabled sink gets nothing."""
        box = self._workers[sink].box
        if box.state == DISABLED:
            return Outcome(Fate.GONE, "the sink is disabled")
        return box.sink.deliver(single(alert, self._clock.wall()))

    def probe(self, alert: Alert, sink: str) -> Outcome:
        """Deliver at once; a delivery revives a sink that was disabled."""
        worker = self._workers[sink]
        outcome = worker.box.sink.deliver(single(alert, self._clock.wall()))
        if outcome.fate is Fate.DELIVERED:
            worker.box.revive()
            worker.wake()
        return outcome

    def counts(self) -> dict[str, int]:
        """``pending``, ``delivered`` and ``failed`` (alert and sink pairs); delivered counts from this start on."""
        boxes = [worker.box for worker in self._workers.values()]
        return {
            "pending": sum(box.pending for box in boxes),
            "delivered": sum(box.delivered for box in boxes),
            "failed": sum(box.failed for box in boxes),
        }

    def states(self) -> Mapping[str, str]:
        """How each sink stands: the state of its circuit, or ``disabled``."""
        return {name: worker.box.state for name, worker in self._workers.items()}

    def ids(self) -> set[tuple[str, str]]:
        """(alert id, sink) of everything that waits or was given up."""
        return {(id, name) for name, worker in self._workers.items() for id in worker.box.alerts()}

    @property
    def sinks(self) -> tuple[str, ...]:
        """Names of the sinks."""
        return tuple(self._workers)


class _Worker:
    """The thread of one sink."""

    def __init__(self, box: Box) -> None:
        self.box = box
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"alerts-{box.sink.name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        self._wake.set()

    def ask_to_stop(self) -> None:
        self._stopping.set()
        self._wake.set()

    def join(self, timeout: float) -> None:
        if self._thread.ident:
            self._thread.join(timeout)
        self.box.sink.close()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                pause = self.box.step()
            except Exception as error:  # a disk that fails, say; a sink that ends would tell nobody anything any more
                happenings.emit(TROUBLED, sink=self.box.sink.name, error=repr(error))
                pause = TROUBLE_S
            if pause != 0.0:
                self._wake.wait(pause)
                self._wake.clear()
