"""Worker processes: started, ended, and all gone at the end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
Process = subprocess.Popen[bytes]


class Workers:
    """Runs :mod:`tests.faults.worker`.

    Args:
        folder: of the notes, and of what workers print.
        settings: Fusebox's, by name.
    """

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        self._notes, self._log = folder / "notes.jsonl", folder / "worker.log"
        fusebox = {f"FUSEBOX_{name}": value for name, value in settings.items()}
        self._environment = {**os.environ, "PYTHONPATH": str(ROOT), **fusebox}
        self._running: list[Process] = []

    def start(self) -> Process:
        """One more."""
        command = [sys.executable, "-m", "tests.faults.worker", str(self._notes)]
        with self._log.open("ab") as out:
            worker = subprocess.Popen(command, cwd=ROOT, env=self._environment, stdout=out, stderr=out)
        self._running.append(worker)
        return worker

    def end(self, worker: Process, number: signal.Signals | None, timeout: float) -> int:
        """Send it a signal, if one is given, and wait for its end; its status."""
        if number is not None:
            worker.send_signal(number)
        status = worker.wait(timeout)
        self._running.remove(worker)
        return status

    def kill(self) -> None:
        """End all that run."""
        for worker in self._running:
            worker.kill()
            worker.wait()

    def last_words(self) -> str:
        """The end of what workers printed."""
        return self._log.read_text()[-2000:]
