"""The Redis stream as a carrier: Commands come in, nothing goes out.

Nobody answers there, so a process that has no other way never gets the signed snapshot: it obeys, and stays unverified.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from fusebox import happenings
from fusebox.stream import CommandStream
from rabbitmq.receiver import CARRIER_FAILED, Receiver

_RETRY_S: Final = 0.25

StreamSource = Callable[[], CommandStream | None]


class StreamCarrier:
    """Reads Commands from Redis, once it is known which."""

    def __init__(self, source: StreamSource, receiver: Receiver) -> None:
        self._source = source
        self._receiver = receiver
        self._stream: CommandStream | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="fusebox-carrier-redis", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout: float = 1.0) -> None:
        self._stopping.set()
        if self._thread.ident:
            self._thread.join(timeout)

    def hurry(self) -> None:
        """Nothing to ask for here."""

    def _run(self) -> None:
        while not self._stopping.is_set():
            if not self._attempt():
                self._stopping.wait(_RETRY_S)
        if self._stream is not None:
            self._stream.close()

    def _attempt(self) -> bool:
        try:
            self._stream = self._stream or self._source()
            if self._stream is None:
                return False
            found = self._stream.read()
        except Exception as error:  # whatever it is: nothing may end the thread by which a kill arrives
            happenings.emit(CARRIER_FAILED, carrier="redis", error=repr(error))
            return False
        for signed in found:
            self._obey(signed, past=self._stream.past)
        return True

    def _obey(self, signed: bytes, *, past: bool) -> None:
        """One Command that cannot be obeyed takes nothing from those behind it."""
        try:
            self._receiver.command(signed, past=past)
        except Exception as error:
            happenings.emit(CARRIER_FAILED, carrier="redis", error=repr(error))
