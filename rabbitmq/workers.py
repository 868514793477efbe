"""Workers: the places in which one agent's messages are handled, and the threads that serve them.

A message has a place from the moment it begins until it has ended, also while its coroutine runs on the event loop and
needs no thread::

    submit ─► waiting ─► begun (has a place, has a thread) ─► ended: the place goes to the one that waits longest
                 │           │               ▲
                 │           └─ on a loop ───┘ resume (has its place, waits for a thread)
                 └─ stop: given back to its queue

So there are never more messages begun than places, never more threads than places, and a thread for each message that
needs one. Threads start when the first message needs them. They are daemons: a handler that never returns must not keep
its process from ending (its message is delivered again). A thread without work first helps the consumer to deliver,
which spares a busy agent the change of thread between the arrival of a message and its handling.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Final

from fusebox import happenings
from rabbitmq.broker import Delivery

Step = Callable[[], bool]
"""The next part of a message's handling; True when it goes on elsewhere and :meth:`Workers.resume` will be called."""
Job = Callable[[Delivery], bool]
"""The first step."""
Attend = Callable[[Callable[[], bool]], None]

JOB_FAILED: Final = happenings.declare(
    "handling_failed", logging.ERROR, "handling a message broke off; it stays unsettled until its process ends"
)


class Workers:
    """A fixed number of places.

    Args:
        agent: whose; shown in the threads' names.
        count: how many messages at once.
        attend: see :meth:`rabbitmq.broker.Consumer.attend`; called by threads that have nothing else to do.
    """

    def __init__(self, agent: str, count: int, attend: Attend) -> None:
        self._agent, self._count, self._attend = agent, count, attend
        self._steps: SimpleQueue[Step | None] = SimpleQueue()
        self._waiting: deque[tuple[Job, Delivery]] = deque()
        self._begun = self._needed = self._threads = 0
        self._stopped = False
        self._changed = threading.Condition(threading.Lock())

    @property
    def idle(self) -> bool:
        """True when one more message would begin at once."""
        return self._begun < self._count

    def submit(self, job: Job, delivery: Delivery) -> None:
        """Have ``job(delivery)`` done in a place; once stopped the message goes back to its queue."""
        with self._changed:
            if not self._stopped:
                if self._begun < self._count:
                    self._begun += 1
                    self._put(lambda: job(delivery))
                else:
                    self._waiting.append((job, delivery))
                return
        delivery.reject(requeue=True)

    def resume(self, step: Step) -> None:
        """Go on with a message that has kept its place."""
        with self._changed:
            self._put(step)

    def stop(self, timeout: float) -> None:
        """Give back what nobody has begun, and wait up to ``timeout`` seconds for the rest; legal twice."""
        with self._changed:
            self._stopped = True
            waiting, self._waiting = self._waiting, deque()
        for _, delivery in waiting:
            delivery.reject(requeue=True)
        with self._changed:
            self._changed.wait_for(lambda: not self._begun, timeout)
            for _ in range(self._threads):
                self._steps.put(None)

    # --- holding the lock -------------------------------------------------------------------------------------------
    def _put(self, step: Step) -> None:
        self._steps.put(step)
        self._needed += 1
        if self._needed > self._threads:
            self._threads += 1
            name = f"fusebox-{self._agent}-{self._threads}"
            threading.Thread(target=self._run, name=name, daemon=True).start()

    def _give_place(self) -> None:
        if self._waiting:
            job, delivery = self._waiting.popleft()
            self._put(lambda: job(delivery))
            return
        self._begun -= 1
        if self._stopped:
            self._changed.notify_all()

    # --- the threads ------------------------------------------------------------------------------------------------
    def _run(self) -> None:
        while (step := self._next()) is not None:
            goes_on = _done(step)
            with self._changed:
                self._needed -= 1
                if not goes_on:
                    self._give_place()

    def _next(self) -> Step | None:
        with suppress(Empty):
            return self._steps.get_nowait()
        self._attend(self._has_work)
        return self._steps.get()

    def _has_work(self) -> bool:
        return not self._steps.empty()


def _done(step: Step) -> bool:
    try:
        return step()
    except Exception as error:  # the thread serves the other messages too
        happenings.emit(JOB_FAILED, error=repr(error))
        return False
