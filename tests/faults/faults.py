"""The faults: each strikes, is healed, and shows by a counter that it really happened.

``evidence`` is read before and after; a strike after which it has not grown did not happen, whatever was called.
"""

from __future__ import annotations

import signal
from abc import ABC, abstractmethod
from typing import Final

from tests.faults.lab import CONSUMER_TIMEOUT_S, HEARTBEAT_S, Lab
from tests.faults.worker import AGENT, PREFETCH

LOST: Final = "broker_connection_lost"


class Fault(ABC):
    """One kind of violence."""

    name: str

    @abstractmethod
    def strike(self, lab: Lab) -> None:
        """Do it, and return once it shows."""

    def heal(self, lab: Lab) -> None:  # noqa: B027  (a hook: most faults pass by themselves)
        """Undo it."""

    @abstractmethod
    def evidence(self, lab: Lab) -> int:
        """Grows each time it happens."""

    def wait(self, lab: Lab, before: int) -> None:
        """Wait until it shows."""
        lab.until(lambda: self.evidence(lab) > before, f"{self.name} shows")


class Struck(Fault):
    """A fault whose strike is one call, after which evidence appears by itself."""

    def strike(self, lab: Lab) -> None:
        before = self.evidence(lab)
        self.hit(lab)
        self.wait(lab, before)

    @abstractmethod
    def hit(self, lab: Lab) -> None:
        """The one call."""


class BrokerKilled(Struck):
    name = "kill -9 of the broker"

    def hit(self, lab: Lab) -> None:
        lab.node.kill()

    def heal(self, lab: Lab) -> None:
        lab.start_node()

    def evidence(self, lab: Lab) -> int:
        return lab.seen(LOST, "StreamLost")


class AppStopped(Struck):
    name = "stop_app, start_app"

    def hit(self, lab: Lab) -> None:
        lab.node.ctl("stop_app")

    def heal(self, lab: Lab) -> None:
        lab.node.ctl("start_app")

    def evidence(self, lab: Lab) -> int:
        return lab.seen(LOST, "CONNECTION_FORCED")


class ConnectionCut(Struck):
    name = "connection cut"

    def hit(self, lab: Lab) -> None:
        lab.proxy.cut()

    def evidence(self, lab: Lab) -> int:
        return lab.seen(LOST, "StreamLost")


class HalfOpen(Struck):
    name = "half-open link"

    def hit(self, lab: Lab) -> None:
        lab.proxy.freeze()

    def heal(self, lab: Lab) -> None:
        lab.proxy.thaw()

    def evidence(self, lab: Lab) -> int:
        return lab.seen(LOST, "Heartbeat")


class MemoryAlarm(Struck):
    name = "memory alarm"

    def hit(self, lab: Lab) -> None:
        lab.node.ctl("set_vm_memory_high_watermark", "absolute", "1MB")

    def heal(self, lab: Lab) -> None:
        lab.node.ctl("set_vm_memory_high_watermark", "0.4")

    def evidence(self, lab: Lab) -> int:
        return min(lab.seen("broker_blocked"), lab.oracle.errors["PublishBlocked"])


class QueueFull(Struck):
    """Nobody consumes, and the queue takes no more. The limit is lifted, not cleared: RabbitMQ 3.10 goes on refusing a
    publisher whom it refused when a quorum queue's limit vanishes altogether."""

    name = "queue full"

    def hit(self, lab: Lab) -> None:
        lab.end_worker(lab.worker, signal.SIGTERM, 0)
        self._limit(lab, 20)

    def heal(self, lab: Lab) -> None:
        self._limit(lab, 1_000_000)
        lab.worker = lab.start_worker()

    def evidence(self, lab: Lab) -> int:
        return lab.oracle.errors["PublishNacked"]

    @staticmethod
    def _limit(lab: Lab, messages: int) -> None:
        lab.node.ctl("set_policy", "full", f"^{AGENT}$", f'{{"max-length": {messages}}}', "--apply-to", "queues")


class ChannelClosed(Struck):
    name = "channel closed by 406"

    def hit(self, lab: Lab) -> None:
        lab.send("offend", seconds=1.0)

    def evidence(self, lab: Lab) -> int:
        return lab.seen("subscription_lost", "unknown delivery tag")


class Overdue(Struck):
    """While it is at work the message comes again, to this process or to another; neither may handle it."""

    name = "handler longer than consumer_timeout"

    def hit(self, lab: Lab) -> None:
        other = lab.start_worker()
        parcel = lab.send(seconds=CONSUMER_TIMEOUT_S + 4.0)
        lab.until(lambda: lab.oracle.is_completed(parcel), "the overdue handler ends")
        lab.end_worker(other, signal.SIGTERM, 0)

    def evidence(self, lab: Lab) -> int:
        return min(lab.seen("subscription_lost", "timed out"), lab.seen("stale_settle"))


class Outlasting(Struck):
    """It fires when a handler outlasts the heartbeat; no connection may be lost meanwhile."""

    name = "handler longer than the heartbeat"
    _outlasted = 0

    def hit(self, lab: Lab) -> None:
        lost = lab.seen(LOST)
        parcel = lab.send(seconds=HEARTBEAT_S * 3.5)
        lab.until(lambda: lab.oracle.is_completed(parcel), "the long handler ends")
        assert lab.seen(LOST) == lost, "a connection was lost while a handler was at work"
        self._outlasted += 1

    def evidence(self, lab: Lab) -> int:
        return self._outlasted


class WorkerKilled(Struck):
    """One poison message kills its worker while it holds a full prefetch, again and again; its neighbours live."""

    name = "consumer killed with a prefetch of 50"
    deaths = 3

    def hit(self, lab: Lab) -> None:
        lab.send("die", seconds=10.0, times=self.deaths)
        for _ in range(PREFETCH):
            lab.send(seconds=2.0)
        for _ in range(self.deaths):
            lab.end_worker(lab.worker, None, -signal.SIGKILL)
            lab.worker = lab.start_worker()

    def evidence(self, lab: Lab) -> int:
        return sum(int(at_work) >= PREFETCH for at_work in lab.oracle.seen["dying"])


class Forked(Struck):
    name = "fork after start"

    def hit(self, lab: Lab) -> None:
        lab.send("fork", child=lab.issue().body.decode())

    def evidence(self, lab: Lab) -> int:
        assert not lab.seen("hung"), "a forked child hung"
        assert not lab.seen("forked", "published"), "a forked child acted"
        return lab.seen("forked", "AgentUnverified")


class Terminated(Struck):
    """It fires when a handler that was at work at SIGTERM runs to its end in the same process."""

    name = "SIGTERM in mid-handler"
    _drained = 0

    def hit(self, lab: Lab) -> None:
        parcel = lab.send(seconds=3.0)
        lab.until(lambda: parcel.id in lab.oracle.at_work(), "the handler is at work")
        lab.end_worker(lab.worker, signal.SIGTERM, 0)
        self._drained += lab.oracle.is_completed(parcel)

    def heal(self, lab: Lab) -> None:
        lab.worker = lab.start_worker()

    def evidence(self, lab: Lab) -> int:
        return self._drained


FAULTS: Final[tuple[type[Fault], ...]] = (
    BrokerKilled, AppStopped, ConnectionCut, HalfOpen, MemoryAlarm, QueueFull, ChannelClosed, Overdue, Outlasting,
    WorkerKilled, Forked, Terminated,
)  # fmt: skip
