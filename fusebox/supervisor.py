"""Runs services as child processes: starts them in order, restarts one that dies, stops them in reverse.

What they print goes to ``<data_dir>/<name>.log``, which is put aside when it is full (:mod:`fusebox.log_files`).

A service is an entry point of the group ``fusebox.services`` that names a function ``main(config) -> None`` which
blocks until SIGTERM (see :func:`fusebox.lifecycle.serve`) and announces itself in the data folder when it is ready.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

from fusebox import happenings
from fusebox.config import Config
from fusebox.errors import FuseboxError
from fusebox.lifecycle import PARENT_ENV
from fusebox.log_files import copy_full
from fusebox.rundir import lookup

SERVICES: Final = "fusebox.services"
_READY_S: Final = 60.0
_POLL_S: Final = 0.05
_RESTART_S: Final = 0.5
_YOUNG_S: Final = 10.0
_MAX_PAUSE_S: Final = 30.0
_LOGS_EVERY_S: Final = 5.0

RESTARTED: Final = happenings.declare("service_restarted", logging.ERROR, "a service died and was started again")
UNSTARTED: Final = happenings.declare("service_unstarted", logging.ERROR, "a service cannot be started; tried again")


class ServiceFailed(FuseboxError):
    """A service ended before it was ready; the text carries what it printed."""


@dataclass(slots=True)
class _Child:
    name: str
    process: subprocess.Popen[bytes]
    started: float = field(default_factory=time.monotonic)
    pause: float = 0.0
    """Seconds that a successor waits, counted from this one's start; doubles while they die young."""

    def put_off(self) -> None:
        """No successor could be started: try again later, and ever more rarely."""
        self.started, self.pause = time.monotonic(), min(_MAX_PAUSE_S, max(_RESTART_S, self.pause * 2))

    def due(self) -> bool:
        return time.monotonic() >= self.started + self.pause

    def crashed_early(self) -> bool:
        return time.monotonic() < self.started + max(_YOUNG_S, self.pause * 2)


class Supervisor:
    """Several services of Fusebox as child processes.

    Args:
        config: what the children will read (they get it through the environment and ``config_file``).
        services: names of entry points, sinks first.
        environment: variables for the children, beside this process's own.
    """

    def __init__(self, config: Config, services: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        self._config = config
        self._names = tuple(services)
        self._environment = {**os.environ, **(environment or {}), PARENT_ENV: str(os.getpid())}
        self._children: list[_Child] = []
        self._stopping = threading.Event()
        self._watcher: threading.Thread | None = None

    def start(self) -> None:
        """Start every service and wait until each is ready.

        Raises:
            ServiceFailed: one of them ended first; the others are stopped.
        """
        self._config.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            for name in self._names:
                self._children.append(self._spawn(name))
            for child in self._children:
                self._await_ready(child)
        except BaseException:
            self.stop()
            raise
        self._watcher = threading.Thread(target=self._watch, name="fusebox-supervisor", daemon=True)
        self._watcher.start()

    def stop(self, timeout: float = 10.0) -> None:
        self._stopping.set()
        if self._watcher:
            self._watcher.join(timeout)
        deadline = time.monotonic() + timeout
        for child in reversed(self._children):
            _end(child.process, max(0.1, deadline - time.monotonic()))
        self._children.clear()

    def pid(self, name: str) -> int:
        """Process id of a running service."""
        return next(c.process.pid for c in self._children if c.name == name)

    def _spawn(self, name: str) -> _Child:
        with _log(self._log(name)) as log:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "fusebox", "service", name],  # -P: the current folder shadows nothing
                env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                process_group=0,  # Ctrl-C is for us; we stop them in order
            )  # fmt: skip
        return _Child(name, process)

    def _await_ready(self, child: _Child) -> None:
        deadline = time.monotonic() + _READY_S
        while time.monotonic() < deadline:
            info = lookup(self._config.data_dir, child.name)
            if info and info["pid"] == child.process.pid:
                return
            if child.process.poll() is not None:
                raise ServiceFailed(f"{child.name} did not start: {self._last_words(child.name)}")
            time.sleep(_POLL_S)
        raise ServiceFailed(f"{child.name} is not ready after {_READY_S:.0f} s: {self._last_words(child.name)}")

    def _last_words(self, name: str) -> str:
        lines = self._log(name).read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it printed nothing"

    def _log(self, name: str) -> Path:
        return self._config.data_dir / f"{name}.log"

    def _watch(self) -> None:
        logs_due = time.monotonic()
        while not self._stopping.wait(_RESTART_S):
            for index, child in enumerate(self._children):
                if child.process.poll() is not None and not self._stopping.is_set() and child.due():
                    self._restart(index, child)
            if time.monotonic() >= logs_due:
                logs_due = time.monotonic() + _LOGS_EVERY_S
                for name in self._names:
                    copy_full(self._log(name))

    def _restart(self, index: int, child: _Child) -> None:
        try:
            self._children[index] = self._successor(child)
        except OSError as error:  # no room, no memory, no more processes: it may pass, and the others need us
            happenings.emit(UNSTARTED, service=child.name, error=str(error))
            child.put_off()
        else:
            happenings.emit(RESTARTED, service=child.name, status=child.process.returncode)

    def _successor(self, child: _Child) -> _Child:
        crashed = child.crashed_early()
        successor = self._spawn(child.name)
        successor.pause = min(_MAX_PAUSE_S, max(_RESTART_S, child.pause * 2)) if crashed else 0.0
        return successor


def _end(process: subprocess.Popen[bytes], timeout: float) -> None:
    process.terminate()
    try:
        process.wait(timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _log(path: Path) -> IO[bytes]:
    """Opened to write at its end; it tells of people and systems, so nobody else reads it."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab")
