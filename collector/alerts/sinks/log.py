"""The log: one line of JSON for each alert, in a file that is put aside when it is full; the journal has them all."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Final

from collector.alerts.parcel import Parcel
from collector.alerts.sinks import Fate, Outcome
from fusebox.log_files import rename_full

LOG: Final = "log"


class LogSink:
    """Appends each alert to a file, durably."""

    name = LOG

    def __init__(self, path: Path) -> None:
        self._path = path

    def deliver(self, parcel: Parcel) -> Outcome:
        lines = "".join(json.dumps({"id": alert.id, **alert.json()}) + "\n" for alert in parcel.alerts)
        try:
            rename_full(self._path)
            fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            with os.fdopen(fd, "w") as file:
                file.write(lines)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            return Outcome(Fate.RETRY, str(error))
        return Outcome(Fate.DELIVERED)

    def close(self) -> None:
        return
