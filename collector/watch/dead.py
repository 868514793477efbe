"""Watches the dead letters of agents on the broker: messages that wait there for a person."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Final

from fusebox.errors import FuseboxError
from fusebox.names import dead_queue

LOOK_EVERY_S: Final = 15.0
_MAX_AGENTS: Final = 1_000


class DeadLetters:
    """Asks on a thread of its own; a :class:`fusebox.lifecycle.Service`. What cannot be asked is asked next time.

    Args:
        depth: messages in a queue, 0 when there is none.
        agents: whose queues to look at.
        tell: told of an agent and the number, once until its queue is empty again.
    """

    def __init__(
        self, depth: Callable[[str], int], agents: Callable[[], Iterable[str]], tell: Callable[[str, int], None]
    ) -> None:
        self._depth, self._agents, self._tell = depth, agents, tell
        self._told: set[str] = set()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch-dead-letters", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout: float = 10.0) -> None:
        self._stopping.set()
        if self._thread.ident:
            self._thread.join(timeout)

    def look(self) -> None:
        """One round.

        Raises:
            FuseboxError: the broker does not answer.
        """
        for agent in islice(self._agents(), _MAX_AGENTS):
            if self._stopping.is_set():
                return
            count = self._depth(dead_queue(agent))
            if count and agent not in self._told:
                self._tell(agent, count)
            (self._told.add if count else self._told.discard)(agent)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.look()
            except FuseboxError:  # the carrier says so already
                pass
            self._stopping.wait(LOOK_EVERY_S)
