"""What happens to an agent's process and its channel: it dies, forks, is asked to end, works for too long, offends."""

from __future__ import annotations

import signal
import time
from typing import Final

from tests.faults.fault import LOST, Fault
from tests.faults.lab import CONSUMER_TIMEOUT_S, HEARTBEAT_S, Lab
from tests.faults.worker import PREFETCH

_DRAIN_S: Final = 15.0
"""Ten seconds for the handlers, the rest for a busy machine."""


class ChannelClosed(Fault):
    name = "channel closed by 406"

    def hit(self, lab: Lab) -> None:
        lab.sender.send("offend", seconds=1.0)

    def evidence(self, lab: Lab) -> int:
        return lab.seen("subscription_lost", "unknown delivery tag")


class Overdue(Fault):
    """While it is at work the message comes again, to this process or to another; neither may handle it."""

    name = "handler longer than consumer_timeout"

    def hit(self, lab: Lab) -> None:
        other = lab.start_worker()
        parcel = lab.sender.send(seconds=CONSUMER_TIMEOUT_S + 4.0)
        lab.until(lambda: lab.oracle.is_completed(parcel), "the overdue handler ends")
        lab.end_worker(other, signal.SIGTERM, 0)

    def evidence(self, lab: Lab) -> int:
        return min(lab.seen("subscription_lost", "timed out"), lab.seen("stale_settle"))


class Outlasting(Fault):
    """It fires when a handler outlasts the heartbeat; no connection may be lost meanwhile."""

    name = "handler longer than the heartbeat"
    _outlasted = 0

    def hit(self, lab: Lab) -> None:
        lost = lab.seen(LOST)
        parcel = lab.sender.send(seconds=HEARTBEAT_S * 3.5)
        lab.until(lambda: lab.oracle.is_completed(parcel), "the long handler ends")
        assert lab.seen(LOST) == lost, "a connection was lost while a handler was at work"
        self._outlasted += 1

    def evidence(self, lab: Lab) -> int:
        return self._outlasted


class WorkerKilled(Fault):
    """One poison message kills its worker while it holds a full prefetch, again and again; its neighbours live."""

    name = "consumer killed with a prefetch of 50"
    deaths = 3

    def hit(self, lab: Lab) -> None:
        lab.sender.send("die", seconds=10.0, times=self.deaths)
        for _ in range(PREFETCH):
            lab.sender.send(seconds=2.0)
        for _ in range(self.deaths):
            lab.end_worker(lab.worker, None, -signal.SIGKILL)
            lab.worker = lab.start_worker()

    def evidence(self, lab: Lab) -> int:
        return sum(int(at_work) >= PREFETCH for at_work in lab.oracle.seen["dying"])


class Forked(Fault):
    name = "fork after start"

    def hit(self, lab: Lab) -> None:
        lab.sender.send("fork", child=lab.sender.issue().body.decode())

    def evidence(self, lab: Lab) -> int:
        assert not lab.seen("hung"), "a forked child hung"
        assert not lab.seen("forked", "published"), "a forked child acted"
        return lab.seen("forked", "AgentUnverified")


class Terminated(Fault):
    """It fires when a handler that was at work at SIGTERM runs to its end in the same process."""

    name = "SIGTERM in mid-handler"
    _drained = 0

    def hit(self, lab: Lab) -> None:
        parcel = lab.sender.send(seconds=3.0)
        lab.until(lambda: parcel.id in lab.oracle.at_work(), "the handler is at work")
        asked = time.monotonic()
        lab.end_worker(lab.worker, signal.SIGTERM, 0)
        assert time.monotonic() - asked < _DRAIN_S, "SIGTERM did not end the worker in time"
        self._drained += lab.oracle.is_completed(parcel)

    def heal(self, lab: Lab) -> None:
        lab.worker = lab.start_worker()

    def evidence(self, lab: Lab) -> int:
        return self._drained
