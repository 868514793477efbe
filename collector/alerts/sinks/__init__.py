"""Where alerts go. One file each; all of them behind :class:`Sink`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from collector.alerts.parcel import Parcel


class Fate(StrEnum):
    """What became of an attempt, and how an alert ends."""

    DELIVERED = "delivered"
    RETRY = "retry"
    """The receiver is away or busy."""
    REFUSED = "refused"
    """The receiver is there and did not want this parcel; it is tried again."""
    GONE = "gone"
    """The receiver wants no more alerts, ever."""
    GIVEN_UP = "given up"
    """Its last retry failed too."""
    WITHDRAWN = "withdrawn"
    """A person acknowledged it before it was delivered."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """An attempt's fate; ``after`` is how long (seconds) the receiver asked to be left alone."""

    fate: Fate
    detail: str = ""
    after: float = 0.0


class Sink(Protocol):
    """One destination."""

    @property
    def name(self) -> str:
        """How rules, folders and figures call it."""

    def deliver(self, parcel: Parcel) -> Outcome:
        """Try once, within a bounded time; never raises."""

    def close(self) -> None:
        """Let go of connections; legal twice."""
