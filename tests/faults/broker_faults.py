"""What happens to RabbitMQ and on the way there: it dies, restarts, blocks, is full; the link breaks or goes silent."""

from __future__ import annotations

import signal

from tests.faults.fault import LOST, Fault
from tests.faults.lab import Lab
from tests.faults.worker import AGENT


class BrokerKilled(Fault):
    name = "kill -9 of the broker"

    def hit(self, lab: Lab) -> None:
        lab.node.kill()

    def heal(self, lab: Lab) -> None:
        lab.start_node()

    def evidence(self, lab: Lab) -> int:
        return lab.seen(LOST, "StreamLost")


class AppStopped(Fault):
    name = "stop_app, start_app"

    def hit(self, lab: Lab) -> None:
        lab.node.ctl("stop_app")

    def heal(self, lab: Lab) -> None:
        lab.node.ctl("start_app")

    def evidence(self, lab: Lab) -> int:
        return lab.seen(LOST, "CONNECTION_FORCED")


class ConnectionCut(Fault):
    name = "connection cut"

    def hit(self, lab: Lab) -> None:
        lab.proxy.cut()

    def evidence(self, lab: Lab) -> int:
        return lab.seen(LOST, "StreamLost")


class HalfOpen(Fault):
    name = "half-open link"

    def hit(self, lab: Lab) -> None:
        lab.proxy.freeze()

    def heal(self, lab: Lab) -> None:
        lab.proxy.thaw()

    def evidence(self, lab: Lab) -> int:
        return lab.seen(LOST, "Heartbeat")


class MemoryAlarm(Fault):
    name = "memory alarm"

    def hit(self, lab: Lab) -> None:
        lab.node.ctl("set_vm_memory_high_watermark", "absolute", "1MB")

    def heal(self, lab: Lab) -> None:
        lab.node.ctl("set_vm_memory_high_watermark", "0.4")

    def evidence(self, lab: Lab) -> int:
        return min(lab.seen("broker_blocked"), lab.oracle.errors["PublishBlocked"])


class QueueFull(Fault):
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
