"""Workers: the threads one agent's handlers run on.

They are daemons: a handler that never returns must not keep its process from ending (its message is delivered again).
A job wakes one thread; ``_unfinished`` counts jobs from their submission to their end, under the lock.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue

from rabbitmq.broker import Delivery
from rabbitmq.callback import call_back

Job = Callable[[Delivery], None]


class Workers:
    """A fixed number of threads.

    Args:
        agent: whose; shown in the threads' names.
        count: how many.
    """

    def __init__(self, agent: str, count: int) -> None:
        self._count = count
        self._jobs: SimpleQueue[tuple[Job, Delivery] | None] = SimpleQueue()
        self._unfinished = 0
        self._stopped = False
        self._changed = threading.Condition(threading.Lock())
        for number in range(count):
            threading.Thread(target=self._run, name=f"fusebox-{agent}-{number}", daemon=True).start()

    @property
    def idle(self) -> bool:
        """True when one more job would begin at once."""
        return self._unfinished < self._count

    def submit(self, job: Job, delivery: Delivery) -> None:
        """Have a worker do ``job(delivery)``; once stopped the message goes back to its queue."""
        with self._changed:
            if not self._stopped:
                self._unfinished += 1
                self._jobs.put((job, delivery))
                return
        delivery.reject(requeue=True)

    def stop(self, timeout: float) -> None:
        """Give back what nobody has begun, and wait up to ``timeout`` seconds for the rest; legal twice."""
        with self._changed:
            self._stopped = True
        with suppress(Empty):
            while (work := self._jobs.get_nowait()) is not None:
                work[1].reject(requeue=True)
                self._finished()
        for _ in range(self._count):
            self._jobs.put(None)
        with self._changed:
            self._changed.wait_for(lambda: not self._unfinished, timeout)

    def _run(self) -> None:
        while (work := self._jobs.get()) is not None:
            call_back(*work)
            self._finished()

    def _finished(self) -> None:
        with self._changed:
            self._unfinished -= 1
            if self._stopped:
                self._changed.notify_all()
