"""Signing and sending Commands: one signature, every carrier, the Receipts that are due.

The long-poll log comes first and is memory only; Redis and the broker get their copies through bounded queues of their
own, so one in trouble delays nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from collector.watch.leases import Leases, Receipts
from collector.watch.poll import CommandLog
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
        signed = self._signer.sign(command)
        expected = [lease.process for lease in self._leases.live() if lease.runs(command.scope)]
        self._receipts.expect(command, tuple(expected))
        self._log.append(signed)
        for carry in self._carriers:
            carry(signed, command)
        return expected
