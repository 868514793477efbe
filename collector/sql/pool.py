"""*keep*'s side of the sandbox: starts it, hands statements to its slots, ends it when one overruns.

The engine looks at its time limit between blocks only, and one call on one block can take much longer, so a limit that
holds is a limit on the process:

    absent ── keep starts, or a statement comes ──► ready ── a statement overruns, or the process dies ──► absent
                                                      └───── it has grown, and no statement runs ────────────┘

Who overruns gets ClickHouse's 159; what ran beside it, and had not outlasted its time as well, is run again in the
next process, for a read may be repeated. When the process dies by itself nobody knows whose fault it was: each is tried
once more, and who is there at a second death gets an error.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

from collector.sql.errors import ABORTED, TIMEOUT_EXCEEDED, StatementRefused
from collector.sql.process import SLOTS, Gone, Process, Slot
from collector.sql.settings import LIMITS
from collector.sql.statement import Outcome, Statement
from fusebox import happenings
from fusebox.errors import FuseboxError

_GRACE_S: Final = 1.0
HARD_LIMIT_S: Final = LIMITS["max_execution_time"] + _GRACE_S
"""After this many seconds a statement's process is ended."""
_START_S: Final = 30.0
_AGAIN_S: Final = 30.0
_DEATHS: Final = 2
_OVERRUNS: Final = 3
_CHUNK: Final = 1 << 18

STARTED: Final = happenings.declare("sql_sandbox_started", logging.INFO, "the process for statements was started")
KILLED: Final = happenings.declare(
    "sql_sandbox_killed", logging.WARNING, "a statement overran its time; the process for statements was ended"
)
RENEWED: Final = happenings.declare(
    "sql_sandbox_renewed", logging.INFO, "the process for statements had grown, and was replaced by a fresh one"
)
DOWN: Final = happenings.declare("sql_sandbox_down", logging.ERROR, "the process for statements could not be started")
DIED: Final = happenings.declare("sql_sandbox_died", logging.ERROR, "the process for statements ended by itself")
UNCONFINED: Final = happenings.declare(
    "sql_sandbox_unconfined", logging.WARNING, "no Landlock in this kernel: only the gate keeps statements from files"
)

Setup = Callable[[], dict[str, Any]]
"""What a new process is told: see :mod:`collector.sql.sandbox`. May block."""


class SandboxDown(FuseboxError):
    """No statement can run now; the text says why."""


class Running:
    """A statement that has an outcome, and its result while its slot is held."""

    def __init__(self, outcome: Outcome, reader: asyncio.StreamReader) -> None:
        self.outcome, self._reader, self._left = outcome, reader, outcome.size

    async def chunks(self) -> AsyncIterator[bytes]:
        """The result, piece by piece (nothing when it was read already).

        Raises:
            SandboxDown: the process was ended meanwhile.
        """
        while self._left:
            part = await self._reader.read(min(self._left, _CHUNK))
            if not part:
                self._left = 0
                raise SandboxDown("the statement's process was ended while it answered; ask again")
            self._left -= len(part)
            yield part


class Pool:
    """At most one process; used from one event loop.

    Args:
        setup: gives what each new process is told.
        folder: the process's own, emptied at each start.

    Attributes:
        trouble: why the process did not start the last time; empty when it did.
    """

    def __init__(self, setup: Setup, folder: Path) -> None:
        self._setup, self._folder = setup, folder
        self._process: Process | None = None
        self.trouble = ""
        self._starting = asyncio.Lock()
        self._slots = asyncio.Semaphore(SLOTS)

    async def warm(self) -> None:
        """Start the process before anybody asks; where it does not start, :attr:`trouble` says so."""
        with suppress(SandboxDown):
            await self._ready()

    async def keep(self) -> None:
        """:meth:`warm`, and again while it does not start: *keep* gets well before anybody asks. Ends by being
        cancelled."""
        await self.warm()
        while True:
            await asyncio.sleep(_AGAIN_S)
            if self.trouble:
                await self.warm()

    @asynccontextmanager
    async def run(self, statement: Statement) -> AsyncIterator[Running]:
        """Run a statement; its slot is free again when the block ends.

        Raises:
            StatementRefused: it overran its time, or its process died with it twice.
            SandboxDown: the process cannot be started.
        """
        async with self._slots:
            process, slot, outcome = await self._outcome(statement)
            running = Running(outcome, slot.reader)
            try:
                yield running
            finally:
                with suppress(SandboxDown):
                    async for _ in running.chunks():  # what nobody read; the slot's next statement starts clean
                        pass
                process.slots.append(slot)

    def stop(self) -> None:
        """End the process. Legal twice."""
        if self._process is not None:
            self._process.end()
            self._process.popen.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    async def _outcome(self, statement: Statement) -> tuple[Process, Slot, Outcome]:
        deaths = overruns = 0
        while deaths < _DEATHS and overruns < _OVERRUNS:
            process = await self._ready()
            slot, started = process.slots.pop(), time.monotonic()
            try:
                return process, slot, await _in_time(slot.ask(statement))
            except TimeoutError:
                process.end()
                happenings.emit(KILLED, statement=statement.text[:500])
                raise _overran() from None
            except Gone:
                if process.ended and time.monotonic() - started > LIMITS["max_execution_time"]:
                    raise _overran() from None  # it outlasted its time, too, and another one was looked at first
                overruns, deaths = overruns + process.ended, deaths + (not process.ended)
                if not process.ended:
                    process.end()
                    happenings.emit(DIED, status=process.popen.wait(), statement=statement.text[:500])
            except BaseException:  # nobody will read the answer that is still to come
                process.end()
                raise
        raise StatementRefused("the process that ran the statement was ended; change it, or ask again", ABORTED)

    async def _ready(self) -> Process:
        async with self._starting:
            if self._process is not None and self._process.worn():
                happenings.emit(RENEWED, pid=self._process.popen.pid)
                self._process.end()
            if self._process is None or not self._process.alive():
                self._process = await self._start()
            return self._process

    async def _start(self) -> Process:
        process: Process | None = None
        try:
            setup = await asyncio.to_thread(self._setup)
            process = await asyncio.to_thread(Process, setup, self._folder)
            confined = await asyncio.wait_for(process.connect(), _START_S)
        except Exception as error:  # whatever it was, who asks is told, and the next statement tries again
            if process is not None:
                process.end()
            happenings.emit(DOWN, error=repr(error))
            self.trouble = f"the process for statements does not start ({error!r}); see the log of keep"
            raise SandboxDown(self.trouble) from error
        except BaseException:  # keep ends while it starts
            if process is not None:
                process.end()
            raise
        self.trouble = ""
        happenings.emit(STARTED, pid=process.popen.pid, confined=confined)
        if not confined and "url" not in setup:
            happenings.emit(UNCONFINED)
        return process


async def _in_time(answer: Coroutine[Any, Any, Outcome]) -> Outcome:
    """The answer, or TimeoutError.

    The limit is waited for in two steps: a machine that slept through the first has the second to answer.
    """
    task = asyncio.ensure_future(answer)
    try:
        await asyncio.wait({task}, timeout=HARD_LIMIT_S - _GRACE_S)
        return await asyncio.wait_for(task, _GRACE_S)
    finally:
        task.cancel()


def _overran() -> StatementRefused:
    return StatementRefused(
        f"Timeout exceeded: the statement's process was ended after {HARD_LIMIT_S:g} s", TIMEOUT_EXCEEDED
    )
