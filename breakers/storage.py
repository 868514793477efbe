"""``BoardStorage``: pybreaker's state machine, with the board in the place of its memory.

pybreaker decides *what it wishes* (open after ``fail_max`` failures, half-open when its time has come, close after a
good probe); the board decides *whether it happens*. A storage, and the ``CircuitBreaker`` on it, serve one handler
run: the state is frozen when the run starts, and each wish names what it was based on (the version of the row, or the
probe permit), so a run that ends after the circuit has moved changes nothing.

What pybreaker gets wrong by itself is settled here: its clock question (``opened_at``) is answered by ours; an
excused error (a guard's refusal, Ctrl-C, cancellation), which it would take for a success, counts as neither; and a
store that is away never reads as closed, because nothing is read from it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, Protocol

import pybreaker

from breakers.snapshot import Circuit
from fusebox.errors import Refused
from fusebox.records import State, new_id

_TO_PYBREAKER: Final = {
    State.CLOSED: pybreaker.STATE_CLOSED,
    State.OPEN: pybreaker.STATE_OPEN,
    State.HALF_OPEN: pybreaker.STATE_HALF_OPEN,
}


class Machine(Protocol):
    """What a run asks of the circuits."""

    def circuit(self, agent: str) -> Circuit:
        """The local snapshot."""

    def due(self, agent: str) -> bool:
        """True when a probe may be asked for."""

    def admit(self, agent: str, holder: str) -> Circuit:
        """Ask the board for the probe permit; the circuit afterwards."""

    def failed(self, agent: str, *, holder: str, version: int, error: str) -> None:
        """The wish to open."""

    def succeeded(self, agent: str, holder: str) -> None:
        """The wish to close."""

    def failures(self, agent: str) -> int:
        """Consecutive failed runs in this process."""

    def count_failure(self, agent: str) -> None:
        """One more."""

    def clear_failures(self, agent: str) -> None:
        """None any more."""


class BoardStorage(pybreaker.CircuitBreakerStorage):
    """The storage of one handler run, which began when the circuit was ``circuit``; see the module.

    Attributes:
        holder: the probe permit that this run holds, or ``""``.
        excused: True when the run ended with an error that says nothing about the agent.
    """

    def __init__(self, machine: Machine, agent: str, circuit: Circuit) -> None:
        super().__init__("board")
        self._machine = machine
        self._agent = agent
        self._error = ""
        self._successes = 0
        self.holder = ""
        self.excused = False
        self._freeze(circuit)
        if self._state == pybreaker.STATE_HALF_OPEN:
            self._admit()

    def excuse(self, error: BaseException) -> bool:
        """pybreaker's ``exclude``: refusals and what is no :class:`Exception` are nobody's failure."""
        self._error = repr(error)[:200]
        self.excused = isinstance(error, Refused) or not isinstance(error, Exception)
        return self.excused

    @property
    def state(self) -> str:
        return self._state

    @state.setter
    def state(self, wish: str) -> None:
        if self.excused:
            return
        if wish == pybreaker.STATE_HALF_OPEN:
            self._admit()
        elif wish == pybreaker.STATE_OPEN:
            self._machine.failed(self._agent, holder=self.holder, version=self._version, error=self._error)
        elif self.holder:
            self._machine.succeeded(self._agent, self.holder)

    @property
    def opened_at(self) -> datetime | None:
        """Never long enough ago for pybreaker, until our own clock says so."""
        return None if self._machine.due(self._agent) else datetime.now(UTC)

    @opened_at.setter
    def opened_at(self, datetime: datetime) -> None:
        """The board keeps that time itself."""

    @property
    def counter(self) -> int:
        return self._machine.failures(self._agent)

    def increment_counter(self) -> None:
        self._machine.count_failure(self._agent)

    def reset_counter(self) -> None:
        if not self.excused:
            self._machine.clear_failures(self._agent)

    @property
    def success_counter(self) -> int:
        return self._successes

    def increment_success_counter(self) -> None:
        self._successes += 1

    def reset_success_counter(self) -> None:
        self._successes = 0

    def _admit(self) -> None:
        holder = new_id("prb")
        circuit = self._machine.admit(self._agent, holder)
        admitted = holder in circuit.probes
        if circuit.stops and not admitted:
            raise pybreaker.CircuitBreakerError("enough probes run, or the open time is not over")
        self.holder = holder if admitted else ""
        self._freeze(circuit)

    def _freeze(self, circuit: Circuit) -> None:
        """A circuit that stops nobody (by its mode, or closed meanwhile) is closed for this run."""
        self._state = _TO_PYBREAKER[circuit.state] if circuit.stops else pybreaker.STATE_CLOSED
        self._version = circuit.version
