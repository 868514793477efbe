"""Awaiting: messages for which people are asked, from the question to the answer.

::

    handler, guard says hold ─► asked ─► <agent>.approvals ── answered, or over ──► handled again, with its approval
                                             ▲      │                                 in its headers
                                             └──────┘ not yet: back, behind the others

Only the queue knows which messages wait, so a restart of everything forgets none. *watch* is asked how things stand,
once in :data:`LOOK_S` and only while something waits (in :data:`BLIND_S` while it does not answer). Where there is
news, each message in the queue is looked at, and again for :data:`NEWS_S`: who answers at once may do so before the
message is in the queue. Once in :data:`SEARCH_S` that is done without news too, for approvals that the state store has
forgotten: a person is then asked again. A message goes back by being published, confirmed, before
it is acknowledged.

The guards, and *watch*, rule anew when it is handled: the header only names an approval, it grants nothing.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from fusebox import happenings, names
from fusebox.errors import ControlUnavailable, Permanent
from governance.approvals.approval import Stage
from rabbitmq.broker import Delivery
from rabbitmq.held import Workers
from rabbitmq.runtime import Runtime

LOOK_S: Final = 1.0
NEWS_S: Final = 5.0
SEARCH_S: Final = 30.0
"""Well within the time for which *watch* tells of what has ended."""
BLIND_S: Final = 10.0

AWAITING_BLIND: Final = happenings.declare(
    "approvals_unknown", logging.WARNING, "messages wait for people, and watch does not say whether they answered"
)


class Awaiting:
    """Looks after one agent's approvals queue; ``tick`` runs on the runtime's ticker.

    Args:
        workers: takes messages whose approval was answered, while it is idle.
    """

    def __init__(self, agent: str, runtime: Runtime, workers: Workers) -> None:
        self._agent, self._runtime, self._workers = agent, runtime, workers
        self._queue = names.approvals_queue(agent)
        self._ready: deque[Delivery] = deque()
        self._news: dict[str, float] = {}
        """Approvals that were answered, or are over, and since when that is known."""
        self._next_look = self._next_search = 0.0
        self._stopped = False
        self._lock = threading.Lock()

    def tick(self) -> None:
        """Bring back what was answered."""
        with self._lock:
            if not self._stopped:
                self._tick()

    def stop(self) -> None:
        """Give back what nobody has begun."""
        with self._lock:
            self._stopped = True
            while self._ready:
                self._ready.popleft().reject(requeue=True)

    def _tick(self) -> None:
        while self._ready and self._workers.idle():
            self._workers.take(self._ready.popleft())
        now = time.monotonic()  # people do not answer faster where tests and drive run the clock faster
        if self._ready or now < self._next_look:
            return
        self._next_look = now + LOOK_S
        depth = self._runtime.broker.depth(self._queue)
        if depth:
            self._look(depth, search=now >= self._next_search)

    def _look(self, depth: int, *, search: bool) -> None:
        try:
            stages = self._runtime.approvals.standing([self._agent])
        except (ControlUnavailable, Permanent) as error:
            self._next_look = time.monotonic() + BLIND_S  # the ticker has others to look after
            happenings.emit(AWAITING_BLIND, agent=self._agent, waiting=depth, error=str(error))
            return
        now = time.monotonic()
        over = [approval for approval, stage in stages.items() if stage != Stage.PENDING]
        self._news = {approval: self._news.get(approval, now) for approval in over}
        if search:
            self._next_search = now + SEARCH_S
            self._sort(depth, lambda approval: stages.get(approval) != Stage.PENDING)
        elif any(now - since <= NEWS_S for since in self._news.values()):
            self._sort(depth, self._news.__contains__)

    def _sort(self, depth: int, over: Callable[[str], bool]) -> None:
        """Look at each message once; who comes while that lasts is looked at next time."""
        for _ in range(depth):
            delivery = self._runtime.broker.get(self._queue)
            if delivery is None:
                return
            if over(str(delivery.message.headers.get(names.H_APPROVAL, ""))):
                self._ready.append(delivery)
            else:
                self._behind_the_others(delivery)

    def _behind_the_others(self, delivery: Delivery) -> None:
        """
        Raises:
            FuseboxError: it could not be published, and is where it was.
        """
        try:
            self._runtime.broker.publish(names.EXCHANGE_OWN, self._queue, replace(delivery.message, user_id=""))
        except BaseException:  # unsettled, it would be out of sight until the connection ends
            delivery.reject(requeue=True)
            raise
        delivery.ack()
