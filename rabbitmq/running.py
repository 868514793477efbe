"""Running coroutines: one event loop a process, on a thread of its own; an agent's coroutines can be cancelled."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Final

from fusebox import happenings
from fusebox.records import Action

Ended = Callable[[BaseException | None], None]

LOOP_INTERRUPTED: Final = happenings.declare(
    "loop_interrupted", logging.ERROR, "a coroutine raised SystemExit or KeyboardInterrupt; the event loop went on"
)


class Loop:
    """An event loop on a thread, started when the first coroutine needs it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: dict[asyncio.Task[Any], Action] = {}

    def start(
        self, action: Action, coroutine: Coroutine[Any, Any, Any], context: contextvars.Context, ended: Ended
    ) -> None:
        """Run the coroutine of an action in ``context``; ``ended`` is called on the loop, with what it raised."""
        loop = self._started()
        loop.call_soon_threadsafe(self._spawn, action, coroutine, context, ended)

    def cancel(self, stopped: Callable[[Action], object]) -> None:
        """Cancel the coroutine of every action that is ``stopped``."""

        def cancel_all() -> None:
            for task, action in self._tasks.items():
                if stopped(action):
                    task.cancel()

        if self._loop is not None:
            self._loop.call_soon_threadsafe(cancel_all)

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=_keep_running, args=(self._loop,), name="fusebox-loop", daemon=True).start()
            return self._loop

    def _spawn(
        self, action: Action, coroutine: Coroutine[Any, Any, Any], context: contextvars.Context, ended: Ended
    ) -> None:
        assert self._loop is not None
        task = self._loop.create_task(coroutine, context=context)
        self._tasks[task] = action
        task.add_done_callback(lambda task: self._end(task, ended))

    def _end(self, task: asyncio.Task[Any], ended: Ended) -> None:
        del self._tasks[task]
        ended(asyncio.CancelledError() if task.cancelled() else task.exception())


def _keep_running(loop: asyncio.AbstractEventLoop) -> None:
    while True:
        try:
            loop.run_forever()
        except BaseException as error:  # asyncio lets sys.exit() in a coroutine through; the others must go on
            happenings.emit(LOOP_INTERRUPTED, error=repr(error))


LOOP: Final = Loop()
