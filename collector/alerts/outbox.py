"""The outbox: alerts on disk until somebody got them.

``<folder>/<sink>/<alert id>.json`` holds ``{"id", "type", "timestamp", "data", "accepted"}`` and is one alert that one
sink has not taken. It is written atomically and fsynced before :meth:`Outbox.put` returns, removed after delivery,
and renamed to ``.failed`` when it is given up. A crash between delivery and removal delivers once more, under the same
webhook id: at least once, at most one duplicate per crash.

Each sink has a thread of its own, so a dead receiver delays nobody else. A receiver that is away pauses its whole
sink; one that refuses a single alert pauses that alert. States of a file::

    waiting ── delivered ──► (removed)
       │  ▲
       └──┘ retry, refused: 0.5 s doubling to 5 min, jittered, or as long as the receiver asked
    waiting ── 410 (from then on all, until the next start), or three days old ──► .failed
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from collector.alerts.alert import Alert
from collector.alerts.backoff import Backoff
from collector.alerts.sinks import Fate, Outcome, Sink
from fusebox import happenings
from fusebox.clock import Clock
from fusebox.rundir import sync_dir, write_atomic

MAX_AGE_S: Final = 3 * 86_400.0
TROUBLE_S: Final = 1.0
"""Pause after a round that an error ended."""
_SINK: Final = ""
"""The backoff key of a whole sink; alert ids are never empty."""

DELIVERED: Final = happenings.declare("alert_delivered", logging.INFO, "a sink took an alert")
RETRIED: Final = happenings.declare("alert_retried", logging.WARNING, "a sink did not take an alert; it is tried again")
FAILED: Final = happenings.declare("alert_failed", logging.ERROR, "an alert was given up: too old, or the sink is gone")
UNREADABLE: Final = happenings.declare("alert_unreadable", logging.ERROR, "a file of the outbox is damaged; set aside")
NOT_STORED: Final = happenings.declare(
    "alert_not_stored", logging.CRITICAL, "an alert could not be written to the outbox; it is only in memory"
)
TROUBLED: Final = happenings.declare(
    "outbox_troubled", logging.ERROR, "a round of a sink ended in an error; it goes on"
)

Told = Callable[[str, str, Outcome], None]
"""``told(alert id, sink, outcome)``, called when an alert is delivered or given up."""


class Outbox:
    """Stores alerts and keeps trying; a :class:`fusebox.lifecycle.Service`.

    Args:
        folder: where alerts wait.
        sinks: destinations; names are folder names.
        told: hears of every end of an alert.
    """

    def __init__(self, folder: Path, sinks: Sequence[Sink], clock: Clock, told: Told) -> None:
        self._boxes = [_Box(folder / sink.name, sink, clock, told) for sink in sinks]
        self._clock = clock

    def start(self) -> None:
        for box in self._boxes:
            box.start()

    def stop(self, timeout: float = 10.0) -> None:
        """End the threads; what was not delivered waits on disk."""
        for box in self._boxes:
            box.ask_to_stop()
        for box in self._boxes:
            box.join(timeout)

    def put(self, alert: Alert, sinks: Iterable[str] | None = None) -> None:
        """Store an alert, for every sink or some. One that waits or was given up already is not stored again."""
        text = json.dumps({"id": alert.id, **alert.json(), "accepted": self._clock.wall()})
        for box in self._boxes:
            if sinks is None or box.name in sinks:
                box.put(alert.id, text)

    def counts(self) -> dict[str, int]:
        """``pending``, ``delivered`` and ``failed`` (alert and sink pairs); delivered counts from this start on."""
        states = [box.counts() for box in self._boxes]
        return {key: sum(state[key] for state in states) for key in ("pending", "delivered", "failed")}

    def ids(self) -> set[tuple[str, str]]:
        """(alert id, sink) of everything that waits or was given up."""
        return {(path.stem, box.name) for box in self._boxes for path in box.files()}

    @property
    def sinks(self) -> tuple[str, ...]:
        """Names of the sinks."""
        return tuple(box.name for box in self._boxes)


class _Box:
    """The alerts of one sink."""

    def __init__(self, folder: Path, sink: Sink, clock: Clock, told: Told) -> None:
        self.name = sink.name
        self._folder, self._sink, self._clock, self._told = folder, sink, clock, told
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._unstored: dict[str, str] = {}
        self._backoff = Backoff(clock)
        self._gone: Outcome | None = None
        self._delivered = 0
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"alerts-{sink.name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def ask_to_stop(self) -> None:
        self._stopping.set()
        self._wake.set()

    def join(self, timeout: float) -> None:
        if self._thread.ident:
            self._thread.join(timeout)

    def put(self, id: str, text: str) -> None:
        path = self._path(id)
        if path.exists() or path.with_suffix(".failed").exists():
            return
        try:
            write_atomic(path, text)
        except OSError as error:
            happenings.emit(NOT_STORED, alert=id, sink=self.name, error=str(error))
            self._unstored[id] = text
        self._wake.set()

    def files(self) -> Iterable[Path]:
        return [*self._folder.glob("*.json"), *self._folder.glob("*.failed")]

    def counts(self) -> dict[str, int]:
        failed = sum(1 for _ in self._folder.glob("*.failed"))
        return {"pending": len(self._waiting()), "delivered": self._delivered, "failed": failed}

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                pause = self._round()
            except Exception as error:  # a disk that fails, say; a sink that ends would tell nobody anything any more
                happenings.emit(TROUBLED, sink=self.name, error=repr(error))
                pause = TROUBLE_S
            self._wake.wait(pause)
            self._wake.clear()

    def _round(self) -> float | None:
        """Try whatever is due, oldest first; the seconds until more is, None when nothing waits."""
        soonest: float | None = None
        for id in self._waiting():
            remaining = self._backoff.remaining(_SINK) or self._backoff.remaining(id) or self._try(id)
            if remaining > 0:
                soonest = min(remaining, soonest or remaining)
            if self._stopping.is_set():
                break
        return soonest

    def _try(self, id: str) -> float:
        """One attempt; the seconds until the next one, 0 when there is none."""
        text = self._text(id)
        alert = None if text is None else _read(text)
        if alert is None:
            self._set_aside(id)
            return 0.0
        outcome = self._gone or self._sink.deliver(alert[0])
        if outcome.fate is Fate.GONE:
            self._gone = Outcome(Fate.GONE, "the receiver wants no more alerts; restart watch to ask it again")
        if outcome.fate in (Fate.DELIVERED, Fate.GONE) or self._clock.wall() - alert[1] > MAX_AGE_S:
            self._end(id, outcome)
            return 0.0
        happenings.emit(RETRIED, alert=id, sink=self.name, detail=outcome.detail)
        key = id if outcome.fate is Fate.REFUSED else _SINK
        self._backoff.failed(key, outcome.after)
        return self._backoff.remaining(key)

    def _end(self, id: str, outcome: Outcome) -> None:
        delivered = outcome.fate is Fate.DELIVERED
        self._backoff.done(id)
        if delivered:
            self._backoff.done(_SINK)
        self._unstored.pop(id, None)
        path = self._path(id)
        if delivered:
            self._delivered += 1
            path.unlink(missing_ok=True)
        elif path.exists():
            os.replace(path, path.with_suffix(".failed"))
        sync_dir(self._folder)
        happenings.emit(DELIVERED if delivered else FAILED, alert=id, sink=self.name, detail=outcome.detail)
        self._told(id, self.name, outcome)

    def _set_aside(self, id: str) -> None:
        happenings.emit(UNREADABLE, alert=id, sink=self.name)
        path = self._path(id)
        if path.exists():
            os.replace(path, path.with_suffix(".failed"))

    def _waiting(self) -> list[str]:
        stored = sorted(self._folder.glob("*.json"), key=_age)
        return [*(path.stem for path in stored), *self._unstored]

    def _text(self, id: str) -> str | None:
        try:
            return self._unstored.get(id) or self._path(id).read_text()
        except OSError:
            return None

    def _path(self, id: str) -> Path:
        return self._folder / f"{id}.json"


def _read(text: str) -> tuple[Alert, float] | None:
    """The alert in a file, and when it was accepted; None when the file is damaged."""
    try:
        data: dict[str, Any] = json.loads(text)
        return Alert(data["id"], data["type"], data["timestamp"], data["data"]), float(data["accepted"])
    except (ValueError, KeyError, TypeError):
        return None


def _age(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
