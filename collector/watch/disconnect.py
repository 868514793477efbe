"""A kill closes the connections of the agent's AMQP user, and lets it open none while the kill stands.

A well-behaved process stops by itself; this is for one that does not listen, and needs an administrator of RabbitMQ
(``management_url``). Only users named ``agent-<id>`` with permissions in our virtual host are touched, never a shared
one.

::

    KILL ──► its Receipts are in, or GRACE_S over ──┐
    RESUME, start, every EVERY_S ───────────────────┴─► one pass ──something failed──► pause, one pass again

A pass makes RabbitMQ agree with the latch, whatever was missed before: a killed agent's user is barred (its limit
``max-connections`` is 0), then its connections are closed; any other agent's user that is barred is free again.
Permissions stay as they were provisioned. Unsettled messages go back to their queues.

It runs on a thread of its own, after the Command was given to every carrier: it neither delays a kill nor fails one.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from breakers.latch import Latch
from fusebox import happenings
from fusebox.command import Command, Order
from rabbitmq.identity import agent_of
from rabbitmq.management import Management

GRACE_S: Final = 1.0
"""For the kill to arrive over AMQP, before the connection by which it arrives is closed."""
EVERY_S: Final = 60.0
_POLL_S: Final = 0.02
_PAUSE_S: Final = 1.0
_MAX_PAUSE_S: Final = 30.0

BARRED: Final = happenings.declare(
    "agent_user_barred", logging.WARNING, "the AMQP user of a killed agent may open no connection until a resume"
)
FREED: Final = happenings.declare("agent_user_freed", logging.INFO, "the AMQP user of an agent may connect again")
FAILED: Final = happenings.declare(
    "disconnect_failed", logging.ERROR, "RabbitMQ could not be told which agents' users may connect; it is tried again"
)

Told = Callable[[str], bool]
"""True when every process that is due has confirmed the Command of that id."""


class Disconnector:
    """A :class:`fusebox.lifecycle.Service` whose start never fails and never waits."""

    def __init__(self, management: Management, vhost: str, latch: Latch, told: Told) -> None:
        self._management, self._vhost, self._latch, self._told = management, vhost, latch, told
        self._kills: deque[str] = deque()
        self._wake, self._stopping = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch-disconnect", daemon=True)

    def offer(self, _signed: bytes, command: Command) -> None:
        """A Command went out; returns at once."""
        if command.order is Order.KILL:
            self._kills.append(command.id)
        if command.order in (Order.KILL, Order.RESUME):
            self._wake.set()

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout: float = 10.0) -> None:
        self._stopping.set()
        self._wake.set()
        if self._thread.ident:
            self._thread.join(timeout)

    def _run(self) -> None:
        pause = _PAUSE_S
        while not self._stopping.is_set():
            self._wake.clear()
            self._give_grace()
            if self._agree():
                pause, rest = _PAUSE_S, EVERY_S
            else:
                pause, rest = min(_MAX_PAUSE_S, pause * 2), pause
            self._wake.wait(rest)

    def _give_grace(self) -> None:
        deadline = time.monotonic() + GRACE_S
        while self._kills:
            kill = self._kills.popleft()
            while not self._told(kill) and time.monotonic() < deadline and not self._stopping.is_set():
                self._stopping.wait(_POLL_S)

    def _agree(self) -> bool:
        """One pass; False when something of it failed."""
        try:
            users, barred = self._management.users_of(self._vhost), self._management.barred()
        except Exception as error:  # whatever answers there: the next kill is to be tried too
            happenings.emit(FAILED, error=str(error))
            return False
        return not [user for user in users if agent_of(user) and not self._settle(user, user in barred)]

    def _settle(self, user: str, barred: bool) -> bool:
        """One user; a trouble with it (removed meanwhile) is nobody else's."""
        try:
            if self._latch.killed(agent_of(user)):
                self._expel(user, barred)
            elif barred:
                self._management.free(user)
                happenings.emit(FREED, user=user)
        except Exception as error:  # as above
            happenings.emit(FAILED, user=user, error=str(error))
            return False
        return True

    def _expel(self, user: str, barred: bool) -> None:
        if not barred:  # first, so that nothing comes back in between
            self._management.bar(user)
            happenings.emit(BARRED, user=user)
        self._management.close_connections(user, "Fusebox: the agent was killed")
