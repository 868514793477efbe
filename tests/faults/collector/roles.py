"""Roles: the collector's processes, each forked from a server that has everything but chDB imported.

A start costs a tenth of a second instead of two, so that a thousand kills are a matter of minutes. What runs is what
``fusebox service ROLE`` runs, on the same settings.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import re
import sys
from collections.abc import Mapping
from functools import partialmethod
from importlib.metadata import entry_points
from pathlib import Path
from typing import Final

import requests

from collector.spool import Writer
from collector.watch import live
from fusebox.config import PREFIX, load_config
from fusebox.rundir import lookup
from fusebox.supervisor import SERVICES
from tests.faults.collector.failpoints import Failpoint, arm
from tests.fixtures.collector import FREE_PORTS, until

READY_S: Final = 300.0
_DEATH_S: Final = 300.0
_CONTEXT: Final = multiprocessing.get_context("forkserver")
SEGMENT_BYTES: Final = 64 << 10
_OVERLAP_S: Final = 1.0
_CONTEXT.set_forkserver_preload(["collector.receive.app", "collector.keep.app", "collector.watch.app"])


class Role:
    """One role, in one process after another.

    Args:
        data_dir: the collector's data folder.
        settings: Fusebox's, by name.
    """

    def __init__(self, name: str, data_dir: Path, settings: Mapping[str, str]) -> None:
        self.name = name
        self._data_dir = data_dir
        values = {"data_dir": str(data_dir), "tenant": "default", **FREE_PORTS, **settings}
        self._settings = {PREFIX + key.upper(): value for key, value in values.items()}
        self._fired = data_dir / f"fired-{name}"
        self._process: multiprocessing.process.BaseProcess | None = None
        self.kills = 0

    @property
    def pid(self) -> int:
        """Of the running process."""
        assert self._process is not None
        assert self._process.pid is not None
        return self._process.pid

    @property
    def url(self) -> str:
        """What it announced; empty when it is not ready."""
        info = lookup(self._data_dir, self.name)
        return info["url"] if info else ""

    def launch(self, point: Failpoint | None = None, hit: int = 1) -> None:
        """Start it, doomed to die at a failpoint or not; returns at once."""
        self._fired.unlink(missing_ok=True)
        self._process = _CONTEXT.Process(
            target=_run, args=(self.name, self._settings, self._log, self._fired, point, hit)
        )
        self._process.start()

    def start(self) -> None:
        """Start it and wait until it is ready."""
        self.launch()
        until(self._is_ready, f"{self.name} is ready: {self.last_words()}", READY_S)

    def kill(self) -> None:
        """SIGKILL, now."""
        assert self._process is not None
        self._process.kill()
        self._process.join()
        self.kills += self._process.exitcode == -9

    def await_death(self) -> None:
        """Wait until it has died at its failpoint."""
        assert self._process is not None
        self._process.join(_DEATH_S)
        assert self._process.exitcode == -9, (
            f"{self.name} passed no failpoint ({self._process.exitcode}): {self.last_words()}"
        )
        assert self._fired.exists(), f"{self.name} was killed by somebody else"
        self.kills += 1

    def stop(self) -> None:
        """SIGTERM, and wait; legal before the start and twice."""
        if self._process is not None and self._process.is_alive():
            self._process.terminate()
            self._process.join(20)
            self._process.kill()
            self._process.join()

    def counted(self, happening: str) -> int:
        """How often something happened in the running process."""
        text = requests.get(f"{self.url}/metrics", timeout=10).text
        found = re.search(rf'^fusebox_{happening}_total (\d+)|kind="{happening}"\}} (\d+)', text, re.MULTILINE)
        assert found, f"{self.name} does not count {happening}"
        return int(found[1] or found[2])

    def measured(self, gauge: str) -> float:
        """What one of its gauges shows."""
        text = requests.get(f"{self.url}/metrics", timeout=10).text
        found = re.search(rf"^fusebox_{gauge} (\S+)", text, re.MULTILINE)
        assert found, f"{self.name} does not show {gauge}"
        return float(found[1])

    def last_words(self) -> str:
        """The end of what it printed."""
        return self._log.read_text(errors="replace")[-2000:] if self._log.exists() else ""

    @property
    def _log(self) -> Path:
        return self._data_dir / f"{self.name}.log"

    def _is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.is_alive(), f"{self.name} ended by itself: {self.last_words()}"
        info = lookup(self._data_dir, self.name)
        return info is not None and info["pid"] == self.pid


def _run(name: str, settings: Mapping[str, str], log: Path, fired: Path, point: Failpoint | None, hit: int) -> None:
    """The child process."""
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.environ.update(settings)
    random.seed()
    Writer.__init__ = partialmethod(Writer.__init__, segment_bytes=SEGMENT_BYTES)  # segments come and go all the time
    live.OVERLAP_S = _OVERLAP_S
    if point:
        arm(point, hit, fired)
    (service,) = entry_points(group=SERVICES, name=name)
    service.load()(load_config(None))
    sys.exit(0)
