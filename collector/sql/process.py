"""The process for statements, as *keep* holds it: started, told what it is for, spoken to by one socket a slot, killed.

Its own side is :mod:`collector.sql.sandbox`; when it is started and ended says :mod:`collector.sql.pool`.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

from collector.sql.growth import Growth
from collector.sql.statement import HEAD, Outcome, Statement, pack

SLOTS: Final = 4
"""Statements that run at once."""
_VARIABLES: Final = frozenset({"PATH", "HOME", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH"})


class Gone(Exception):
    """The process ended while it worked."""


class Slot:
    """One thread of the process, by its socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self, statement: Statement) -> Outcome:
        """Have a statement run; its result is still to be read.

        Raises:
            Gone: the process ended.
        """
        try:
            self.writer.write(pack(statement))
            await self.writer.drain()
            return Outcome(**await self.receive())
        except (OSError, asyncio.IncompleteReadError) as error:
            raise Gone from error

    async def receive(self) -> dict[str, Any]:
        """One answer."""
        (size,) = HEAD.unpack(await self.reader.readexactly(HEAD.size))
        return dict(json.loads((await self.reader.readexactly(size)).decode("utf-8", "surrogatepass")))


class Process:
    """One process, from its start on.

    Args:
        setup: what it is told.
        folder: its own; emptied.

    Attributes:
        slots: those that no statement has.
        ended: True once it was killed here.
    """

    def __init__(self, setup: dict[str, Any], folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, mode=0o700)
        pairs = [socket.socketpair() for _ in range(SLOTS)]
        self._ends = [ours for ours, _ in pairs]
        fds = [theirs.fileno() for _, theirs in pairs]
        command = [sys.executable, "-m", "collector.sql.sandbox", *map(str, fds)]
        env = _environment(setup) | {"TMPDIR": str(folder), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        self.popen = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, pass_fds=fds, env=env, cwd=folder
        )
        for _, theirs in pairs:
            theirs.close()
        self.slots: list[Slot] = []
        self.ended = False
        assert self.popen.stdin is not None
        self.popen.stdin.write(json.dumps(setup | {"folder": str(folder)}).encode() + b"\n")
        self.popen.stdin.flush()

    async def connect(self) -> bool:
        """Wait until it is ready; True when the kernel confines it.

        Raises:
            Gone: it ended first.
        """
        self.slots = [Slot(*await asyncio.open_connection(sock=sock)) for sock in self._ends]
        try:
            confined = bool((await self.slots[0].receive())["confined"])
        except (OSError, asyncio.IncompleteReadError) as error:
            raise Gone from error
        self._growth = Growth(self.popen.pid)
        return confined

    def worn(self) -> bool:
        """True when it has grown and no statement has a slot."""
        return len(self.slots) == SLOTS and self.alive() and self._growth.worn()

    def alive(self) -> bool:
        """True while it runs, and may be asked."""
        return not self.ended and self.popen.poll() is None

    def end(self) -> None:
        """Kill it, once, and close what leads to it."""
        if self.ended:
            return
        self.ended = True
        self.popen.kill()
        assert self.popen.stdin is not None
        self.popen.stdin.close()
        for slot in self.slots:
            slot.writer.close()


def _environment(setup: dict[str, Any]) -> dict[str, str]:
    """What the process finds in its environment: no secret, where statements from outside run in it."""
    return {name: text for name, text in os.environ.items() if "url" in setup or name in _VARIABLES}
