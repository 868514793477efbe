"""Lifecycle: ``start`` / ``stop`` are every service's verbs.

The contract: ``start`` returns when the service does its work, or raises and leaves nothing running. ``stop`` is
legal before ``start`` and twice, flushes within its timeout, and nothing of the service runs after it returned. A
:class:`Stack` starts from the far end (sinks before sources) and stops from the near end, so nothing is lost between.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Iterable
from typing import Final, Protocol

from fusebox import happenings

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
        while self._running:
            service = self._running.pop()
            try:
                service.stop(timeout)
            except Exception as error:  # the others must still be stopped
                happenings.emit(STOP_FAILED, service=type(service).__name__, error=repr(error))


def serve(service: Service, timeout: float = 10.0) -> None:
    """Start, wait for SIGTERM or SIGINT (or the death of a supervising parent), stop."""
    done = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: done.set())
    parent = os.getppid()
    service.start()
    try:
        while not done.wait(0.5):
            if os.getppid() != parent:
                break
    finally:
        service.stop(timeout)
