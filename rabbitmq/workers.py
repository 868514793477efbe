"""Workers: the threads one agent's handlers run on.

They are daemons: a handler that never returns must not keep its process from ending (its message is delivered again).
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

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
        self._waiting: deque[tuple[Job, Delivery]] = deque()
        self._running = 0
        self._stopped = False
        self._changed = threading.Condition()
        for number in range(count):
            threading.Thread(target=self._run, name=f"fusebox-{agent}-{number}", daemon=True).start()

    @property
    def idle(self) -> bool:
        """True when one more job would begin at once."""
        with self._changed:
            return self._running + len(self._waiting) < self._count

    def submit(self, job: Job, delivery: Delivery) -> None:
        """Have a worker do ``job(delivery)``; once stopped the message goes back to its queue."""
        with self._changed:
            if not self._stopped:
                self._waiting.append((job, delivery))
                self._changed.notify_all()
                return
        delivery.reject(requeue=True)

    def stop(self, timeout: float) -> None:
        """Give back what nobody has begun, and wait up to ``timeout`` seconds for the rest; legal twice."""
        with self._changed:
            self._stopped, left = True, list(self._waiting)
            self._waiting.clear()
            self._changed.notify_all()
        for _, delivery in left:
            delivery.reject(requeue=True)
        with self._changed:
            self._changed.wait_for(lambda: not self._running, timeout)

    def _run(self) -> None:
        while (work := self._next()) is not None:
            call_back(*work)
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    def _next(self) -> tuple[Job, Delivery] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._stopped)
            if not self._waiting:
                return None
            self._running += 1
            return self._waiting.popleft()
