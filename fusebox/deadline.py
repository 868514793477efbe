"""An end for conversations that trickle."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def deadline(sock: Callable[[], socket.socket | None], seconds: float) -> Iterator[None]:
    """End what is said over ``sock()`` after so long: socket timeouts alone count from the last byte."""
    timer = threading.Timer(seconds, lambda: _cut(sock()))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _cut(sock: socket.socket | None) -> None:
    try:
        if sock is not None:
            sock.shutdown(socket.SHUT_RDWR)
    except OSError:  # closed already
        return
