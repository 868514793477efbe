"""Running coroutines: one event loop a process, on a thread of its own; an agent's coroutines can be cancelled."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Coroutine
from typing import Any, Final

from fusebox import happenings

Ended = Callable[[BaseException | None], None]

LOOP_INTERRUPTED: Final = happenings.declare(
    "loop_interrupted", logging.ERROR, "a coroutine raised SystemExit or KeyboardInterrupt; the event loop went on"
)


class Loop:
    """An event loop on a thread, started when the first coroutine needs it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: defaultdict[str, set[asyncio.Task[Any]]] = defaultdict(set)

    def start(
        self, agent: str, coroutine: Coroutine[Any, Any, Any], context: contextvars.Context, ended: Ended
    ) -> None:
        """Run a coroutine of ``agent`` in ``context``; ``ended`` is called on the loop, with what it raised."""
        loop = self._started()
        loop.call_soon_threadsafe(self._spawn, agent, coroutine, context, ended)

    def cancel(self, agent: str) -> None:
        """Cancel every coroutine of ``agent``."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(lambda: [task.cancel() for task in self._tasks[agent]])

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=_keep_running, args=(self._loop,), name="fusebox-loop", daemon=True).start()
            return self._loop

    def _spawn(
        self, agent: str, coroutine: Coroutine[Any, Any, Any], context: contextvars.Context, ended: Ended
    ) -> None:
        assert self._loop is not None
        task = self._loop.create_task(coroutine, context=context)
        self._tasks[agent].add(task)
        task.add_done_callback(lambda task: self._end(agent, task, ended))

    def _end(self, agent: str, task: asyncio.Task[Any], ended: Ended) -> None:
        self._tasks[agent].discard(task)
        ended(asyncio.CancelledError() if task.cancelled() else task.exception())


def _keep_running(loop: asyncio.AbstractEventLoop) -> None:
    while True:
        try:
            loop.run_forever()
        except BaseException as error:  # asyncio lets sys.exit() in a coroutine through; the others must go on
            happenings.emit(LOOP_INTERRUPTED, error=repr(error))


LOOP: Final = Loop()
