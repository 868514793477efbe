"""Publishing: ordinary parcels all the time, and parcels that order a deed; the oracle learns how each publish went."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from rabbitmq import Agent, Runtime
from tests.faults.oracle import Oracle, Parcel
from tests.faults.worker import KEY

PUBLISH_S: Final = 2.0
"""The deadline of every publish."""
_PATIENCE_S: Final = 60.0
_SENDERS: Final = 4
_PAUSE_S: Final = 0.1
_WORDS: Final = ("order", "refund", "invoice", "policy", "vendor", "ticket", "branch", "schema", "release", "claim")


class Sender:
    """Publishes through an Agent of this process."""

    def __init__(self, runtime: Runtime, oracle: Oracle, seed: int) -> None:
        self._agent, self._oracle, self._random = Agent("lab-publisher", runtime), oracle, random.Random(seed)

    def issue(self, deed: str = "work", **content: Any) -> Parcel:
        """A parcel that orders a deed; one of five takes long enough for a fault to meet it in mid-handler."""
        draw = self._random
        usual = draw.uniform(0.3, 2) if draw.random() < 0.2 else draw.uniform(0, 0.03)
        text = " ".join(draw.choices(_WORDS, k=40))
        return self._oracle.issue(**{"deed": deed, "seconds": usual, "text": text, **content})

    def publish(self, parcel: Parcel, *, outbox: bool = False) -> None:
        """Publish once."""
        with self._oracle.publishing(parcel, PUBLISH_S):
            self._agent.context().publish(KEY, parcel.body, timeout=PUBLISH_S, outbox=outbox)

    def send(self, deed: str = "work", **content: Any) -> Parcel:
        """Publish parcels like this one until RabbitMQ has confirmed one."""
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            self.publish(parcel := self.issue(deed, **content))
            if self._oracle.is_confirmed(parcel):
                return parcel
            assert time.monotonic() < deadline, f"nothing is confirmed any more: {self._oracle.errors}"
            time.sleep(_PAUSE_S)

    @contextmanager
    def traffic(self) -> Iterator[None]:
        """Publish ordinary parcels all the time, every third through the outbox."""
        stop = threading.Event()
        senders = [threading.Thread(target=self._keep_sending, args=(stop,), daemon=True) for _ in range(_SENDERS)]
        for sender in senders:
            sender.start()
        try:
            yield
        finally:
            stop.set()
            for sender in senders:
                sender.join(_PATIENCE_S)

    def _keep_sending(self, stop: threading.Event) -> None:
        while not stop.wait(_PAUSE_S):
            self.publish(self.issue(), outbox=self._random.random() < 1 / 3)
