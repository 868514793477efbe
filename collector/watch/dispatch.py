"""Signing and sending Commands: one signature, every carrier, the Receipts that are due.

An order that is too long for one Command goes out as several (:mod:`collector.watch.portions`), in their order on every
carrier; it is confirmed where the last of them is.

The long-poll log comes first and is memory only; Redis and the broker get their copies through bounded queues of their
own, so one in trouble delays nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from collector.watch.leases import Leases, Receipts
from collector.watch.poll import CommandLog
from collector.watch.portions import portions
from fusebox.command import Command, Signer

Carrier = Callable[[bytes, Command], None]
"""Takes signed bytes (and what they say) and returns at once."""


class Dispatch:
    """Signs what *watch* says, and sends what it orders.

    Args:
        carriers: further ways to the processes, beside the long poll; then what else a Command sets going.
    """

    def __init__(
        self, signer: Signer, log: CommandLog, leases: Leases, receipts: Receipts, carriers: Sequence[Carrier] = ()
    ) -> None:
        self._signer, self._log, self._leases, self._receipts = signer, log, leases, receipts
        self._carriers = carriers

    def sign(self, payload: object) -> str:
        """Signed bytes of plain data, as text."""
        return self._signer.sign(payload).decode("ascii")

    def send(self, command: Command) -> list[str]:
        """Sign a Command and put it on every carrier; the processes from which a Receipt is due."""
        expected = [lease.process for lease in self._leases.live() if lease.runs(command.scope)]
        for portion in portions(command):
            self._carry(portion, tuple(expected))
        return expected

    def _carry(self, command: Command, expected: tuple[str, ...]) -> None:
        signed = self._signer.sign(command)
        self._receipts.expect(command, expected)
        self._log.append(signed)
        for carry in self._carriers:
            carry(signed, command)
