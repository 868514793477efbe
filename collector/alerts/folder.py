"""The parcels of one sink, on disk.

``<id>.json`` is a parcel that waits (format: :mod:`collector.alerts.parcel`), ``<id>.failed`` one that was given up,
``disabled`` says why the sink gets nothing any more. States of a parcel::

    put ──► waiting ── delivered ──► (removed)
             │   └── 410, or its last retry failed ──► .failed ── a thousand newer ones ──► (removed)
             └── bundled with others ──► part of a waiting digest

Invariants
    * :meth:`Folder.put` returns after the file is on disk (written, fsynced, renamed, the folder fsynced).
    * A bundle is on disk before the files of its members go. A crash in between leaves both; :meth:`Folder.load` then
      removes the members. So an alert is in one parcel at least, always, and in one only once the folder is loaded.
    * A file never changes: what a sink may have seen under an id is the same at every retry under that id.
    * A damaged file is set aside, loudly, and holds up no other.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from collector.alerts.alert import Alert
from collector.alerts.parcel import Parcel, load
from fusebox import happenings
from fusebox.rundir import sync_dir, write_atomic
from fusebox.secrets_file import private_folder

_MAX_FAILED: Final = 1_000
"""Parcels that were given up and are kept for people; four fifths of it stay when there are more."""

UNREADABLE: Final = happenings.declare("alert_unreadable", logging.ERROR, "a file of the outbox is damaged; set aside")
FORGOTTEN: Final = happenings.declare(
    "alert_forgotten", logging.WARNING, "the file of an alert that was given up long ago made room for newer ones"
)


class Folder:
    """One folder; for one process. The caller sees to it that one thread at a time changes a parcel."""

    def __init__(self, path: Path) -> None:
        self._path = path
        private_folder(path)

    def load(self) -> list[Parcel]:
        """Everything that waits, oldest first."""
        parcels = sorted(self._read(), key=lambda parcel: parcel.accepted)
        bundled = {alert.id for parcel in parcels if len(parcel.alerts) > 1 for alert in parcel.alerts}
        for parcel in parcels:
            if parcel.id in bundled:
                self.remove(parcel)
        return [parcel for parcel in parcels if parcel.id not in bundled]

    def put(self, parcel: Parcel) -> None:
        """Store a parcel.

        Raises:
            OSError: it is not on disk.
        """
        write_atomic(self._file(parcel), parcel.dump())

    def bundle(self, digest: Parcel, members: list[Parcel]) -> None:
        """Put one parcel in the place of several.

        Raises:
            OSError: the digest is not on disk, and its members still are.
        """
        self.put(digest)
        for member in members:
            self.remove(member)

    def remove(self, parcel: Parcel) -> None:
        """Forget a parcel; legal twice."""
        self._file(parcel).unlink(missing_ok=True)

    def give_up(self, parcel: Parcel) -> None:
        """Keep a parcel for people; it waits no more."""
        self._set_aside(self._file(parcel))

    def make_room(self) -> set[str]:
        """Remove the oldest of what was given up, where that is too much; the ids of the alerts in it."""
        files = list(self._path.glob("*.failed"))
        if len(files) <= _MAX_FAILED:
            return set()
        oldest = sorted(files, key=lambda path: path.stat().st_mtime)[: -_MAX_FAILED * 4 // 5]
        return {alert.id for path in oldest for alert in _forget(path)}

    def sync(self) -> None:
        """Make removals durable."""
        sync_dir(self._path)

    def failed(self) -> list[Parcel]:
        """Everything that was given up."""
        found = (_load(path) for path in self._path.glob("*.failed"))
        return [parcel for parcel in found if parcel is not None]

    @property
    def disabled(self) -> str:
        """Why nothing is sent to the sink any more; empty while something is."""
        try:
            return (self._path / "disabled").read_text()
        except FileNotFoundError:
            return ""

    @disabled.setter
    def disabled(self, why: str) -> None:
        if why:
            write_atomic(self._path / "disabled", why)
        else:
            (self._path / "disabled").unlink(missing_ok=True)

    def _read(self) -> Iterator[Parcel]:
        for path in self._path.glob("*.json"):
            parcel = _load(path)
            if parcel is not None and path == self._file(parcel):
                yield parcel
            else:
                happenings.emit(UNREADABLE, file=str(path))
                self._set_aside(path)

    def _set_aside(self, path: Path) -> None:
        if path.exists():
            os.replace(path, path.with_suffix(".failed"))

    def _file(self, parcel: Parcel) -> Path:
        return self._path / f"{parcel.id}.json"


def _load(path: Path) -> Parcel | None:
    return load(path.read_text(errors="replace"))


def _forget(path: Path) -> tuple[Alert, ...]:
    """Remove a file that was given up; the alerts in it, where it can be read."""
    parcel = _load(path)
    path.unlink()
    happenings.emit(FORGOTTEN, file=str(path))
    return parcel.alerts if parcel else ()
