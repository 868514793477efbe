"""The circuit of one upstream: pybreaker counts and decides, around instant notes and never around a call.

``CircuitBreaker.call()`` holds its lock while it runs, so nothing slow runs in it: a call asks :meth:`admit` first and
says afterwards how it went. Two of pybreaker's habits are settled here: its clock is the wall's, which can be set (ours
is monotonic), and half-open lets everybody through (ours lets one probe).

::

    closed ── fail_max faults in a row ──► open ── open_s ──► half_open: one probe ── good ──► closed
                                            ▲                        │
                                            └───────── fault ────────┘        left undecided: the next one probes

A fault is a connection that fails, a deadline that passes, a 5xx. A 429 is not: a busy upstream is no broken one.
"""

from __future__ import annotations

import contextlib
import logging
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Final

import pybreaker

from fusebox import happenings
from fusebox.clock import Clock
from gateway.denied import Denied
from gateway.settings import CircuitSection

OPENED: Final = happenings.declare(
    "upstream_opened", logging.ERROR, "an upstream failed so often in a row that it is left alone for a while"
)


class Fault(Exception):
    """What an upstream did wrong."""


class Circuit:
    """One upstream's.

    Args:
        name: for people: ``provider/model``.
    """

    def __init__(self, name: str, settings: CircuitSection, clock: Clock) -> None:
        self.name, self._clock, self._open_s = name, clock, settings.open_s
        self._storage = _Storage(clock, settings.open_s)
        self._breaker = pybreaker.CircuitBreaker(
            fail_max=settings.fail_max, state_storage=self._storage, throw_new_error_on_trip=False, name=name
        )
        self._probing = False

    @property
    def state(self) -> str:
        """pybreaker's word."""
        return self._storage.state

    def takes(self) -> bool:
        """True when a call may be made now."""
        return self._storage.state == pybreaker.STATE_CLOSED or (self._storage.due() and not self._probing)

    def admit(self) -> bool:
        """May a call be made? True when it is the probe, which must end with :meth:`good`, :meth:`bad` or
        :meth:`undecided`.

        Raises:
            Denied: 503, not now.
        """
        if self._storage.state == pybreaker.STATE_CLOSED:
            return False
        if refusal := self.refusal():
            raise refusal
        self._probing = True
        return True

    def refusal(self) -> Denied | None:
        """What a call would be told now; None when it may be made."""
        if self.takes():
            return None
        return Denied(
            HTTPStatus.SERVICE_UNAVAILABLE, "upstream_circuit_open",
            f"{self.name} has failed too often and is left alone; try again later",
            retry_after=max(1.0, self._storage.left()),
        )  # fmt: skip

    def good(self, *, probe: bool) -> None:
        """A call went well."""
        self._ended(probe)
        if self._storage.state == pybreaker.STATE_CLOSED and not self._storage.counter:
            return  # nothing to forget
        with contextlib.suppress(pybreaker.CircuitBreakerError):  # opened by others meanwhile: that stands
            self._breaker.call(_nothing)

    def bad(self, *, probe: bool) -> None:
        """A call found the upstream at fault."""
        self._ended(probe)
        before = self._storage.state
        with contextlib.suppress(Fault, pybreaker.CircuitBreakerError):
            self._breaker.call(_fault)
        if before == pybreaker.STATE_CLOSED and self._storage.state == pybreaker.STATE_OPEN:
            happenings.emit(OPENED, upstream=self.name, seconds=self._open_s)

    def undecided(self, *, probe: bool) -> None:
        """A call ended without a word on the upstream: its client left, or it asked for nonsense."""
        self._ended(probe)

    def _ended(self, probe: bool) -> None:
        if probe:
            self._probing = False


class _Storage(pybreaker.CircuitMemoryStorage):
    """pybreaker's memory, on our clock."""

    def __init__(self, clock: Clock, open_s: float) -> None:
        super().__init__(pybreaker.STATE_CLOSED)
        self._clock, self._open_s, self._until = clock, open_s, 0.0

    def left(self) -> float:
        """Seconds until a probe is due."""
        return max(0.0, self._until - self._clock.monotonic())

    def due(self) -> bool:
        """True when the open time is over."""
        return self.left() == 0.0

    @property
    def opened_at(self) -> datetime | None:
        """Never long enough ago for pybreaker, until our own clock says so."""
        return None if self.due() else datetime.now(UTC)

    @opened_at.setter
    def opened_at(self, datetime: datetime) -> None:  # noqa: ARG002 - the wall's time is not used
        self._until = self._clock.monotonic() + self._open_s


def _nothing() -> None:
    return None


def _fault() -> None:
    raise Fault
