"""RabbitMQ: each alert a message on the exchange ``fusebox.alerts``, routing key ``<severity>.<type>``.

Nobody bound a queue to it? Then nobody got the alert, and that is said and tried again.
"""

from __future__ import annotations

import json
import threading
from typing import Final

from collector.alerts.parcel import Parcel
from collector.alerts.sinks import Fate, Outcome
from fusebox.clock import Clock
from fusebox.errors import FuseboxError, Unroutable
from fusebox.names import EXCHANGE_ALERTS
from rabbitmq.broker import Broker, Exchange, ExchangeType, Message, Topology

_TIMEOUT_S: Final = 5.0


def alerts_topology() -> Topology:
    """The exchange; queues are their readers' own."""
    return Topology(exchanges=(Exchange(EXCHANGE_ALERTS, ExchangeType.TOPIC),))


class AmqpSink:
    """Publishes, confirmed.

    Args:
        broker: not started; it connects with the first alert.
    """

    def __init__(self, name: str, broker: Broker, clock: Clock) -> None:
        self.name, self._broker, self._clock = name, broker, clock
        self._ready = False
        self._lock = threading.Lock()

    def deliver(self, parcel: Parcel) -> Outcome:
        try:
            self._connect()
            for alert in parcel.alerts:
                body = json.dumps({"id": alert.id, **alert.json()}).encode()
                message = Message(body, message_id=alert.id, timestamp=int(self._clock.wall()))
                key = f"{alert.severity.value}.{alert.type}"
                self._broker.publish(EXCHANGE_ALERTS, key, message, timeout=_TIMEOUT_S)
        except Unroutable:
            return Outcome(Fate.REFUSED, f"no queue is bound to the exchange {EXCHANGE_ALERTS} for this alert")
        except FuseboxError as error:
            return Outcome(Fate.RETRY, str(error))
        return Outcome(Fate.DELIVERED)

    def close(self) -> None:
        with self._lock:
            self._ready = False
            self._broker.stop()

    def _connect(self) -> None:
        with self._lock:
            if not self._ready:
                self._broker.start()
                self._broker.declare(alerts_topology())
                self._ready = True
