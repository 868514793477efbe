"""The intake that both doors share: from a principal's bytes to a durable record."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass
from typing import Final, Protocol

from collector.receive.decode import Encoding, decode
from collector.receive.inflate import inflate
from collector.receive.met import Met
from collector.receive.refusal import FAILED, REFUSED, Refusal, Why
from collector.receive.repeats import Repeats, hash_of, sealed
from collector.receive.signals import Signal
from collector.spool import MAX_PAYLOAD, SpoolFailed, SpoolFull
from collector.tokens import Principal
from fusebox import happenings
from fusebox.clock import Clock
from fusebox.prices import SHIPPED, PriceBook


@dataclass(frozen=True, slots=True)
class Answer:
    """What an accepted request is answered: how many of its spans or log records were not taken, and why."""

    rejected: int = 0
    message: str = ""


ACCEPTED: Final = Answer()
"""Nearly every answer, and many are remembered: one is enough."""


class Spool(Protocol):
    """Where records go."""

    def append(self, payload: bytes) -> int:
        """Durable when it returns."""


class Intake:
    """Inflates, decodes, recognises repeats, stamps and stores. Thread-safe; blocks for the disk.

    Large requests are handled one at a time: many at once would need many times the memory and, in one interpreter,
    not a moment less.

    Args:
        repeats: the requests of the last minutes.
        book: the prices of inference spans.
        met: the spans of the last minutes.
    """

    def __init__(
        self, spool: Spool, clock: Clock, repeats: Repeats[Answer], book: PriceBook = SHIPPED, met: Met | None = None
    ) -> None:
        self._spool = spool
        self._clock = clock
        self._repeats = repeats
        self._large = threading.Lock()
        self._book, self._met = book, met or Met()

    def take(
        self, sent: bytes, encoding: Encoding, principal: Principal, signal: Signal, content_encoding: str = ""
    ) -> Answer:
        """Store a request; everything it brought is durable when this returns.

        Raises:
            Refusal: nothing of it was stored.
        """
        with contextlib.ExitStack() as alone:
            body = inflate(sent, content_encoding, lambda: alone.enter_context(self._large))
            return self._once(body, encoding, principal, signal)

    def _once(self, body: bytes, encoding: Encoding, principal: Principal, signal: Signal) -> Answer:
        key = hash_of(principal.name, body, signal.seed)
        try:
            return self._repeats.once(key, lambda: self._store(body, encoding, principal, signal, key))
        except SpoolFull as error:
            raise Refusal(Why.FULL, str(error)) from error
        except (SpoolFailed, TimeoutError) as error:
            raise Refusal(Why.UNAVAILABLE, str(error) or "the first copy of this request is still at work") from error

    def _store(self, body: bytes, encoding: Encoding, principal: Principal, signal: Signal, key: bytes) -> Answer:
        request = decode(body, encoding, signal)
        new = self._met.sift(request, principal.name) if signal.identified else ()
        stamped = signal.stamp(request, principal, self._clock.now(), self._book)
        if stamped.accepted:
            record = sealed(signal.payload(request, key), key)
            if len(record) > MAX_PAYLOAD:
                raise Refusal(Why.TOO_LARGE, "the request is too long once stamped; send smaller batches")
            self._spool.append(record)
            self._met.remember(new)
            happenings.emit(signal.stored, count=stamped.accepted)
        return Answer(stamped.rejected, stamped.message) if stamped.rejected else ACCEPTED


def refuse(error: Exception) -> Refusal:
    """Count an error on its way to a sender; a fault of ours becomes one sentence without its inside."""
    if isinstance(error, Refusal):
        happenings.emit(REFUSED, why=error.why.name.lower(), text=str(error))
        return error
    happenings.emit(FAILED, error=repr(error))
    return Refusal(Why.INTERNAL, "receive met a fault of its own; its log says which")
