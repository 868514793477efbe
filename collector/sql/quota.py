"""What one reader may have of the port, so that the others have the rest.

Statements in flight (running or waiting) are counted as they come, rows and time as they end, in the minute of the
clock in which they end. A statement that had to be ended with its process costs everybody a restart; its reader waits.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from collector.readers import Reader
from collector.sql.errors import QUOTA_EXCEEDED, TOO_MANY_QUERIES, StatementRefused
from fusebox.clock import Clock

MAX_IN_FLIGHT: Final = 64
"""Statements of all readers that run or wait."""
PENALTY_S: Final = 10.0
_MINUTE_S: Final = 60.0
_AT_ONCE: Final = 3
"""Statements of one reader that run at once: one slot fewer than there are, so that another reader finds one."""


@dataclass(slots=True)
class _Account:
    minute: int = 0
    rows: int = 0
    barred_until: float = field(default=float("-inf"))


class Quotas:
    """The accounts of all readers; used from one event loop."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._flying: Counter[str] = Counter()
        self._accounts: dict[str, _Account] = {}
        self._turns: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(_AT_ONCE))

    @contextmanager
    def admit(self, reader: Reader) -> Iterator[None]:
        """Count a statement while it is here.

        Raises:
            StatementRefused: the reader has too many, read too much, or is barred; the text says for how long.
        """
        if self._flying.total() >= MAX_IN_FLIGHT:
            raise StatementRefused("too many statements are running or waiting; try again", TOO_MANY_QUERIES)
        if self._flying[reader.name] >= reader.in_flight:
            raise StatementRefused(
                f"{reader.name} has {reader.in_flight} statements running or waiting, as many as allowed",
                TOO_MANY_QUERIES,
            )
        self._check(reader)
        self._flying[reader.name] += 1
        try:
            yield
        finally:
            self._flying[reader.name] -= 1
            if not self._flying[reader.name]:
                del self._flying[reader.name]

    def turn(self, reader: Reader) -> asyncio.Semaphore:
        """What a statement holds while it runs; others of the same reader wait for it."""
        return self._turns[reader.name]

    def charge(self, reader: Reader, rows: int) -> None:
        """A statement ended that had read so many rows."""
        self._account(reader).rows += rows

    def bar(self, reader: Reader) -> None:
        """A statement had to be ended with its process."""
        self._account(reader).barred_until = self._clock.monotonic() + PENALTY_S

    def _check(self, reader: Reader) -> None:
        account = self._account(reader)
        wait = account.barred_until - self._clock.monotonic()
        if wait > 0:
            raise StatementRefused(
                f"a statement of {reader.name} had to be ended by force; the next one is taken in {wait:.0f} s",
                QUOTA_EXCEEDED,
            )
        if account.rows >= reader.rows_per_minute:
            left = _MINUTE_S - self._clock.monotonic() % _MINUTE_S
            raise StatementRefused(
                f"Quota for {reader.name} has been exceeded: {account.rows} of {reader.rows_per_minute} rows were read "
                f"in this minute; it ends in {left:.0f} s",
                QUOTA_EXCEEDED,
            )

    def _account(self, reader: Reader) -> _Account:
        minute = int(self._clock.monotonic() // _MINUTE_S)
        account = self._accounts.setdefault(reader.name, _Account(minute))
        if account.minute != minute:
            account.minute, account.rows = minute, 0
        return account
