"""Obedience: what a process does with the signed bytes that its carriers bring.

The same Command comes over several carriers and more than once; the first valid copy is obeyed, the others are
duplicates. An order is remembered as done only once it is done, so a copy that failed (disk full) can be retried by the
next one. KILL needs no memory: the latch is a join.

A process that has just begun may be told what was ordered before. Of that only the latch is new to it: a shared board
has been moved already, and has moved on; a trip of minutes ago would open again what has closed since.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from threading import Lock
from typing import Final

from breakers.board import MODES
from breakers.circuit import Circuits
from breakers.latch import Latch
from fusebox.clock import Clock
from fusebox.command import Command, Keyring, Order, covers, names_someone
from fusebox.errors import BadCommand
from fusebox.records import State

_REMEMBERED: Final = 4096
_AGENT: Final = "agent:"


class Obedience:
    """Applies Commands to the latch and the circuits of one process.

    Args:
        keyring: whose Commands are obeyed.
        clock: its ``wall()`` is what a Command's age is measured by.
    """

    def __init__(self, keyring: Keyring, latch: Latch, circuits: Circuits, clock: Clock) -> None:
        self._keyring = keyring
        self._latch = latch
        self._circuits = circuits
        self._clock = clock
        self._done: OrderedDict[str, None] = OrderedDict()
        self._lock = Lock()
        self._orders: dict[Order, Callable[[Command], None]] = {
            Order.KILL: self._kill,
            Order.RESUME: self._resume,
            Order.TRIP: self._trip,
            Order.RESET: self._reset,
            Order.SET_MODE: self._set_mode,
        }
        self._past: dict[Order, Callable[[Command], None]] = {Order.KILL: self._kill, Order.RESUME: self._lift}

    def apply(self, signed: bytes, *, past: bool = False) -> Command | None:
        """Obey; None when this Command was obeyed before.

        Args:
            past: it was ordered before this process began, and the shared board has it.

        Raises:
            BadCommand: signature, shape, age, scope or tenant is wrong; nothing was done.
            OSError: the latch file cannot be written. A kill is in force nevertheless; a resume is not.
        """
        command = self._keyring.verify(signed, self._clock.wall())
        self._require(command)
        with self._lock:
            if command.id in self._done:
                return None
            obey = (self._past if past else self._orders).get(command.order)
            if obey:
                obey(command)
            self._done[command.id] = None
            if len(self._done) > _REMEMBERED:
                self._done.popitem(last=False)
            return command

    def _require(self, command: Command) -> None:
        if command.tenant != self._circuits.tenant:
            raise BadCommand(f"the Command is for tenant {command.tenant!r}, not {self._circuits.tenant!r}")
        wide = command.order in (Order.KILL, Order.RESUME)
        if not names_someone(command.scope) or not (wide or command.scope.startswith(_AGENT)):
            raise BadCommand(f"scope {command.scope!r} does not fit {command.order}; name one as agent:<id>")
        if command.order is Order.SET_MODE and command.mode not in MODES:
            raise BadCommand(f"mode {command.mode!r} is none of {', '.join(sorted(MODES))}")

    def _kill(self, command: Command) -> None:
        self._latch.kill(
            command.id, command.scope, reason=command.reason, operator=command.operator, time=command.issued_at
        )

    def _lift(self, command: Command) -> None:
        self._latch.lift(command.lifts)

    def _resume(self, command: Command) -> None:
        self._lift(command)
        for circuit in self._circuits.all():
            if circuit.state is State.OPEN and covers(command.scope, circuit.agent):
                self._circuits.half_open(circuit.agent, reason=command.reason, actor=_actor(command))

    def _trip(self, command: Command) -> None:
        self._circuits.trip(
            _agent(command),
            reason=command.reason,
            actor=_actor(command),
            open_s=command.open_s or None,
            finding_id=command.finding,
        )

    def _reset(self, command: Command) -> None:
        self._circuits.reset(_agent(command), reason=command.reason, actor=_actor(command))

    def _set_mode(self, command: Command) -> None:
        self._circuits.set_mode(_agent(command), command.mode, reason=command.reason, actor=_actor(command))


def _agent(command: Command) -> str:
    return command.scope.removeprefix(_AGENT)


def _actor(command: Command) -> str:
    return command.operator if command.operator.startswith("operator:") else "watch"
