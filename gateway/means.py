"""Means: what stands between a request and its upstream, whatever is asked for."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.admission import Admission
from gateway.approving import Approving
from gateway.flights import Flights, Seats
from gateway.ledger import Ledger
from gateway.quota import Quota
from gateway.screens import Screens
from gateway.upstream import Upstream


@dataclass(frozen=True, slots=True)
class Means:
    """The guards in the order in which they are asked, the ledger, and the way out."""

    seats: Seats
    flights: Flights
    admission: Admission
    approving: Approving
    screens: Screens
    quota: Quota
    ledger: Ledger
    upstream: Upstream
    max_body: int
    """Bytes of the longest request that is read."""
