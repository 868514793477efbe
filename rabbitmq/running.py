"""Running handlers: ``def`` on the worker's own thread, ``async def`` on one event loop a process, cancellable."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from collections import defaultdict
from collections.abc import Coroutine
from concurrent.futures import CancelledError, Future
from typing import Any, Final

from fusebox import guard, happenings
from fusebox.errors import AgentKilled
from fusebox.records import Action, ActionKind
from rabbitmq.context import Context
from rabbitmq.handlers import Handler

LOOP_INTERRUPTED: Final = happenings.declare(
    "loop_interrupted", logging.ERROR, "a coroutine raised SystemExit or KeyboardInterrupt; the event loop went on"
)


class Loop:
    """An event loop on a thread, started when the first coroutine needs it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._tasks: defaultdict[str, set[asyncio.Task[Any]]] = defaultdict(set)

    def run(self, agent: str, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Run a coroutine of ``agent`` to its end, in a copy of the caller's context (span, probe permit)."""
        loop, done = self._started(), Future[Any]()
        context = contextvars.copy_context()
        loop.call_soon_threadsafe(self._spawn, agent, coroutine, context, done, context=context)
        done.result()

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
        self, agent: str, coroutine: Coroutine[Any, Any, Any], context: contextvars.Context, done: Future[Any]
    ) -> None:
        assert self._loop is not None
        task = self._loop.create_task(coroutine, context=context)
        self._tasks[agent].add(task)
        task.add_done_callback(lambda ended: self._ended(agent, ended, done))

    def _ended(self, agent: str, task: asyncio.Task[Any], done: Future[Any]) -> None:
        self._tasks[agent].discard(task)
        if task.cancelled():
            done.set_exception(CancelledError())
        elif (error := task.exception()) is not None:
            done.set_exception(error)
        else:
            done.set_result(None)


def _keep_running(loop: asyncio.AbstractEventLoop) -> None:
    while True:
        try:
            loop.run_forever()
        except BaseException as error:  # asyncio lets sys.exit() in a coroutine through; the others must go on
            happenings.emit(LOOP_INTERRUPTED, error=repr(error))


LOOP: Final = Loop()


def run_handler(handler: Handler, payload: object, context: Context) -> None:
    """Run one handler to its end.

    Raises:
        AgentKilled: its coroutine was cancelled by a kill.
    """
    if not handler.is_async:
        handler.function(payload, context)
        return
    try:
        LOOP.run(context.agent, handler.function(payload, context))
    except CancelledError as error:
        if context.runtime.latch.killed(context.agent) is None:
            raise  # the handler's own doing
        action = Action(ActionKind.CONSUME, context.agent, handler.key, workflow=context.workflow)
        raise AgentKilled(action, guard.deny(guard.LATCH, "cancelled by a kill")) from error
