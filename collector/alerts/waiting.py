"""What waits for one sink: which parcel is due, and which alerts of a storm travel together.

A first alert goes at once. Those of its group that follow within ``seconds`` wait until that time is over and travel as
one digest. A parcel that a sink may have seen is never bundled with others. Times are unscaled Unix seconds.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence, Set
from dataclasses import dataclass
from typing import Final

from collector.alerts.alert import Alert
from collector.alerts.folder import Folder
from collector.alerts.parcel import Parcel, digest, single
from fusebox import happenings
from fusebox.clock import Clock

MAX_DIGEST: Final = 60
"""Alerts in one digest: as JSON it stays near the 20 kB that Standard Webhooks recommend."""
_MAX_GROUPS: Final = 1_000

NOT_STORED: Final = happenings.declare(
    "alert_not_stored", logging.CRITICAL, "an alert could not be written to the outbox; it is only in memory"
)


@dataclass(slots=True)
class Item:
    """A parcel, and what was seen of it. ``refused``: the receiver was there and did not want it."""

    parcel: Parcel
    group: tuple[str, ...]
    due: float = 0.0
    attempted: bool = False
    refused: bool = False


@dataclass(frozen=True, slots=True)
class Grouping:
    """Alerts that agree in all of ``by`` are a group; it is told of once in ``seconds``. 0: each alert by itself."""

    seconds: float = 0.0
    by: Sequence[str] = ("type",)

    def key(self, parcel: Parcel) -> tuple[str, ...]:
        """The group of a parcel."""
        return tuple(str(getattr(parcel.alerts[0], name)) for name in self.by)


class Waiting:
    """The parcels of one folder, in memory as on disk; thread-safe."""

    def __init__(self, folder: Folder, grouping: Grouping, clock: Clock) -> None:
        self._folder, self._grouping, self._clock = folder, grouping, clock
        self._lock = threading.Lock()
        self._sent: dict[tuple[str, ...], float] = {}
        self._items = {parcel.id: self._item(parcel) for parcel in folder.load()}
        given_up = {alert.id for parcel in folder.failed() for alert in parcel.alerts}
        self._known = given_up | {alert.id for item in self._items.values() for alert in item.parcel.alerts}
        self.failed = len(given_up)
        """Alerts given up."""

    def put(self, alert: Alert, sink: str) -> None:
        """Store an alert. One that waits or was given up already is not stored again."""
        with self._lock:
            if alert.id in self._known:
                return
            parcel = single(alert, self._clock.wall())
            try:
                self._folder.put(parcel)
            except OSError as error:
                happenings.emit(NOT_STORED, alert=alert.id, sink=sink, error=str(error))
            self._items[parcel.id] = self._item(parcel)
            self._known.add(alert.id)

    def withdraw(self, id: str) -> bool:
        """Forget an alert that waits by itself; False when there is none."""
        with self._lock:
            item = self._items.pop(id, None)
            if item is not None:
                self._folder.remove(item.parcel)
                self._known.discard(id)
            return item is not None

    def choose(self) -> tuple[Item | None, float | None]:
        """What is due, bundled with its group; or the seconds until something is, None when nothing waits."""
        now = self._clock.wall()
        with self._lock:
            times = {id: self._time(item, now) for id, item in self._items.items()}
            if not times:
                return None, None
            first = min(times, key=times.__getitem__)
            if times[first] > now:
                return None, times[first] - now
            chosen = self._bundled(self._items[first], [id for id, time in times.items() if time <= now])
            chosen.attempted = True
            self._note(chosen.group, now)
            return chosen, None

    def hurry(self) -> None:
        """The receiver is there: what waited only for that is due."""
        with self._lock:
            for item in self._items.values():
                item.due = item.due if item.refused else 0.0

    def delivered(self, parcel: Parcel) -> None:
        """A parcel waits no more; its file is the caller's."""
        with self._lock:
            self._items.pop(parcel.id, None)
            self._known -= {alert.id for alert in parcel.alerts}

    def given_up(self, parcel: Parcel) -> None:
        """A parcel waits no more, and its alerts are not to be stored again; its file is the caller's."""
        with self._lock:
            self._items.pop(parcel.id, None)
            self.failed += len(parcel.alerts)

    def forget(self, ids: Set[str]) -> None:
        """Alerts that were given up are kept no longer."""
        with self._lock:
            self.failed -= len(self._known & ids)
            self._known -= ids

    def parcels(self) -> list[Parcel]:
        """All that waits."""
        with self._lock:
            return [item.parcel for item in self._items.values()]

    def known(self) -> set[str]:
        """Ids of all alerts that wait or were given up."""
        with self._lock:
            return set(self._known)

    def __len__(self) -> int:
        """Alerts that wait."""
        return sum(len(parcel.alerts) for parcel in self.parcels())

    # --- under the lock -----------------------------------------------------------------------------------------------
    def _time(self, item: Item, now: float) -> float:
        """When a parcel may go: not before its group's time is over, unless it has been on its way before."""
        sent = self._sent.get(item.group, float("-inf"))
        if item.attempted or sent > now:  # a clock that stepped back holds up nothing
            return item.due
        return max(item.due, sent + self._grouping.seconds)

    def _bundled(self, first: Item, due: list[str]) -> Item:
        if first.attempted or not self._grouping.seconds:
            return first
        group = [item for id in due if (item := self._items[id]).group == first.group and not item.attempted]
        members = [item.parcel for item in group if len(item.parcel.alerts) == 1][:MAX_DIGEST]
        if len(members) <= 1:
            return first
        bundle = digest(members, self._clock.wall())
        try:
            self._folder.bundle(bundle, members)
        except OSError:  # the disk takes no digest: one by one, then
            return first
        for member in members:
            del self._items[member.id]
        self._items[bundle.id] = item = self._item(bundle)
        return item

    def _note(self, group: tuple[str, ...], now: float) -> None:
        if len(self._sent) >= _MAX_GROUPS:
            self._sent = {key: at for key, at in self._sent.items() if now - at < self._grouping.seconds}
        self._sent[group] = now

    def _item(self, parcel: Parcel) -> Item:
        return Item(parcel, self._grouping.key(parcel))
