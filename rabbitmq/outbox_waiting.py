"""What waits in an outbox: bounded, counted, and written to its file first where it has one. Not thread-safe."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import islice, takewhile
from typing import Any, Final, NoReturn

from fusebox import happenings
from fusebox.errors import OutboxFull, Retryable
from rabbitmq.lineage import sender_of
from rabbitmq.outbox_file import OutboxFile
from rabbitmq.outbox_lines import Parcel

_NAMED: Final = 20

OUTBOX_KEPT: Final = happenings.declare(
    "outbox_kept", logging.INFO, "the broker is away; a message waits in the outbox"
)
OUTBOX_FULL: Final = happenings.declare("outbox_full", logging.ERROR, "no room in the outbox; the publish failed")
OUTBOX_EXPIRED: Final = happenings.declare(
    "outbox_expired", logging.ERROR, "a message waited in the outbox for too long and was given up"
)
OUTBOX_LOST: Final = happenings.declare(
    "outbox_lost", logging.ERROR, "a process stopped with messages in an outbox without a file"
)
OUTBOX_LEFT: Final = happenings.declare(
    "outbox_left", logging.WARNING, "a process stopped with messages in its outbox file; its next start sends them"
)
OUTBOX_REFUSED: Final = happenings.declare(
    "outbox_refused", logging.ERROR, "no queue takes a message of the outbox; it will be tried again"
)
OUTBOX_FILE_FAILED: Final = happenings.declare(
    "outbox_file_failed", logging.ERROR, "the outbox file could not note that messages were sent; a crash repeats them"
)


@dataclass(frozen=True, slots=True)
class Limits:
    """What may wait: messages, bytes of their bodies, seconds."""

    messages: int = 10_000
    bytes: int = 64 << 20
    age_s: float = 3600.0


class Waiting:
    """The parcels of one outbox, oldest first."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._parcels: dict[int, Parcel] = {}
        self._refused: set[int] = set()
        self._stalled: dict[tuple[str, str], float] = {}
        self._bytes, self._last = 0, 0
        self._file: OutboxFile | None = None

    def __len__(self) -> int:
        return len(self._parcels)

    @property
    def blocking(self) -> bool:
        """True while something waits that later messages must not overtake."""
        return len(self._parcels) > len(self._refused)

    def use(self, file: OutboxFile) -> None:
        """Write to ``file`` from now on; what it holds waits already."""
        self._file = file
        for parcel in file.parcels:
            self._enter(parcel)

    def keep(self, parcel: Parcel, cause: Retryable) -> None:
        """Let a parcel wait; its number is given here.

        Raises:
            OutboxFull: there is no room, or the file cannot be written; nothing was kept.
        """
        if len(self) + 1 > self._limits.messages or self._bytes + len(parcel.message.body) > self._limits.bytes:
            self._full(parcel, f"{len(self)} messages wait in the outbox and there is no room for another", cause)
        numbered = replace(parcel, number=self._last + 1)
        try:
            if self._file is not None:
                self._file.append(numbered)
        except OSError as error:
            self._full(parcel, f"the outbox file cannot be written: {error}", cause)
        self._enter(numbered)
        happenings.emit(OUTBOX_KEPT, **about(parcel), error=repr(cause))

    def remove(self, parcels: Iterable[Parcel]) -> None:
        """These are confirmed, or given up."""
        gone = [parcel.number for parcel in parcels if parcel.number in self._parcels]
        for number in gone:
            self._bytes -= len(self._parcels.pop(number).message.body)
        self._refused.difference_update(gone)
        if not self._parcels:
            self._stalled.clear()
        try:
            if self._file is not None and gone:
                self._file.end(gone)
        except OSError as error:
            happenings.emit(OUTBOX_FILE_FAILED, error=repr(error))

    def refuse(self, parcel: Parcel, error: BaseException) -> None:
        """No queue takes this one: the others may overtake it until :meth:`try_refused`."""
        self._refused.add(parcel.number)
        happenings.emit(OUTBOX_REFUSED, **about(parcel), error=repr(error))

    def try_refused(self) -> None:
        """Let those that were refused have another try."""
        self._refused.clear()

    def expire(self, now: float) -> None:
        """Give up what has waited too long."""
        expired = list(takewhile(lambda parcel: now - parcel.at > self._limits.age_s, self._parcels.values()))
        self.remove(expired)
        for parcel in expired:
            happenings.emit(OUTBOX_EXPIRED, **about(parcel))

    def oldest(self, count: int, may_send: Callable[[str], bool]) -> list[Parcel]:
        """Those to send next: of the ``count`` oldest that may go out, the first of each destination."""
        now = time.monotonic()
        ready = (each for each in self._parcels.values() if self._stalled.get(_lane(each), now) <= now)
        fresh = (each for each in ready if each.number not in self._refused and may_send(agent_of(each)))
        first: dict[tuple[str, str], Parcel] = {}
        for parcel in islice(fresh, count):
            first.setdefault(_lane(parcel), parcel)
        return list(first.values())

    def stall(self, parcel: Parcel, seconds: float) -> None:
        """Its destination takes nothing now: let other destinations pass for so long."""
        self._stalled[_lane(parcel)] = time.monotonic() + seconds

    def leave(self) -> None:
        """The process stops: what waits stays in the file, or is lost and counted."""
        if self._parcels:
            kind = OUTBOX_LOST if self._file is None else OUTBOX_LEFT
            first = [parcel.message.message_id for parcel in islice(self._parcels.values(), _NAMED)]
            happenings.emit(kind, count=len(self), messages=len(self), first=first)
        if self._file is not None:
            self._file.close()

    def _enter(self, parcel: Parcel) -> None:
        self._parcels[parcel.number] = parcel
        self._bytes += len(parcel.message.body)
        self._last = parcel.number

    def _full(self, parcel: Parcel, why: str, cause: Retryable) -> NoReturn:
        happenings.emit(OUTBOX_FULL, **about(parcel), reason=why)
        raise OutboxFull(f"{why}; the broker said: {cause}") from cause


def _lane(parcel: Parcel) -> tuple[str, str]:
    return parcel.exchange, parcel.key


def agent_of(parcel: Parcel) -> str:
    """The agent that published it."""
    return sender_of(parcel.message.headers)


def about(parcel: Parcel) -> dict[str, Any]:
    """What a log line says of a parcel."""
    return {"agent": agent_of(parcel), "key": parcel.key, "message_id": parcel.message.message_id}
