"""A circuit as a person would explain it, in plain numbers: what the board must agree with while nothing is lost.

Nothing of the implementation is used here. ``openings`` are ids that the tests give to what they saw open.
"""

from __future__ import annotations

from dataclasses import dataclass, field

OPEN_S, GROWTH, MAX_S, LEASE_S = 60.0, 2.0, 600.0, 30.0


@dataclass
class Model:
    """One circuit that admits ``probes`` runs when it is half-open."""

    probes: int
    state: str = "closed"
    mode: str = "normal"
    since: float = 0.0
    open_for: float = 0.0
    until: float = 0.0
    trips: int = 0
    tripped_at: float = -1e12
    leases: dict[str, float] = field(default_factory=dict)
    passed: int = 0

    def trip(self, now: float, open_s: float = 0.0, holder: str = "") -> None:
        """Open it; for ``holder`` only if its permit counts."""
        if self.mode != "normal" or (holder and holder not in self.leases):
            return
        if self.state != "open":
            self._open(now, open_s)
        elif open_s and now + open_s > self.until:
            self.open_for, self.until = open_s, now + open_s

    def _open(self, now: float, open_s: float) -> None:
        forgiven = max(0, (now - self.tripped_at) // MAX_S)
        self.trips = int(max(0, self.trips - forgiven)) + 1
        self.open_for = open_s or min(MAX_S, OPEN_S * GROWTH ** (self.trips - 1))
        self.tripped_at, self.until = now, now + self.open_for
        self._enter("open", now)

    def half_open(self, now: float) -> None:
        """A person lets probes through."""
        if self.state == "open":
            self._enter("half_open", now)

    def reset(self, now: float) -> None:
        """A person closes it."""
        if self.state != "closed":
            self.trips = 0
            self._enter("closed", now)

    def ask(self, now: float, holder: str) -> bool:
        """A run asks for a permit; True when it gets one. Where the mode is special nobody needs one."""
        if self.mode != "normal":
            return False
        if self.state == "open" and now >= self.until:
            self._enter("half_open", now)
        elif self.state == "open" and self.since > now:  # opened by a clock that ran ahead
            self.since, self.until = now, now + self.open_for
        if self.state != "half_open":
            return False
        self.leases = {h: min(end, now + LEASE_S) for h, end in self.leases.items()}
        if len(self.living(now)) + self.passed >= self.probes:
            return False
        self.leases = {h: end for h, end in self.leases.items() if end > now} | {holder: now + LEASE_S}
        return True

    def renew(self, now: float, holder: str) -> None:
        """The holder's process lives."""
        if holder in self.leases:
            self.leases[holder] = now + LEASE_S

    def give_back(self, holder: str) -> None:
        """A run that proved nothing."""
        self.leases.pop(holder, None)

    def succeed(self, now: float, holder: str) -> None:
        """A probe's good end."""
        if self.leases.pop(holder, None) is None:
            return
        self.passed += 1
        if self.passed >= self.probes:
            self._enter("closed", now)

    def living(self, now: float) -> list[str]:
        """Who holds a permit that has not expired."""
        return [holder for holder, end in self.leases.items() if end > now]

    def _enter(self, state: str, now: float) -> None:
        self.state, self.since, self.leases, self.passed = state, now, {}, 0
