"""Lifecycle: ``start`` / ``stop`` are every service's verbs.

The contract: ``start`` returns when the service does its work, or raises and leaves nothing running. ``stop`` is
legal before ``start`` and twice, flushes within its timeout, and nothing of the service runs after it returned. A
:class:`Stack` starts from the far end (sinks before sources) and stops from the near end, so nothing is lost between.
"""

from __future__ import annotations

import gc
import logging
import os
import select
import signal
import time
from collections.abc import Iterable
from typing import Final, Protocol

from fusebox import happenings

PARENT_ENV: Final = "_FUSEBOX_SUPERVISOR"
"""The supervisor's process id, for its children: it may die while they still import, before any of them looks."""
_PARENT_CHECK_S: Final = 0.5
_YOUNG_OBJECTS: Final = 50_000
"""Net new objects after which Python looks for cycles among them."""

STOP_FAILED: Final = happenings.declare("stop_failed", logging.ERROR, "a service raised while stopping")


class Service(Protocol):
    """Anything that runs."""

    def start(self) -> None:
        """Begin; return when ready."""

    def stop(self, timeout: float = 10.0) -> None:
        """End within ``timeout`` seconds; legal before start and twice."""


class Stack:
    """Several services as one, started in the given order and stopped in the reverse."""

    def __init__(self, services: Iterable[Service]) -> None:
        self._services = list(services)
        self._running: list[Service] = []

    def start(self) -> None:
        try:
            for service in self._services:
                service.start()
                self._running.append(service)
        except BaseException:
            self.stop()
            raise

    def stop(self, timeout: float = 10.0) -> None:
        deadline = time.monotonic() + timeout
        while self._running:
            service = self._running.pop()
            try:
                service.stop(max(0.0, deadline - time.monotonic()))
            except Exception as error:  # the others must still be stopped
                happenings.emit(STOP_FAILED, service=type(service).__name__, error=repr(error))


def serve(service: Service, timeout: float = 10.0, *, supervised: bool = True) -> None:
    """Start, wait for SIGTERM or SIGINT, stop; when ``supervised``, the death of the parent process ends it too."""
    # A pipe, because threading.Event.set in a handler deadlocks when the signal interrupts Event.wait in its lock.
    asked, tell = os.pipe()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os.write(tell, b"."))
    parent = int(os.environ.pop(PARENT_ENV, os.getppid()))
    service.start()
    _settle_down()
    try:
        while not select.select([asked], [], [], _PARENT_CHECK_S)[0]:
            if supervised and os.getppid() != parent:
                break
    finally:
        service.stop(timeout)


def _settle_down() -> None:
    """What a service has loaded and built it keeps; what it makes from here on dies by reference count.

    The collector of cycles would walk all of it again and again, for a third of the time that judging an event takes.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS)
