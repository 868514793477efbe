"""The intake that both doors share: from a principal's bytes to a durable record."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final, Protocol

from collector.receive.decode import Encoding, decode
from collector.receive.refusal import FAILED, REFUSED, Refusal, Why
from collector.receive.repeats import Repeats, hash_of, sealed
from collector.receive.stamp import stamp
from collector.spool import MAX_PAYLOAD, SpoolFailed, SpoolFull
from collector.tokens import Principal
from fusebox import happenings
from fusebox.clock import Clock
from fusebox.prices import SHIPPED, PriceBook

STORED: Final = happenings.declare("spans_stored", logging.DEBUG, "spans made durable in the spool")


@dataclass(frozen=True, slots=True)
class Answer:
    """What an accepted request is answered: how many of its spans were not taken, and why."""

    rejected: int = 0
    message: str = ""


class Spool(Protocol):
    """Where records go."""

    def append(self, payload: bytes) -> int:
        """Durable when it returns."""


class Intake:
    """Decodes, recognises repeats, stamps and stores. Thread-safe; blocks for the disk.

    Args:
        repeats: the requests of the last minutes.
        book: the prices of inference spans.
    """

    def __init__(self, spool: Spool, clock: Clock, repeats: Repeats[Answer], book: PriceBook = SHIPPED) -> None:
        self._spool = spool
        self._clock = clock
        self._repeats = repeats
        self._book = book

    def take(self, body: bytes, encoding: Encoding, principal: Principal) -> Answer:
        """Store a request; everything it brought is durable when this returns.

        Raises:
            Refusal: nothing of it was stored.
        """
        key = hash_of(principal.name, body)
        try:
            return self._repeats.once(key, lambda: self._store(body, encoding, principal, key))
        except SpoolFull as error:
            raise Refusal(Why.FULL, str(error)) from error
        except (SpoolFailed, TimeoutError) as error:
            raise Refusal(Why.UNAVAILABLE, str(error) or "the first copy of this request is still at work") from error

    def _store(self, body: bytes, encoding: Encoding, principal: Principal, key: bytes) -> Answer:
        request = decode(body, encoding)
        stamped = stamp(request, principal, self._clock.now(), self._book)
        if stamped.accepted:
            record = sealed(request.SerializeToString(), key)
            if len(record) > MAX_PAYLOAD:
                raise Refusal(Why.TOO_LARGE, "the request is too long once stamped; send smaller batches")
            self._spool.append(record)
            happenings.emit(STORED, count=stamped.accepted)
        return Answer(stamped.rejected, _WRONG_IDS if stamped.rejected else "")


_WRONG_IDS: Final = "spans without a 16-byte trace id and an 8-byte span id, both not zero, were not stored"


def refuse(error: Exception) -> Refusal:
    """Count an error on its way to a sender; a fault of ours becomes one sentence without its inside."""
    if isinstance(error, Refusal):
        happenings.emit(REFUSED, why=error.why.name.lower(), text=str(error))
        return error
    happenings.emit(FAILED, error=repr(error))
    return Refusal(Why.INTERNAL, "receive met a fault of its own; its log says which")
